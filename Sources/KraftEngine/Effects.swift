import KraftRouting
import RaftCore

/// What the engine wants done. The driver carries all of it out after each turn, then clears it.
///
/// The order between the lists doesn't matter: nothing is put here before what it depends on is
/// durable. An answer, a vote or an acknowledgement appears only in a turn after the `logWritten`
/// of the batch that it speaks of.
public struct Effects {
    /// Dial; answered by `connected` or `closed`.
    public var connects: [(connection: ConnectionID, address: String)] = []
    /// Close once everything sent before has left; no further events of it. May name a connection
    /// that has gone meanwhile, as `sends` may: then there is nothing to do.
    public var closes: [ConnectionID] = []
    /// Queue a block on a connection; answered by `sent`. At most one a connection and turn.
    public var sends: [(connection: ConnectionID, block: Block)] = []
    /// At most one is under way.
    public var logWrites: [LogWrite] = []
    public var segmentPreparations: [SegmentPreparation] = []
    /// Remove the files of these segments, if they are there. Nothing waits for it.
    public var segmentRemovals: [UInt64] = []
    public var logReads: [LogRead] = []
    public var snapshotCaptures: [SnapshotCapture] = []
    public var snapshotReads: [SnapshotRead] = []
    public var snapshotWrites: [SnapshotWrite] = []
    /// Remove these files, unfinished ones too, if they are there. Nothing waits for it.
    public var snapshotRemovals: [SnapshotName] = []
    public var snapshotRestores: [SnapshotRestore] = []
    /// How requests ended. Each token is completed exactly once.
    public var completions: [Completion] = []
    /// The bytes of the replies in `completions`.
    public var replyBytes = ByteWriter()
    /// Queries that may run now, on the group's state machine as it is.
    public var readsReady: [(token: RequestToken, slot: GroupSlot)] = []
    /// What happened, for logs, metrics and the events of the manager.
    public var notices: [Notice] = []

    public init() {}

    public mutating func removeAll() {
        connects.removeAll(keepingCapacity: true)
        closes.removeAll(keepingCapacity: true)
        sends.removeAll(keepingCapacity: true)
        logWrites.removeAll(keepingCapacity: true)
        segmentPreparations.removeAll(keepingCapacity: true)
        if !segmentRemovals.isEmpty { segmentRemovals.removeAll() }
        logReads.removeAll(keepingCapacity: true)
        if !snapshotCaptures.isEmpty { snapshotCaptures.removeAll() }
        if !snapshotReads.isEmpty { snapshotReads.removeAll() }
        if !snapshotWrites.isEmpty { snapshotWrites.removeAll() }
        if !snapshotRemovals.isEmpty { snapshotRemovals.removeAll() }
        if !snapshotRestores.isEmpty { snapshotRestores.removeAll() }
        completions.removeAll(keepingCapacity: true)
        replyBytes.removeAll()
        readsReady.removeAll(keepingCapacity: true)
        notices.removeAll(keepingCapacity: true)
    }
}

/// How one request ended.
public struct Completion {
    public var token: RequestToken
    public var outcome: Outcome

    /// Plain data only, so that a completion costs no allocation.
    public enum Outcome {
        /// Committed and applied at `index`; the reply lies in `Effects.replyBytes`. For a group
        /// creation, transfer, removal: done.
        case done(index: LogIndex, replyStart: Int, replyCount: Int)
        /// Did not take effect and never will.
        case refused(Refusal, leader: NodeID)
        /// May or may not take effect.
        case unknown
        /// A session's command from so far back that nobody can tell whether it took effect. It does
        /// so no more, and to ask again brings no other answer.
        case forgotten
    }

