/// Something that happened on a node. For people and dashboards: events may be dropped, so nothing
/// may depend on having seen one.
@nonexhaustive public enum KraftEvent: Sendable {
    /// The first event of every sequence: how things stand now.
    case snapshot(Snapshot)
    /// `leader` is `.none` while none is known.
    case leaderChanged(group: GroupName, leader: NodeID, term: Term)
    case groupCreated(group: GroupName)
    case groupRemoved(group: GroupName)
    /// Who is a member of the group changed, or is committed now: `status(of:)` says.
    case membersChanged(group: GroupName)
    case nodeJoined(NodeID)
    case nodeLeft(NodeID)
    /// A write of the log takes too long, so that this node leads nothing (`true`), or ended.
    case diskStalled(Bool)
    /// There is no space for the log to grow (`true`), or there is again.
    case diskFull(Bool)
    /// Writes of the log take long (`true`), or don't any more.
    case diskSlow(Bool)
    case peerConnected(NodeID)
    case peerDisconnected(NodeID)
    /// A peer wasn't heard for an election timeout (`alive` is false), or is heard again.
    case peerAlive(NodeID, alive: Bool)
    /// A connection was refused or closed for what it sent.
    case connectionRefused(peer: NodeID, reason: String)
    /// A replica on another node contradicted what was committed: it has lost its memory. Told at
    /// the first, second, fourth, eighth time and so on.
    case contradicted(group: GroupName, count: Int)
    /// The group's state up to `index` is in a snapshot on this node, of this size.
    case snapshotTaken(group: GroupName, index: LogIndex, byteCount: UInt64)
    /// The group's replica here was too far behind: it was given the state up to `index` by another.
    case snapshotInstalled(group: GroupName, index: LogIndex, byteCount: UInt64)
    /// A snapshot of the group could not be made, fetched or sent; it will be tried again.
    case snapshotFailed(group: GroupName, reason: String)
    /// A part of the log on this node isn't what was written there, or is gone. Groups that it may
    /// concern neither vote nor acknowledge here until their replica is replaced.
    case logDamaged(segment: UInt64, offset: Int, reason: String)
    /// The group's state on this node is lost: its replica here takes no part any more.
    case replicaDamaged(group: GroupName, reason: String)
    /// The group's replica on another node is damaged, by its own word.
    case memberDamaged(group: GroupName, node: NodeID)
    /// This node leads the group and puts a new replica in the place of a damaged one (`isDone` is
    /// false), or the new one is what the other was.
    case replicaReplaced(group: GroupName, node: NodeID, isDone: Bool)
    /// The disk failed: the node serves nothing any more.
    case fenced(reason: String)
    /// So many events were dropped here because the reader was too slow.
    case dropped(count: Int)

    /// Who leads and who is heard, at the moment when the sequence began.
    public struct Snapshot: Sendable {
        public var groups: [Group]
        public var peers: [Peer]
        public var isFenced: Bool

        public struct Group: Sendable {
            public var name: GroupName
            public var leader: NodeID
            public var term: Term
        }

        public struct Peer: Sendable {
            public var node: NodeID
            public var isConnected: Bool
            public var isAlive: Bool
        }
    }
}
