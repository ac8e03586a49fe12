import KraftRouting
import RaftCore

/// A group as one node sees it.
public struct GroupStatus: Sendable {
    public var slot: GroupSlot
    public var name: GroupName
    public var id: GroupID
    public var incarnation: UInt64
    public var epoch: Epoch
    public var state: State
    public var role: Role
    public var term: Term
    /// `.none` when unknown.
    public var leader: NodeID
    public var commitIndex: LogIndex
    public var appliedIndex: LogIndex
    public var firstIndex: LogIndex
    public var lastIndex: LogIndex
    /// Who is a member, by this replica's log.
    public var members: [Member]
    /// Changing from one set of voters to another (dissertation section 4.3).
    public var isJoint: Bool
    /// The change of members that is under way, and the one that ended last, in the last committed
    /// configuration that this replica knows of or a later one.
    public var change: EntryPosition?
    public var finishedChange: Membership.FinishedChange?
    /// Whether who is a member, by this replica's log, is committed as far as it knows.
    public var isMembershipCommitted: Bool
    /// Where the configuration stands that is committed.
    public var committedConfiguration: LogIndex
    /// What the leader knows of each replica; on other nodes only this node's own is known.
    public var replicas: [Replica]
    /// Nothing is under way and no timer runs: the group costs nothing.
    public var isQuiesced: Bool
    /// The newest snapshot of its state on this node.
    public var snapshot: SnapshotReference? = nil

    /// `damaged`: what this replica had acknowledged may be lost, so it takes no part.
    public enum State: String, Sendable { case running, stopped, recovering, damaged }
    public enum Role: String, Sendable { case leader, follower, candidate, learner, witness }

    public struct Member: Sendable, Hashable {
        public var node: NodeID
        public var kind: MemberKind
    }

    /// Members that vote, witnesses too.
    public var voters: [NodeID] { members.filter { $0.kind != .learner }.map(\.node) }

    public struct Replica: Sendable {
        public var node: NodeID
        public var kind: MemberKind
        public var matchIndex: LogIndex
        /// `probe`, `replicate`, `snapshot`, `unreachable`, or `unknown` on a node that doesn't lead;
        /// `damaged` on any node that was told so.
        public var state: String
    }
}

/// How a node's disk does.
public enum DiskCondition: String, Sendable {
    case sound
    /// Several writes in a row took long: others lead where they can.
    case slow
    /// No space: others lead where they can; where nobody can, the group is read-only.
    case full
    /// A write doesn't end: the node leads nothing.
    case stalled
    /// A write or sync failed: the node is fenced.
    case failed
}

/// Counters of one group on one node since it started.
public struct GroupMetrics: Sendable {
    public var commandsApplied: UInt64 = 0
    public var bytesApplied: UInt64 = 0
    public var elections: UInt64 = 0
    /// Sessions that are open, as far as this node has applied.
    public var sessions = 0
    /// From proposal to commit and from commit to applied, on the leader.
    public var commitLatency = LatencyHistogram()
    public var applyLatency = LatencyHistogram()
    public init() {}
}

/// Counts in buckets of powers of two of a microsecond: bucket i counts times below 2^i µs.
public struct LatencyHistogram: Sendable {
    public static let bucketCount = 26
    public private(set) var buckets: InlineArray<26, UInt64> = .init(repeating: 0)
    public private(set) var count: UInt64 = 0
    public private(set) var sumNanoseconds: UInt64 = 0

    public init() {}

    public mutating func record(_ span: Nanoseconds) {
        let microseconds = span.rawValue / 1_000
        let bucket = 64 - microseconds.leadingZeroBitCount
        buckets[min(bucket, LatencyHistogram.bucketCount - 1)] += 1
        count += 1
        sumNanoseconds &+= span.rawValue
    }
}

/// A peer as this node sees it.
public struct PeerStatus: Sendable {
    public var node: NodeID
    public var address: String
    public var isConnected: Bool
    public var isAlive: Bool
    /// Time since anything was heard; nil if never.
    public var sinceHeard: Nanoseconds?
    public var queuedBytes: Int
    /// It left the cluster.
    public var hasLeft: Bool
    /// What the peer says of itself in its beats.
    public var groupsLed: Int
    public var groups: Int
    /// What the peer told of itself last (`EngineConfiguration.info`); empty if it never did.
    public var info: String
}

/// What the log takes of the disk.
public struct LogStatus: Hashable, Sendable {
    /// Segments with records that count.
    public var segmentCount = 0
    /// Of all segment files, those too that are prepared or kept for reuse.
    public var sizeBytes = 0
    public init() {}
}

/// Counters of the whole node since it started.
public struct NodeMetrics: Sendable {
    public var framesSent: UInt64 = 0
    public var framesReceived: UInt64 = 0
    public var bytesSent: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    public var badFrames: UInt64 = 0
    public var handshakesRefused: UInt64 = 0
    public var logWrites: UInt64 = 0
    public var logBytesWritten: UInt64 = 0
    public var entriesAppended: UInt64 = 0
    public var proposalsRefused: UInt64 = 0
    public var snapshotsTaken: UInt64 = 0
    public var snapshotsInstalled: UInt64 = 0
    public var snapshotBytesSent: UInt64 = 0
    public var snapshotBytesReceived: UInt64 = 0
    public init() {}
}
