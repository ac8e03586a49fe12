/// Options of one group on this node. All have defaults; more will come.
public struct GroupOptions: Sendable {
    /// 1 to 10: the lower, the later this node campaigns when a leader is lost, so that others win.
    /// 0: it leads only when it is told to.
    public var priority: UInt8 = 10
    /// When the group's log gives way to a snapshot on this node; nil: as for all groups
    /// (`KraftConfiguration.snapshots`).
    public var snapshots: SnapshotPolicy?
    /// Which of `KraftConfiguration.adapters` the group is on; nil: the shared one. The same on all
    /// nodes, for as long as the group exists.
    public var adapter: String?

    public init(adapter: String? = nil) { self.adapter = adapter }
}

/// What a read promises.
public enum ReadConsistency: Sendable, Hashable {
    /// Sees every write that was acknowledged, through any node, before the read began (ReadIndex,
    /// dissertation section 6.4). Costs a round to a quorum, shared by all reads of the moment.
    case linearizable
    /// As `linearizable`, but the leader answers without asking anyone while it holds a lease, for
    /// which the nodes' clocks must keep their bounds (`Timing.leaseDuration`, off by default: then
    /// it is the same as `linearizable`).
    case lease
    /// Sees every write that was acknowledged longer ago than this.
    case bounded(Duration)
    /// The state that this node has applied, however old. Costs no message.
    case local
}
