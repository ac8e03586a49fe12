import Foundation

/// One measurement of writes, from the start of the nodes to the check of what they hold.
struct WritesRun {
    private let settings: WritesSettings
    private let folder: String
    private let remains: Remains

    init(_ settings: WritesSettings, folder: String, _ remains: Remains) {
        (self.settings, self.folder, self.remains) = (settings, folder, remains)
    }

    func measure() async throws -> WritesReport {
        var probe = LimitsProbe()
        try await probe.run(in: folder, seconds: probeSeconds)
        progress("starting the nodes")
        let cluster = try await BenchCluster.start(
            in: folder, nodes: settings.nodes, loops: settings.loops,
            gatherMicroseconds: settings.gatherMicroseconds, remains)
        let plan = WritesPlan(settings, nodeCount: cluster.nodes.count)
        progress("creating \(plan.names.count) groups")
        try await cluster.create(
            plan.names, MachineSetup(workRounds: settings.workRounds), loops: settings.loops)
        _ = try await cluster.ask { .lead(groups: plan.groups($0)) }

        progress("proposing")
        _ = try await cluster.ask { .begin(plan.workload($0)) }
        try await Task.sleep(for: .seconds(settings.warmupSeconds))
        let meter = try await Meter.measure(cluster, seconds: settings.seconds)

        progress("checking the result")
        let tallies = try await cluster.drain()
        let check = try await ResultCheck.make(cluster, names: plan.names, tallies: tallies)
        remains.endProcesses()
        try await probe.run(in: folder, seconds: probeSeconds)
        return WritesReport(
            settings: settings, meter: meter, check: check, machine: Machine(folder: folder),
            limits: probe.limits)
    }

    private var probeSeconds: Double { settings.isQuick ? 0.1 : 0.4 }
}
