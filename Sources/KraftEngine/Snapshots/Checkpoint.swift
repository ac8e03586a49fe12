import KraftRouting
import RaftCore

/// The payload of a `checkpoint` record: all that the log says of a group on this node up to here,
/// but for the entries behind `base`. Whoever reads a log from its middle needs nothing older.
///
/// It is written when the group's log is compacted, when a snapshot of another replica is installed
/// (`isReset`), and again by itself when the segment that holds the last one is to be given back.
struct Checkpoint {
    var record: GroupRecord
    var hardState: HardState
    /// The last entry that is compacted away; `.start` for none.
    var base: EntryPosition
    /// The members that held at `base`, and where they stood in the log.
    var configuration: Raft.Configuration
    /// What the entries up to `base` came to. Nil only for `base == .start`, and on a witness, which
    /// has no state.
    var snapshot: SnapshotReference?
    /// All entries that came before this record are void: the log begins anew behind `base`.
    var isReset: Bool
}
