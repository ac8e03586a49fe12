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
    private let folder: String
    private let remains: Remains

    struct Result: Codable, Sendable {
        /// Of the groups with little to do, by themselves and beside the saturated one.
        var alone: Percentiles
        var beside: Percentiles
        var check: ResultCheck
    }

    init(groups: Int, rate: Double, seconds: Double, folder: String, _ remains: Remains) {
        (self.groups, self.rate, self.seconds) = (groups, rate, seconds)
        (self.folder, self.remains) = (folder, remains)
    }

    func measure() async throws -> Result {
        progress("starting three nodes")
        let cluster = try await BenchCluster.start(in: folder, remains)
        let plan = WritesPlan(
            WritesSettings(
                groups: groups, inFlight: 1, rate: rate, payloadSizeBytes: 128, seconds: seconds,
                warmupSeconds: 0),
            nodeCount: cluster.nodes.count)
        let hot = "bench-hot"
        try await cluster.create(plan.names + [hot])
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
