/// A node as it sees itself. Its groups and figures are those of all its adapters; `listen`, `peers`
/// and what else there can't be one of are the shared adapter's.
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
    /// Groups that exist on this node, by name. Slots are those of each adapter's own.
    public var groups: [GroupStatus]
    public var metrics: NodeMetrics
    public var log = LogStatus()
    /// The worst of all logs.
    public var disk = DiskCondition.sound
    /// Each dedicated adapter as if it were a node by itself, by name.
    public var adapters: [String: NodeStatus] = [:]

    mutating func add(_ part: NodeStatus, of adapter: String) {
        adapters[adapter] = part
        isFenced = isFenced || part.isFenced
        groupsLed += part.groupsLed
        groups = (groups + part.groups).sorted { $0.name < $1.name }
        metrics += part.metrics
        log.segmentCount += part.log.segmentCount
        log.sizeBytes += part.log.sizeBytes
        if part.disk.severity > disk.severity { disk = part.disk }
    }
}

extension DiskCondition {
    fileprivate var severity: Int {
        switch self {
        case .sound: 0
        case .slow: 1
        case .full: 2
        case .stalled: 3
        case .failed: 4
        }
    }
}

extension NodeMetrics {
    static func += (all: inout NodeMetrics, part: NodeMetrics) {
        for counter in NodeMetrics.counters {
            all[keyPath: counter.value] += part[keyPath: counter.value]
        }
    }
}
