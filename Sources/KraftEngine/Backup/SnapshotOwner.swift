import KraftRouting
import RaftCore

/// Whose state a snapshot holds: what of it belongs to one life of one group in one cluster. When
/// another group takes the state over, this is what changes; sessions and the machine's own state
/// stay as they are.
public struct SnapshotOwner: Hashable, Sendable {
    public var name: GroupName
    public var incarnation: UInt64
    /// Nil, for a new owner: as it was.
    public var epoch: Epoch?
    /// The members that held at the snapshot's last entry.
    public var configuration: Raft.Configuration

    public init(
        name: GroupName, incarnation: UInt64, epoch: Epoch?, configuration: Raft.Configuration
    ) {
        self.name = name
        self.incarnation = incarnation
        self.epoch = epoch
        self.configuration = configuration
    }
}

extension EngineState {
    var owner: SnapshotOwner {
        SnapshotOwner(
            name: name, incarnation: incarnation, epoch: epoch, configuration: configuration)
    }

    /// The same sessions, of another group.
    func owned(by owner: SnapshotOwner) -> EngineState {
        EngineState(
            name: owner.name, incarnation: owner.incarnation, epoch: owner.epoch ?? epoch,
            configuration: owner.configuration, sessions: sessions)
    }
}

extension SnapshotName {
    /// How many bytes of a snapshot's file say which one it is.
    public static var preambleSizeBytes: Int { SnapshotFormat.preambleSize }

    /// Which snapshot a file says that it is by its first `preambleSizeBytes` bytes.
    ///
    /// Throws for anything that isn't the beginning of a snapshot.
    public init(preamble bytes: UnsafeRawBufferPointer) throws(SnapshotDecoder.Damage) {
        var reader = ByteReader(bytes)
        do throws(ByteReader.Malformed) {
            // Letters and version: they are compared below, as a whole.
            _ = try reader.read(count: 16)
            let group = GroupID(try reader.read(UInt64.self))
            let index = LogIndex(try reader.readNumber())
            let term = Term(try reader.readNumber())
            self.init(
                group: group, position: EntryPosition(index: index, term: term),
                nonce: try reader.read())
        } catch {
            throw SnapshotDecoder.Damage(offset: 0, reason: "not a snapshot")
        }
        guard bytes.elementsEqual(SnapshotFormat.preamble(self)) else {
            throw SnapshotDecoder.Damage(offset: 0, reason: "not a snapshot")
        }
    }
}
