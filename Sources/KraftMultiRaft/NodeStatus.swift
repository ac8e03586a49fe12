/// A node as it sees itself.
public struct NodeStatus: Sendable {
    public var node: NodeID
    public var clusterID: String
    /// Differs in every life of the node; 0 before `start`.
    public var bootID: UInt64
    /// Where the peer port listens; nil before `start` and after `shutdown`.
    public var listen: String?
    /// The address that others are given.
    public var advertise: String?
    public var isFenced: Bool
    /// This node has left the cluster.
    public var hasLeft: Bool
    public var groupsLed: Int
    public var peers: [PeerStatus]
    /// Groups that exist on this node, by name.
    public var groups: [GroupStatus]
    public var metrics: NodeMetrics
    public var log = LogStatus()
    public var disk = DiskCondition.sound
}
