/// One measurement of reads, of groups that were written to before.
struct ReadsRun {
    /// Under the election timeout.
    private static let leaseMilliseconds = 500
    private static let writeSeconds = 0.2
    private static let probeSeconds = 0.2

    private let settings: ReadsSettings
    private let folder: String
    private let remains: Remains

    init(_ settings: ReadsSettings, folder: String, _ remains: Remains) {
        (self.settings, self.folder, self.remains) = (settings, folder, remains)
    }

    func measure() async throws -> ReadsReport {
        var probe = LimitsProbe()
        try await probe.run(in: folder, seconds: ReadsRun.probeSeconds)
        progress("starting three nodes")
        let cluster = try await BenchCluster.start(
            in: folder,
            leaseMilliseconds: settings.level == .lease ? ReadsRun.leaseMilliseconds : 0, remains)
        let plan = WritesPlan(
            WritesSettings(
                groups: settings.groups, inFlight: 4, payloadSizeBytes: 16,
                seconds: ReadsRun.writeSeconds, warmupSeconds: 0),
            nodeCount: cluster.nodes.count)
        progress("creating \(plan.names.count) groups")
        try await cluster.create(plan.names)
        _ = try await cluster.ask { .lead(groups: plan.groups($0)) }
        _ = try await cluster.ask { .begin(plan.workload($0)) }
        try await Task.sleep(for: .seconds(ReadsRun.writeSeconds))
        let written = try await cluster.drain()

        progress("reading")
        var counts: [String: UInt64] = [:]
        for tally in written { counts[tally.group, default: 0] += tally.acknowledged.count }
        _ = try await cluster.ask { .begin(workload($0, plan, counts, cluster.nodes.count)) }
        try await Task.sleep(for: .seconds(settings.warmupSeconds))
        let meter = try await Meter.measure(cluster, seconds: settings.seconds)

        progress("checking the result")
        let read = try await cluster.drain()
        var check = try await ResultCheck.make(cluster, names: plan.names, tallies: written)
        check.add(reads: read)
        remains.endProcesses()
        try await probe.run(in: folder, seconds: ReadsRun.probeSeconds)
        return ReadsReport(
            settings: settings, meter: meter, reads: read.reduce(0) { $0 + $1.readCount },
            check: check, machine: Machine(folder: folder), limits: probe.limits)
    }

    private func workload(
        _ place: Int, _ plan: WritesPlan, _ counts: [String: UInt64], _ nodeCount: Int
    ) -> Workload {
        let groups = plan.groups(settings.isAtFollowers ? (place + 1) % nodeCount : place)
        return Workload(
            groups: groups, inFlight: groups.map { _ in settings.inFlight },
            payloadSizeBytes: BenchCommand.minimumSize, clients: settings.clients,
            reads: .init(
                level: settings.level,
                // What a follower has applied may be older.
                minimumCounts: groups.map {
                    settings.isAtFollowers && settings.level == .local ? 0 : counts[$0] ?? 0
                }))
    }
}
