import Foundation

/// Whether groups with little to do notice that another one is saturated.
struct NeighbourSettings: Codable, Sendable {
    /// With little to do.
    var groups = 255
    /// Of all of these together.
    var rate = 2_550.0
    var nodes = 3
    /// What each command costs the state machine of the saturated one: see `MachineSetup`.
    var workRounds = 0
    /// The saturated one is on a loop of its own.
    var isApart = false
    var seconds: Double
}

struct NeighbourRun {
    private static let hotInFlight = 4_096
    private static let hotBatch = 64

    private let settings: NeighbourSettings
    private let folder: String
    private let remains: Remains

    struct Result: Codable, Sendable {
        /// Of the groups with little to do, by themselves and beside the saturated one.
        var alone: Percentiles
        var beside: Percentiles
        var check: ResultCheck
    }

    init(_ settings: NeighbourSettings, folder: String, _ remains: Remains) {
        (self.settings, self.folder, self.remains) = (settings, folder, remains)
    }

    func measure() async throws -> Result {
        progress("starting the nodes")
        let loops = settings.isApart ? 2 : 1
        let cluster = try await BenchCluster.start(
            in: folder, nodes: settings.nodes, loops: loops, remains)
        let plan = WritesPlan(
            WritesSettings(
                groups: settings.groups, inFlight: 1, rate: settings.rate, payloadSizeBytes: 128,
                seconds: settings.seconds, warmupSeconds: 0),
            nodeCount: cluster.nodes.count)
        let hot = "bench-hot"
        _ = try await cluster.ask(.create(groups: plan.names))
        _ = try await cluster.ask(
            .create(
                groups: [hot], machine: MachineSetup(workRounds: settings.workRounds),
                adapter: BenchCluster.adapters(loops)[loops - 1]))
        try await cluster.awaitLeaders(plan.names.count + 1)
        _ = try await cluster.ask { place in
            .lead(groups: plan.groups(place) + (place == 0 ? [hot] : []))
        }
        _ = try await cluster.ask { .begin(plan.workload($0)) }
        try await Task.sleep(for: .seconds(0.5))
        progress("\(settings.groups) groups alone")
        let alone = try await Meter.measure(cluster, seconds: settings.seconds)
        progress("beside a saturated one")
        var load = Workload(
            groups: [hot], inFlight: [NeighbourRun.hotInFlight], payloadSizeBytes: 128,
            clients: .async, batch: NeighbourRun.hotBatch)
        load.isMeasured = false
        _ = try await cluster.nodes[0].ask(.begin(load))
        try await Task.sleep(for: .seconds(0.5))
        let beside = try await Meter.measure(cluster, seconds: settings.seconds)
        let check = try await ResultCheck.make(
            cluster, names: plan.names + [hot], tallies: try await cluster.drain())
        remains.endProcesses()
        return Result(
            alone: Percentiles(alone.nodes.latencies), beside: Percentiles(beside.nodes.latencies),
            check: check)
    }
}
