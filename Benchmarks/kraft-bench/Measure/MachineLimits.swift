/// What the machine itself takes, measured in the same run, for ratios that hold on other machines.
struct MachineLimits: Codable, Sendable {
    /// 4 KiB written and synced.
    var fdatasync: Percentiles
    /// 64 bytes over TCP on loopback, and back.
    var loopback: Percentiles
}

/// Measures the limits, in several pieces: before and after what they are compared with.
struct LimitsProbe {
    private var disk = DiskProbe()
    private var loopback = LoopbackProbe()

    mutating func run(in folder: String, seconds: Double) throws {
        try disk.run(in: folder, seconds: seconds)
        try loopback.run(seconds: seconds / 2)
    }

    var limits: MachineLimits {
        MachineLimits(
            fdatasync: Percentiles(disk.latencies), loopback: Percentiles(loopback.latencies))
    }
}
