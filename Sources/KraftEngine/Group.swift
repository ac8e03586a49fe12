import DequeModule
import KraftRouting
import RaftCore

/// One group on this node: its Raft replica, where its entries lie, and who waits for what.
struct Group: ~Copyable {
    let id: GroupID
    let name: GroupName
    let incarnation: UInt64
    /// Tells this life of a slot from the next.
    let serial: UInt64
    let beginning: Beginning
    /// The members before the first entry: what a newcomer is told.
    var base: Membership { beginning.membership }
    /// The version of the group's borders; part of its replicated state.
    var epoch: Epoch = .first

    var raft: Raft
    var index: EntryIndex
    var appliedIndex: LogIndex

    /// Its state machine is there, so that it may lead and apply.
    var isOpened = false
    var isStopped = false
    var isCountedAsLeader = false
    var isApplying = false
    /// It stands in the engine's queue of groups to apply.
    var isApplyQueued = false
    /// The turn's end looks at it.
    var isTouched = false
    /// It has proposals that were not taken in the turn in which they came.
    var isHeld = false
    /// This replica is no member any more: it goes when it has applied what is committed.
    var isLeaving = false
    /// What this replica had acknowledged may be lost: it neither votes nor acknowledges nor leads
    /// until another takes its place.
    var isDamaged = false
    /// It stands in the engine's list of groups of which something will be due.
    var isAwake = false
    /// It stands in the queue for a snapshot.
    var isCaptureQueued = false
    /// The file of its snapshot can't be read, though the state is in memory: another must be made.
    var isSnapshotRotten = false
    /// It holds a segment of the log that should go: snapshot its state soon, and keep no entries
    /// for others behind it.
    var isSnapshotWanted = false

    /// The batch of its newest term and vote: what must wait for durability waits for this one.
    var hardStateBatch: UInt64 = 0
    /// Where the newest records stand that say whose the group is, and what its term and vote are.
    var metadataAt = LogPosition(rawValue: 0)
    var hardStateAt = LogPosition(rawValue: 0)

    // Within a turn.
    var firstStaged: Int32 = -1
    var lastStaged: Int32 = -1
    var stagedCount = 0

    // Who waits. All bounded by `EngineConfiguration.Limits`.
    /// In this node's log, ascending in index.
    var pending = Deque<PendingProposal>()
    var pendingBytes = 0
    var parked = Deque<ParkedProposal>()
    var reads = Deque<WaitingRead>()
    /// How many at the end of `reads` have neither ticket nor question yet.
    var newReads = 0
    static let finishedLimit = 16
    /// All changes of which this replica knows how they ended.
    var endedChanges: [Membership.FinishedChange] {
        finishedChanges + [raft.configurations[0].membership.finished].compactMap { $0 }
    }

    /// What most groups don't have.
    var seldom = SeldomBox()
    /// When a damaged replica says so again, or a leader goes on with a repair.
    var repairDeadline: Instant = .never

    /// When something of it is due; the engine looks at it then.
    var wakeAt: Instant = .never
    /// Lower bound of the deadlines of those who wait.
    var requestDeadline: Instant = .never

    // Snapshots.
    var lastCapture: Instant = .zero
    /// What its entries have taken of the log since the last one.
    var bytesSinceCapture = 0
    var isRestoring: Bool { restoring != nil }

    // Counters of `GroupMetrics`.
    var commandsApplied: UInt64 = 0
    var bytesApplied: UInt64 = 0
    var elections: UInt64 = 0

    /// What the log says of its beginning.
    var record: GroupRecord {
        GroupRecord(
            name: name, incarnation: incarnation, replica: raft.replica.id, base: base,
            isWitness: raft.isBornWitness, isDamaged: isDamaged)
    }

    /// All that the log says of it but for its entries behind the base.
    func checkpoint(isReset: Bool) -> Checkpoint {
        Checkpoint(
            record: record, hardState: raft.hardState, base: raft.log.base,
            configuration: raft.configuration(at: raft.log.base.index), snapshot: snapshot,
            isReset: isReset)
    }

    /// The oldest segment of the log that it needs.
    var oldestSegment: UInt64 {
        let records = min(metadataAt, hardStateAt).segment
        return min(records, index.oldestSegment ?? records)
    }

    /// Whether one more may wait. What a former leadership left in the log is no hindrance to what
    /// would only be forwarded.
    func isAccepting(_ limit: Int) -> Bool {
        (raft.role == .leader ? waitingCount : parked.count + reads.count) < limit
    }

    /// Memory that it took while it was busy.
    mutating func giveRoomBack() {
        if pending.isEmpty { pending = [] }
        if parked.isEmpty { parked = [] }
        if reads.isEmpty { reads = [] }
    }

    var isRunning: Bool { isOpened && !isStopped }
    /// It keeps terms, but no data: there is nothing to apply or to read.
    var isWitness: Bool { raft.isWitness }
    var waitingCount: Int {
        let seldom = seldom.state.map { $0.pointee.orphaned.count + $0.pointee.changes.count }
        return pending.count + parked.count + reads.count + stagedCount + (seldom ?? 0)
    }
}

/// Who gets the answer.
enum Origin {
    case local(RequestToken)
    case peer(NodeID, ConnectionID, request: UInt64)
    /// Answered already: its deadline passed.
    case gone
}

/// A proposal in this node's log that isn't applied yet.
struct PendingProposal {
    var index: LogIndex
    var term: Term
    var origin: Origin
    var deadline: Instant
    var proposedAt: Instant
    var byteCount: Int
}

/// A proposal that waits for a leader; no log holds it.
struct ParkedProposal {
    /// As in `StagingBuffer.Proposal`.
    var kind: EntryKind
    var command: [UInt8]
    var route: UInt64
    var origin: Origin
    var deadline: Instant
}

/// A linearizable read on its way.
struct WaitingRead {
    enum Stage {
        case new
        /// This node leads; the ticket's round, begun then, must be confirmed.
        case ticket(Raft.ReadTicket, since: Instant)
        /// The leader was asked then.
        case asked(NodeID, request: UInt64, since: Instant)
        /// Answer once this is applied.
        case confirmed(LogIndex)
    }

    var origin: Origin
    var stage: Stage
    var deadline: Instant
}

/// A change of members that has not begun.
struct WaitingChange {
    var change: MembershipChange
    var origin: Origin
    var deadline: Instant
    var nextTry: Instant
    /// The leader that was asked; 0: none yet.
    var request: UInt64 = 0
    var asked = NodeID.none
}

struct WaitingTransfer {
    var target: NodeID
    var token: RequestToken
    var deadline: Instant
    var nextTry: Instant
}
