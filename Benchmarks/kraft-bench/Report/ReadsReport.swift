/// What a run of reads found.
struct ReadsReport: LoadReport {
    static let title = "reads"

    var settings: ReadsSettings
    var readsPerSecond: Double
    var latencyMicroseconds: Percentiles
    /// Of all nodes, user and system.
    var cpuMicrosecondsPerRead: Double
    var peerFramesPerSecond: Double
    /// From begin to end, warm-up too.
    var reads: UInt64
    var check: ResultCheck
    var machine: Machine
    var limits: MachineLimits
    var percentUsedByOthers: Double

    init(
        settings: ReadsSettings, meter: Meter, reads: UInt64, check: ResultCheck, machine: Machine,
        limits: MachineLimits
    ) {
        self.settings = settings
        self.reads = reads
        self.check = check
        self.machine = machine
        self.limits = limits
        percentUsedByOthers = meter.percentUsedByOthers
        let latencies = meter.nodes.latencies
        readsPerSecond = meter.nodes.rate { $0.latencies.count }
        latencyMicroseconds = Percentiles(latencies)
        cpuMicrosecondsPerRead =
            meter.nodes.total(\.cpuMicroseconds) / max(1, Double(latencies.count))
        peerFramesPerSecond = meter.nodes.rate(\.framesSent)
    }

    static var figures: [Figure<ReadsReport>] {
        [.init("reads/s", \.readsPerSecond, Report.count)] + latencyFigures + [
            .init("p50 / p50 of a loopback round", \.p50ByLoopback, Report.ratio),
            .init("CPU per read, all nodes", \.cpuMicrosecondsPerRead) {
                "\(Report.decimal($0, digits: 3)) µs"
            },
            .init("peer frames/s, all nodes", \.peerFramesPerSecond, Report.count),
        ]
    }

    var settingsWords: String {
        let place = settings.clients == .loop ? "in the loop" : "async"
        let node = settings.isAtFollowers ? "at followers" : "at leaders"
        return "\(settings.level.rawValue), \(settings.groups) groups × \(settings.inFlight) in "
            + "flight, clients \(place) \(node), \(Report.decimal(settings.seconds, digits: 1)) s"
    }
}
