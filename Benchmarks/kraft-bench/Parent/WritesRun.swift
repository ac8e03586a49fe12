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
        var probe = DiskProbe()
        try probe.run(in: folder, seconds: probeSeconds)
        progress("starting three nodes")
        let cluster = try await BenchCluster.start(in: folder, remains)
        let names = BenchCluster.groupNames(settings.groups)
        progress("creating \(names.count) groups")
        try await cluster.create(names)
        let shares = shares(of: names, nodeCount: cluster.nodes.count)
        _ = try await cluster.ask { .lead(groups: shares[$0]) }

        progress("proposing")
        _ = try await cluster.ask { .begin(workload(shares[$0])) }
        try await Task.sleep(for: .seconds(settings.warmupSeconds))
        let loadBefore = MachineLoad.current()
        let own = ProcessUsage.current()
        let starts = try await cluster.marks(isStart: true)
        try await Task.sleep(for: .seconds(settings.seconds))
        let ends = try await cluster.marks(isStart: false)
        let ownUsed = ProcessUsage.current().cpuMicroseconds - own.cpuMicroseconds
        let loadAfter = MachineLoad.current()

        progress("checking the result")
        let drained = try await cluster.ask(.drain).map { answer in
            guard case .drained(let tallies) = answer else { throw BenchFailure("no tallies") }
            return tallies
        }
        let check = try await ResultCheck.make(
            cluster, names: names, tallies: drained.flatMap { $0 })
        remains.endProcesses()
        try probe.run(in: folder, seconds: probeSeconds)

        let spans = zip(starts, ends).map { Span(from: $0, to: $1) }
        let machine = Machine(folder: folder)
        return WritesReport(
            settings: settings, nodes: spans, check: check, machine: machine,
            fdatasync: .init(probe.latencies),
            percentUsedByOthers: MachineLoad.percentOfOthers(
                from: loadBefore, to: loadAfter,
                ourMicroseconds: spans.reduce(ownUsed) { $0 + $1.cpuMicroseconds },
                cores: machine.cores))
    }

    private var probeSeconds: Double { settings.isQuick ? 0.1 : 0.4 }

    /// The names of the groups that each node leads.
    private func shares(of names: [String], nodeCount: Int) -> [[String]] {
        var shares = Array(repeating: [String](), count: nodeCount)
        for (number, name) in names.enumerated() {
            shares[settings.leaders.leader(of: number, nodeCount: nodeCount)].append(name)
        }
        return shares
    }

    private func workload(_ groups: [String]) -> Workload {
        Workload(
            groups: groups, inFlight: settings.inFlight,
            payloadSizeBytes: settings.payloadSizeBytes, clients: settings.clients,
            batch: settings.batch)
    }
}
