/// What the machine itself takes, measured in the same run, for ratios that hold on other machines.
struct MachineLimits: Codable, Sendable {
    /// 4 KiB written and synced.
    var fdatasync: Percentiles
    /// 64 bytes over TCP on loopback, and back.
    var loopback: Percentiles
}

/// Measures the limits, in several pieces: before and after what they are compared with.
///
/// Whoever else uses the machine may make a piece many times slower (a thread that wakes may wait
/// for the scheduler's next tick), and never quicker: the median is that of the best piece. What is
/// rare is looked for in all pieces.
struct LimitsProbe {
    private static let pieceCount = 3

    private var disk: [Latencies] = []
    private var loopback: [Latencies] = []

    /// Measures both, for one and a half times `seconds` in all.
    mutating func run(in folder: String, seconds: Double) async throws {
        let part = seconds / Double(LimitsProbe.pieceCount)
        for _ in 0..<LimitsProbe.pieceCount {
            try await Task.sleep(for: .milliseconds(20))
            var probe = DiskProbe()
            try probe.run(in: folder, seconds: part)
            disk.append(probe.latencies)
            var round = LoopbackProbe()
            try round.run(seconds: part / 2)
            loopback.append(round.latencies)
        }
    }

    var limits: MachineLimits {
        MachineLimits(
            fdatasync: LimitsProbe.percentiles(disk), loopback: LimitsProbe.percentiles(loopback))
    }

    static func percentiles(_ pieces: [Latencies]) -> Percentiles {
        var all = Latencies()
        for piece in pieces { all.add(piece) }
        var percentiles = Percentiles(all)
        percentiles.p50 = pieces.map { $0.percentile(50) }.min() ?? percentiles.p50
        return percentiles
    }
}
