/// What a run of writes found.
struct WritesReport: LoadReport {
    static let title = "writes"

    var settings: WritesSettings
    var writesPerSecond: Double
    var latencyMicroseconds: Percentiles
    /// Of all nodes, user and system.
    var cpuMicrosecondsPerWrite: Double
    var userMicrosecondsPerWrite: Double
    var systemMicrosecondsPerWrite: Double
    /// On the average node.
    var writesPerSync: Double
    /// Of all nodes.
    var syncsPerSecond: Double
    var logBytesPerWrite: Double
    var logBytesPerSecond: Double
    var peerFramesPerSecond: Double
    var peerBytesPerSecond: Double
    var check: ResultCheck
    var machine: Machine
    var limits: MachineLimits
    var percentUsedByOthers: Double

    init(
        settings: WritesSettings, meter: Meter, check: ResultCheck, machine: Machine,
        limits: MachineLimits
    ) {
        self.settings = settings
        self.check = check
        self.machine = machine
        self.limits = limits
        percentUsedByOthers = meter.percentUsedByOthers
        let nodes = meter.nodes
        let latencies = nodes.latencies
        let writes = max(1, Double(latencies.count))
        writesPerSecond = nodes.rate { $0.latencies.count }
        latencyMicroseconds = Percentiles(latencies)
        userMicrosecondsPerWrite = nodes.total(\.userMicroseconds) / writes
        systemMicrosecondsPerWrite = nodes.total(\.systemMicroseconds) / writes
        cpuMicrosecondsPerWrite = userMicrosecondsPerWrite + systemMicrosecondsPerWrite
        writesPerSync = nodes.total(\.entriesAppended) / max(1, nodes.total(\.logWrites))
        syncsPerSecond = nodes.rate(\.logWrites)
        logBytesPerWrite = nodes.total(\.logBytesWritten) / writes
        logBytesPerSecond = nodes.rate(\.logBytesWritten)
        peerFramesPerSecond = nodes.rate(\.framesSent)
        peerBytesPerSecond = nodes.rate(\.bytesSent)
    }

    static var figures: [Figure<WritesReport>] {
        [.init("writes/s", \.writesPerSecond, Report.count)] + latencyFigures + ratioFigures + [
            .init("CPU per write, all nodes", \.cpuMicrosecondsPerWrite, Report.microseconds),
            .init("  of that user", \.userMicrosecondsPerWrite, Report.microseconds),
            .init("  of that system", \.systemMicrosecondsPerWrite, Report.microseconds),
            .init("writes per sync, each node", \.writesPerSync) { Report.decimal($0, digits: 1) },
            .init("syncs/s, all nodes", \.syncsPerSecond, Report.count),
            .init("log written, all nodes", \.logBytesPerSecond) { "\(Report.bytes($0))/s" },
            .init("log written per write", \.logBytesPerWrite, Report.bytes),
            .init("peer frames/s, all nodes", \.peerFramesPerSecond, Report.count),
            .init("peer bytes/s, all nodes", \.peerBytesPerSecond) { "\(Report.bytes($0))/s" },
        ]
    }

    var settingsWords: String { settings.words }
}

extension WritesSettings {
    fileprivate var words: String {
        let calls = batch > 1 ? ", \(batch) a call" : ""
        let place = clients == .loop ? "in the loop" : "async\(calls)"
        let nodes = nodes == 3 ? "" : ", \(nodes) node\(nodes == 1 ? "" : "s")"
        let loops = loops == 1 ? "" : ", \(loops) loops a node"
        let work = workRounds == 0 ? "" : ", work \(workRounds)"
        let leaders = leaders == .spread ? "spread" : "all on one node"
        let load =
            rate.map { "\(groups) groups, \(Report.count($0))/s offered" }
            ?? "\(groups) groups × \(inFlight) in flight"
        let gather =
            gatherMicroseconds > 0
            ? ", gathering for \(Report.decimal(Double(gatherMicroseconds) / 1_000, digits: 1)) ms"
            : ""
        let skew = skew > 0 ? ", skew \(Report.decimal(skew))" : ""
        return "\(load)\(skew)\(gather)\(nodes)\(loops)\(work), \(payloadSizeBytes) B, "
            + "clients \(place), leaders \(leaders), \(Report.decimal(seconds, digits: 1)) s "
            + "after \(Report.decimal(warmupSeconds, digits: 1)) s"
    }
}
