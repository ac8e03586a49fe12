extension KraftMultiRaft {
    /// How the node stands. Lists every group that exists here, opened or not.
    public func status() async -> NodeStatus {
        guard let running, var status = await running.shared.status() else { return idleStatus }
        for runtime in running.runtimes.dropFirst() {
            guard let adapter = runtime.adapter, let part = await runtime.status() else {
                return idleStatus
            }
            status.add(part, of: adapter)
        }
        return status
    }

    private var idleStatus: NodeStatus {
        NodeStatus(
            node: configuration.node, clusterID: configuration.clusterID, bootID: 0, listen: nil,
            advertise: configuration.advertised(bound: nil), isFenced: isFenced, hasLeft: false,
            groupsLed: 0, peers: [], groups: [], metrics: NodeMetrics())
    }

    /// How one group stands on this node. Throws `notFound`.
    public func status(of name: String) async throws(KraftError) -> GroupStatus {
        let name = try GroupName(checking: name)
        let status = try await running(name) { driver in
            driver.engine.slot(of: name).map { driver.engine.status(of: $0) }
        }
        guard let status else { throw .noSuchGroup(name) }
        return status
    }

    /// The hash of a group's whole content and the index that it speaks of, taken together.
    /// Throws `notFound` for a group that isn't open here, or of which this node is a witness;
    /// `unavailable` while its state is being restored from a snapshot.
    public func digest(
        of name: String
    ) async throws(KraftError) -> (digest: UInt64, appliedIndex: LogIndex) {
        let name = try GroupName(checking: name)
        return try await running(name) { driver in
            Result { () throws(KraftError) in try driver.digest(of: name) }
        }.get()
    }

    /// Counters of every group since the node started.
    public func metrics() async -> [GroupName: GroupMetrics] {
        let parts = await running?.all { driver in
            driver.engine.slots.map { slot in
                (driver.engine.status(of: slot).name, driver.engine.metrics(of: slot))
            }
        }
        return Dictionary(parts?.flatMap { $0 } ?? []) { first, _ in first }
    }

    private func running<Value: Sendable>(
        _ name: GroupName, _ body: @escaping @Sendable (NodeDriver) -> Value
    ) async throws(KraftError) -> Value {
        guard let value = try await runtime(of: name).run(body) else { throw .notRunning(name) }
        return value
    }
}

extension NodeRuntime {
    /// As of a node that has this adapter only; nil when it has ended.
    fileprivate func status() async -> NodeStatus? {
        await run { [configuration, boundAddress, bootID] driver in
            NodeStatus(
                node: configuration.node, clusterID: configuration.clusterID, bootID: bootID,
                listen: boundAddress, advertise: configuration.advertised(bound: boundAddress),
                isFenced: driver.isFenced, hasLeft: driver.engine.hasLeft,
                groupsLed: driver.engine.groupsLed,
                peers: driver.engine.peerStatus(now: driver.now),
                groups: driver.groupStatuses, metrics: driver.engine.nodeMetrics,
                log: driver.engine.logStatus, disk: driver.engine.diskCondition)
        }
    }
}

extension NodeDriver {
    /// Every group on this node, by name.
    var groupStatuses: [GroupStatus] {
        engine.slots.map { engine.status(of: $0) }.sorted { $0.name < $1.name }
    }
}
