import KraftMultiRaft

/// How a node comes into its cluster this time: by its flags when its folder is new, by its folder
/// ever after.
struct NodeEntry: Equatable {
    var record: NodeRecord
    /// The record isn't written down yet.
    var isNew: Bool
    var peers: [NodeID: String]
    var join: [String]

    /// - `stored`: what the data folder holds.
    init(_ settings: NodeSettings, stored: NodeRecord?) throws(NodeFailure) {
        peers = settings.peers
        join = settings.join
        isNew = stored == nil
        if let stored {
            record = stored
            guard case .founder(let founders) = stored.origin else { return }
            if peers.isEmpty { peers = founders }
            join = []
            guard !peers.isEmpty else { throw NodeEntry.missing }
        } else if !peers.isEmpty {
            record = NodeRecord(
                origin: .founder(peers),
                routing: .init(kind: settings.router, groupCount: settings.groupCount))
        } else if !join.isEmpty {
            record = NodeRecord(origin: .joined, routing: nil)
        } else {
            throw NodeEntry.missing
        }
    }

    private static var missing: NodeFailure {
        NodeFailure(
            NodeExit.usage,
            "peers: missing; list every node (1=host:port,2=host:port,…) to begin a cluster, or "
                + "give --join to come into one")
    }
}
