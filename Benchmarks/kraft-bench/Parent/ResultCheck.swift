/// Compares what clients were told with what the replicas hold. A fast lie ends here.
struct ResultCheck: Codable, Sendable {
    /// From the first write to the last, warm-up and draining too.
    var acknowledged: UInt64 = 0
    var unknown: UInt64 = 0
    var refused: UInt64 = 0
    var replicas = 0
    /// Empty when every acknowledged write was applied once on every replica, all of which hold the
    /// same.
    var problems: [String] = []

    private static let patience: Duration = .seconds(20)

    init() {}

    /// Two runs' together.
    mutating func add(_ other: ResultCheck) {
        acknowledged += other.acknowledged
        unknown += other.unknown
        refused += other.refused
        replicas = max(replicas, other.replicas)
        problems += other.problems
    }

    /// Reads that missed what had been acknowledged before them, or that never were answered.
    mutating func add(reads: [ClientTally]) {
        var count: UInt64 = 0
        for tally in reads {
            count += tally.readCount
            refused += tally.refusedCount
            if tally.staleCount > 0 {
                problems.append("\(tally.group): \(tally.staleCount) stale reads")
            }
        }
        if count == 0 { problems.append("no read was answered") }
    }

    /// Waits until followers have applied everything, in bounded time, and compares.
    static func make(
        _ cluster: BenchCluster, names: [String], tallies: [ClientTally]
    ) async throws -> ResultCheck {
        var clients: [String: ClientTally] = [:]
        for tally in tallies { clients[tally.group, default: .init(group: tally.group)].add(tally) }
        let deadline = ContinuousClock.now + patience
        while true {
            let replicas = try await cluster.ask(.look(groups: names)).map { answer in
                guard case .replicas(let replicas) = answer else {
                    throw BenchFailure("no replicas")
                }
                return replicas
            }
            let check = ResultCheck(names, clients, replicas)
            if check.problems.isEmpty || ContinuousClock.now > deadline { return check }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private init(
        _ names: [String], _ clients: [String: ClientTally], _ nodes: [[ReplicaTally]]
    ) {
        replicas = nodes.count
        for (place, name) in names.enumerated() {
            let client = clients[name] ?? ClientTally(group: name)
            acknowledged += client.acknowledged.count
            unknown += client.unknownCount
            refused += client.refusedCount
            for node in nodes.indices {
                let replica = nodes[node][place]
                if let problem = ResultCheck.problem(client, replica, nodes[0][place]) {
                    problems.append("\(name) on node \(node + 1): \(problem)")
                }
            }
        }
        if acknowledged == 0 { problems.append("no write was acknowledged") }
    }

    private static func problem(
        _ client: ClientTally, _ replica: ReplicaTally, _ first: ReplicaTally
    ) -> String? {
        if let obstacle = replica.obstacle { return obstacle }
        let (told, applied) = (client.acknowledged, replica.applied)
        if replica.damagedCount > 0 { return "\(replica.damagedCount) damaged commands" }
        if applied.count < told.count {
            return "\(told.count) acknowledged, but only \(applied.count) applied"
        }
        if applied.count > told.count + client.unknownCount {
            return "\(applied.count) applied, but only \(told.count) acknowledged"
        }
        // Which of those with an unknown outcome were applied can't be told from the sum.
        if client.unknownCount == 0, applied.sum != told.sum {
            return "other commands were applied than those acknowledged"
        }
        if replica.digest != first.digest || replica.applied != first.applied {
            return "its content differs from node 1's"
        }
        return nil
    }
}

extension ClientTally {
    mutating func add(_ other: ClientTally) {
        acknowledged += other.acknowledged
        unknownCount += other.unknownCount
        refusedCount += other.refusedCount
    }
}
