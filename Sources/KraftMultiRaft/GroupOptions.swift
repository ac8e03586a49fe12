/// Options of one group on this node. All have defaults; more will come.
public struct GroupOptions: Sendable {
    public init() {}
}

/// What a read promises.
public enum ReadConsistency: Sendable, Hashable {
    /// Sees every write that was acknowledged, through any node, before the read began (ReadIndex,
    /// dissertation section 6.4). Costs a round to a quorum, shared by all reads of the moment.
    case linearizable
    /// The state that this node has applied, however old. Costs no message.
    case local
}
