import KraftLoop

extension KraftConfiguration {
    /// Throws `configuration`; the message names the field.
    func validate() throws(KraftError) {
        try check(!node.isNone, "node: 0 is not a node")
        try check(!dataDirectory.isEmpty, "dataDirectory: is empty")
        try check(
            (1...128).contains(clusterID.utf8.count), "clusterID: must be 1 to 128 bytes long")
        try check(
            NetworkAddress(listen)?.isLiteral == true,
            "listen: \(listen) is not host:port with a literal address or localhost")
        if let advertise {
            try check(
                NetworkAddress(advertise) != nil, "advertise: \(advertise) is not host:port")
        }
        try check(requestTimeout > .zero, "requestTimeout: must be above zero")
        try check(submissionLimit > 0, "submissionLimit: must be above zero")
        try check(
            submissionSizeLimitBytes >= limits.commandSizeBytes,
            "submissionSizeLimitBytes: must hold the largest command")
        try check(inboundConnectionLimit > 0, "inboundConnectionLimit: must be above zero")
        try check(
            snapshotWriteBytesPerSecond.map { $0 > 0 } ?? true,
            "snapshotWriteBytesPerSecond: must be above zero")
        for seed in join {
            try check(NetworkAddress(seed) != nil, "join: \(seed) is not host:port")
        }
        try validatePeers()
        try engine.validate()
        try validateAdapters()
    }

    private func validatePeers() throws(KraftError) {
        var owners: [String: NodeID] = [:]
        for (peer, address) in peers.sorted(by: { $0.key < $1.key }) {
            try check(!peer.isNone, "peers: 0 is not a node")
            let parsed = NetworkAddress(address)
            try check(
                parsed != nil && parsed?.port != 0,
                "peers: \(address) of node \(peer) is not host:port")
            if let owner = owners.updateValue(peer, forKey: address) {
                throw KraftError(
                    .configuration, "peers: nodes \(owner) and \(peer) have the same address")
            }
        }
    }

    func check(
        _ condition: Bool, _ message: @autoclosure () -> String
    ) throws(KraftError) {
        guard condition else { throw KraftError(.configuration, message()) }
    }

    /// What the engine is told.
    var engine: EngineConfiguration {
        let others = peers.filter { $0.key != node }.sorted { $0.key < $1.key }
        var engine = EngineConfiguration(
            node: node, clusterID: clusterID,
            peers: others.map { .init(node: $0.key, address: $0.value) })
        engine.info = info
        engine.address = advertised(bound: nil) ?? listen
        engine.seeds = join
        engine.timing = timing
        engine.log = log
        engine.limits = limits
        engine.snapshots = snapshots
        return engine
    }

    /// All nodes of the cluster, this one too.
    var nodes: [NodeID] { Set(peers.keys).union([node]).sorted() }

    func advertised(bound: String?) -> String? { advertise ?? peers[node] ?? bound }
}