    /// Why a request was refused.
    public enum Refusal: UInt8, Sendable {
        /// No leader was known by the deadline, or the leader was deposed before it committed.
        case unavailable = 1
        case overloaded = 2
        case tooLarge = 3
        /// The route's epoch isn't the group's.
        case staleRoute = 4
        /// No such group on the node that was asked.
        case groupNotFound = 5
        /// The group is stopped on this node, or was removed while the request waited.
        case groupStopped = 6
        /// The state machine could not decode the command.
        case malformed = 7
        /// The node is fenced (its disk failed) or shutting down.
        case nodeStopped = 8
        /// A transfer's target isn't a voter, or the transfer timed out.
        case transferFailed = 9
        /// The leader's disk is full, and nobody else can lead: the group is read-only.
        case diskFull = 10
        /// Another change of members is under way.
        case conflict = 20
        /// A change that doesn't fit the members of the group, or names a node that isn't in the
        /// cluster.
        case badChange = 21
        /// The session is unknown or has expired: what was proposed in it now was not carried out.
        /// An earlier try of the same sequence may have been.
        case sessionExpired = 30
        /// A session of this id is open with another time to live.
        case sessionTaken = 31
    }
}

/// Something worth telling: for logs, metrics and the manager's events. Never decides anything.
public enum Notice: Sendable {
    case leaderChanged(slot: GroupSlot, leader: NodeID, term: Term)
    case groupCreated(slot: GroupSlot, name: GroupName)
    /// `isFormerMember`: the group lives on elsewhere, without this node.
    case groupRemoved(slot: GroupSlot, name: GroupName, id: GroupID, isFormerMember: Bool)
    case peerConnected(NodeID)
    case peerDisconnected(NodeID)
    /// No beat for an election timeout (`false`), or heard again (`true`).
    case peerAlive(NodeID, Bool)
    /// Who is a member of a group changed, or is now known to be committed: see its status.
    case membersChanged(slot: GroupSlot)
    /// The cluster took a node in, or one left.
    case rosterChanged(NodeID, hasLeft: Bool)
    /// This node has left the cluster.
    case leftCluster
    /// A write of the log takes too long (`true`: this node leads nothing meanwhile), or came to
    /// its end.
    case diskStalled(Bool)
    /// There is no space for the log to grow (`true`), or there is again. Meanwhile others lead where
    /// they can; where nobody can, the group is read-only.
    case diskFull(Bool)
    /// The log's writes take long, one after the other (`true`), or don't any more. Meanwhile others
    /// lead where they can.
    case diskSlow(Bool)
    /// A connection was refused or closed for what it sent; the reason is for a human.
    case connectionRefused(ConnectionID, peer: NodeID, reason: String)
    /// A message contradicted what this replica committed, or a second leader showed up in its
    /// term: some replica of the group has lost its memory. The message was dropped.
    case contradicted(slot: GroupSlot)
    /// A group's state up to `index` was written to a snapshot, or one of another node was taken over.
    case snapshotTaken(slot: GroupSlot, index: LogIndex, byteCount: UInt64)
    case snapshotInstalled(slot: GroupSlot, index: LogIndex, byteCount: UInt64)
    /// A snapshot could not be made, fetched or sent; it will be tried again.
    case snapshotFailed(slot: GroupSlot, reason: String)
    /// The group's state on this node is lost: its replica here takes no part any more.
    case replicaDamaged(slot: GroupSlot, reason: String)
    /// A replica on another node said that it is damaged.
    case memberDamaged(slot: GroupSlot, node: NodeID)
    /// This node leads the group and began to put another replica in the place of a damaged one; or that
    /// has caught up and is what the other was.
    case replacementBegun(slot: GroupSlot, node: NodeID)
    case replacementDone(slot: GroupSlot, node: NodeID)
    /// Something in the log or the snapshots of this node isn't what was written there, or is gone.
    /// Groups that it may concern neither vote nor acknowledge here until their replica is replaced.
    case damaged(segment: UInt64, offset: Int, reason: String)
    /// The node fenced itself: its disk failed. Nothing is acknowledged any more.
    case fenced(reason: String)
}
