import KraftRouting
import RaftCore

/// What the engine keeps of a group beside the user's state, as a snapshot holds it: all that the
/// entries up to its position came to.
struct EngineState {
    private static let version: UInt8 = 1

    var name: GroupName
    var incarnation: UInt64
    var epoch: Epoch
    /// The members that held at the snapshot's position.
    var configuration: Raft.Configuration
    /// Nil before the group's first session.
    var sessions: SessionTable?

    /// Not while the machine is at work: see `SessionTable.encode`.
    func encode(into writer: inout ByteWriter) {
        writer.write(EngineState.version)
        writer.writeString(name.string)
        writer.write(incarnation)
        writer.write(epoch.rawValue)
        writer.write(configuration.index.rawValue)
        configuration.membership.encode(into: &writer)
        writer.write(UInt8(sessions == nil ? 0 : 1))
        sessions?.encode(into: &writer)
    }

    /// Throws for what `encode` could not have written for a snapshot at `position`.
    init(
        from reader: inout ByteReader, at position: EntryPosition
    ) throws(ByteReader.Malformed) {
        guard try reader.read(UInt8.self) == EngineState.version,
            let name = GroupName(try reader.readString(limit: GroupName.lengthLimit))
        else { throw ByteReader.Malformed() }
        self.name = name
        incarnation = try reader.readNumber()
        epoch = Epoch(try reader.read(UInt64.self))
        let index = LogIndex(try reader.readNumber())
        configuration = .init(index: index, membership: try Membership(from: &reader))
        guard index <= position.index else { throw ByteReader.Malformed() }
        if try reader.readFlag() { sessions = try SessionTable(from: &reader) }
        guard reader.remaining == 0 else { throw ByteReader.Malformed() }
    }

    init(
        name: GroupName, incarnation: UInt64, epoch: Epoch, configuration: Raft.Configuration,
        sessions: SessionTable?
    ) {
        self.name = name
        self.incarnation = incarnation
        self.epoch = epoch
        self.configuration = configuration
        self.sessions = sessions
    }

    static func decode(
        _ bytes: UnsafeRawBufferPointer, at position: EntryPosition
    ) throws(ByteReader.Malformed) -> EngineState {
        var reader = ByteReader(bytes)
        return try EngineState(from: &reader, at: position)
    }
}
