import Foundation

/// A node that leads a third of the groups is killed: how long nobody leads them.
struct FailOverRun {
    private static let victim = 2
    private static let patience: Duration = .seconds(60)
    private static let writeSeconds = 0.3

    private let groups: Int
    private let folder: String
    private let remains: Remains

    init(groups: Int, folder: String, _ remains: Remains) {
        (self.groups, self.folder, self.remains) = (groups, folder, remains)
    }

    func measure() async throws -> FailOverReport.Row {
        progress("starting three nodes")
        var cluster = try await BenchCluster.start(in: folder, remains)
        let plan = WritesPlan(
            WritesSettings(
                groups: groups, inFlight: 1, payloadSizeBytes: 16,
                seconds: FailOverRun.writeSeconds, warmupSeconds: 0),
            nodeCount: cluster.nodes.count)
        progress("creating \(groups) groups")
        try await cluster.create(plan.names)
        _ = try await cluster.ask { .lead(groups: plan.groups($0)) }
        _ = try await cluster.ask { .begin(plan.workload($0)) }
        try await Task.sleep(for: .seconds(FailOverRun.writeSeconds))
        var tallies = try await cluster.drain()

        let orphans = plan.groups(FailOverRun.victim)
        let survivors = cluster.nodes.filter { $0.id != cluster.nodes[FailOverRun.victim].id }
        for node in survivors { _ = try await node.ask(.watch(groups: orphans)) }
        progress("killing node \(FailOverRun.victim + 1), which leads \(orphans.count)")
        let killed = monotonicClock()
        cluster.kill(FailOverRun.victim)
        try await awaitLed(orphans.count, survivors)
        var seconds: [Double] = []
        for node in survivors {
            guard case .clocks(let clocks) = try await node.ask(.ledClocks) else {
                throw BenchFailure("no clocks")
            }
            seconds += clocks.map { Double($0 - killed) / 1e9 }
        }

        progress("writing to the groups, then with node \(FailOverRun.victim + 1) again")
        for (place, node) in survivors.enumerated() {
            let mine = orphans.indices.filter { $0 % survivors.count == place }
            _ = try await node.ask(
                .begin(
                    Workload(groups: mine.map { orphans[$0] }, inFlight: 1, payloadSizeBytes: 16)))
        }
        try await Task.sleep(for: .seconds(FailOverRun.writeSeconds))
        for node in survivors {
            guard case .drained(let more) = try await node.ask(.drain) else {
                throw BenchFailure("no tallies")
            }
            tallies += more
        }
        try await cluster.restart(FailOverRun.victim)
        _ = try await cluster.nodes[FailOverRun.victim].ask(
            .create(groups: plan.names))
        let check = try await ResultCheck.make(cluster, names: plan.names, tallies: tallies)
        remains.endProcesses()
        return FailOverReport.Row(groups: groups, led: seconds, check: check)
    }

    /// Waits until all of the groups are led by one of the nodes.
    private func awaitLed(_ count: Int, _ nodes: [BenchNode]) async throws {
        let deadline = ContinuousClock.now + FailOverRun.patience
        while true {
            var led = 0
            for node in nodes {
                guard case .leading(let groups) = try await node.ask(.ledCount) else { continue }
                led += groups
            }
            // A group may change hands more than once.
            if led >= count { return }
            guard ContinuousClock.now < deadline else {
                throw BenchFailure("\(count - led) of \(count) groups have no leader")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
