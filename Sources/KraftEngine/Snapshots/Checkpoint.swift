import KraftRouting
import RaftCore

/// The payload of a `checkpoint` record: all that the log says of a group on this node up to here,
/// but for the entries behind `base`. Whoever reads a log from its middle needs nothing older.
///
/// It is written when the group's log is compacted, when a snapshot of another replica is installed
/// (`isReset`), and again by itself when the segment that holds the last one is to be given back.
struct Checkpoint: Hashable {
    var record: GroupRecord
    var hardState: HardState
    /// The last entry that is compacted away; `.start` for none.
    var base: EntryPosition
    /// The members that held at `base`, or a later committed configuration, and where it stood in
    /// the log: nothing before it can come back.
    var configuration: Raft.Configuration
    /// What the entries up to `base` came to. Nil only for `base == .start`, and on a witness, which
    /// has no state.
    var snapshot: SnapshotReference?
    /// All entries that came before this record are void: the log begins anew behind `base`.
    var isReset: Bool
}

extension Checkpoint: BinaryCodable {
    private static let resetFlag: UInt8 = 1
    private static let snapshotFlag: UInt8 = 2

    func encode(into writer: inout ByteWriter) {
        record.encode(into: &writer)
        writer.write(hardState.term.rawValue)
        writer.write(hardState.vote.rawValue)
        writer.write(position: base)
        writer.write(configuration.index.rawValue)
        configuration.membership.encode(into: &writer)
        let flags =
            (isReset ? Checkpoint.resetFlag : 0)
            | (snapshot == nil ? 0 : Checkpoint.snapshotFlag)
        writer.write(flags)
        guard let snapshot else { return }
        writer.write(snapshot.name.group.rawValue)
        writer.write(position: snapshot.name.position)
        writer.write(snapshot.name.nonce)
        writer.write(snapshot.byteCount)
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        record = try GroupRecord(from: &reader)
        let term = Term(try reader.readNumber())
        hardState = HardState(term: term, vote: NodeID(try reader.read(UInt32.self)))
        base = try reader.readPosition()
        let index = LogIndex(try reader.readNumber())
        configuration = .init(index: index, membership: try Membership(from: &reader))
        let flags = try reader.readFlags(known: Checkpoint.resetFlag | Checkpoint.snapshotFlag)
        isReset = flags & Checkpoint.resetFlag != 0
        guard flags & Checkpoint.snapshotFlag != 0 else { return }
        let group = GroupID(try reader.read(UInt64.self))
        let position = try reader.readPosition()
        snapshot = SnapshotReference(
            name: SnapshotName(group: group, position: position, nonce: try reader.read()),
            byteCount: try reader.readNumber())
        // Its state may be newer than what was compacted, never older.
        guard position.index >= base.index else { throw ByteReader.Malformed() }
    }
}
