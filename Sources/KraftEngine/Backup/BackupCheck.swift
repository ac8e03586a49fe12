import KraftRouting
import RaftCore

/// What a backup's file holds.
public struct BackupFacts: Hashable, Sendable {
    public var name: SnapshotName
    public var owner: SnapshotOwner
    public var byteCount: UInt64
    /// XXH3 of the whole file.
    public var checksum: UInt64

    public init(name: SnapshotName, owner: SnapshotOwner, byteCount: UInt64, checksum: UInt64) {
        (self.name, self.owner) = (name, owner)
        (self.byteCount, self.checksum) = (byteCount, checksum)
    }
}

/// Reads a backup from its first byte to its last, checks it, and says what it is.
public struct BackupCheck: ~Copyable {
    private var scan = SnapshotScan()
    private var checksum = RunningChecksum()
    private var byteCount: UInt64 = 0

    public init() {}

    /// Takes the next bytes, in whatever portions. Throws for bytes that no node has written.
    public mutating func add(_ bytes: UnsafeRawBufferPointer) throws(SnapshotDecoder.Damage) {
        try scan.receive(bytes)
        checksum.add(bytes)
        byteCount += UInt64(bytes.count)
    }

    /// When nothing more comes. Throws when something is missing.
    public func finish() throws(SnapshotDecoder.Damage) -> BackupFacts {
        guard scan.isWhole, let name = scan.name else {
            throw SnapshotDecoder.Damage(offset: byteCount, reason: "it ends too early")
        }
        return BackupFacts(
            name: name, owner: try scan.owner(), byteCount: byteCount, checksum: checksum.value)
    }
}
