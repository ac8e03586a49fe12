import KraftRouting
import RaftCore

/// Names one snapshot of one group: the file that holds it, on every node that has it.
///
/// A snapshot is made once, by the replica that captured its state, and travels byte by byte: equal
/// names are equal bytes. Two replicas that capture the same index make two snapshots, told apart
/// by the nonce.
public struct SnapshotName: Hashable, Sendable {
    public var group: GroupID
    /// The last entry that the state holds.
    public var position: EntryPosition
    /// Random; seeds all checksums inside.
    public var nonce: UInt64

    public init(group: GroupID, position: EntryPosition, nonce: UInt64) {
        self.group = group
        self.position = position
        self.nonce = nonce
    }

    public static let fileSuffix = ".snap"

    /// `<group>-<index>-<term>-<nonce>.snap`, each of 16 hexadecimal digits.
    public var fileName: String {
        let numbers = [group.rawValue, position.index.rawValue, position.term.rawValue, nonce]
        return numbers.map(SnapshotName.digits).joined(separator: "-") + SnapshotName.fileSuffix
    }

    /// Nil for names of files that aren't ours.
    public init?(fileName: String) {
        guard fileName.hasSuffix(SnapshotName.fileSuffix) else { return nil }
        let parts = fileName.dropLast(SnapshotName.fileSuffix.count).split(
            separator: "-", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { UInt64($0, radix: 16) }
        guard parts.count == 4, numbers.count == 4 else { return nil }
        self.init(
            group: GroupID(numbers[0]),
            position: EntryPosition(index: LogIndex(numbers[1]), term: Term(numbers[2])),
            nonce: numbers[3])
        guard self.fileName == fileName else { return nil }
    }

    private static func digits(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// A snapshot that is durable on this node, and its size.
public struct SnapshotReference: Hashable, Sendable {
    public var name: SnapshotName
    /// Of the whole file.
    public var byteCount: UInt64

    public init(name: SnapshotName, byteCount: UInt64) {
        self.name = name
        self.byteCount = byteCount
    }
}
