import Foundation

/// Whether groups with little to do notice that another one is saturated.
struct NeighbourRun {
    private static let hotInFlight = 4_096
    private static let hotBatch = 64

    /// Of the groups with little to do.
    private let groups: Int
    /// Of all of these together.
    private let rate: Double
    private let seconds: Double
    /// The saturated one is on a loop of its own.
    private let isApart: Bool
    private let folder: String
    private let remains: Remains

    struct Result: Codable, Sendable {
        /// Of the groups with little to do, by themselves and beside the saturated one.
        var alone: Percentiles
        var beside: Percentiles
        var check: ResultCheck
    }

    init(
        groups: Int, rate: Double, seconds: Double, isApart: Bool, folder: String,
        _ remains: Remains
    ) {
        (self.groups, self.rate, self.seconds) = (groups, rate, seconds)
        self.isApart = isApart
        (self.folder, self.remains) = (folder, remains)
    }

    func measure() async throws -> Result {
        progress("starting three nodes")
        let loops = isApart ? 2 : 1
        let cluster = try await BenchCluster.start(in: folder, loops: loops, remains)
        let plan = WritesPlan(
            WritesSettings(
                groups: groups, inFlight: 1, rate: rate, payloadSizeBytes: 128, seconds: seconds,
                warmupSeconds: 0),
            nodeCount: cluster.nodes.count)
        let hot = "bench-hot"
        _ = try await cluster.ask(.create(groups: plan.names, stateBytes: 0))
        _ = try await cluster.ask(
            .create(
                groups: [hot], stateBytes: 0, adapter: BenchCluster.adapters(loops)[loops - 1]))
        try await cluster.awaitLeaders(plan.names.count + 1)
        _ = try await cluster.ask { place in
            .lead(groups: plan.groups(place) + (place == 0 ? [hot] : []))
        }
        _ = try await cluster.ask { .begin(plan.workload($0)) }
        try await Task.sleep(for: .seconds(0.5))
        progress("\(groups) groups alone")
        let alone = try await Meter.measure(cluster, seconds: seconds)
        progress("beside a saturated one")
        var load = Workload(
            groups: [hot], inFlight: [NeighbourRun.hotInFlight], payloadSizeBytes: 128,
            clients: .async, batch: NeighbourRun.hotBatch)
        load.isMeasured = false
        _ = try await cluster.nodes[0].ask(.begin(load))
        try await Task.sleep(for: .seconds(0.5))
        let beside = try await Meter.measure(cluster, seconds: seconds)
        let check = try await ResultCheck.make(
            cluster, names: plan.names + [hot], tallies: try await cluster.drain())
        remains.endProcesses()
        return Result(
            alone: Percentiles(alone.nodes.latencies), beside: Percentiles(beside.nodes.latencies),
            check: check)
    }
}
