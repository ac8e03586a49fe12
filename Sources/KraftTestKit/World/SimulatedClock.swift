import RaftCore

/// A node's monotonic clock: an offset of its own, and a rate that may be wrong by some percent.
///
/// Simulated time and the node's instants are both in nanoseconds; instants of two nodes, or of two
/// lives of one node, can't be compared.
struct SimulatedClock {
    private static let unit: UInt64 = 1_024

    /// What it showed at `start`, since when it has had its rate.
    private var offset: UInt64
    private var start: UInt64 = 0
    /// How far it advances in 1,024 ns: 1,024 when it is right.
    private var rate: UInt64

    /// - `skewPercent`: how much too fast it runs; negative for too slow.
    init(offset: UInt64, skewPercent: Int) {
        self.offset = offset
        rate = SimulatedClock.rate(skewPercent)
    }

    private static func rate(_ skewPercent: Int) -> UInt64 {
        UInt64(Int(unit) + Int(unit) * skewPercent / 100)
    }

    var isSkewed: Bool { rate != SimulatedClock.unit }

    /// From now on it runs at another rate; what it shows doesn't jump.
    mutating func change(at time: UInt64, skewPercent: Int) {
        offset = instant(at: time).nanoseconds
        start = time
        rate = SimulatedClock.rate(skewPercent)
    }

    /// What it shows at a time, which may not lie before the last change.
    func instant(at time: UInt64) -> Instant {
        Instant(nanoseconds: offset + (time - start) * rate / SimulatedClock.unit)
    }

    /// The first moment at which the clock shows `instant` or later; nil for never.
    func time(of instant: Instant) -> UInt64? {
        guard instant != .never else { return nil }
        guard instant.nanoseconds > offset else { return start }
        let (product, overflow) = (instant.nanoseconds - offset)
            .multipliedReportingOverflow(by: SimulatedClock.unit)
        guard !overflow else { return nil }
        return start + (product + rate - 1) / rate
    }
}
