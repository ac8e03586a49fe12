import RaftCore

/// A node's monotonic clock: an offset of its own, and a rate that may be wrong by some percent.
///
/// Simulated time and the node's instants are both in nanoseconds; instants of two nodes, or of two
/// lives of one node, can't be compared.
struct SimulatedClock {
    private static let unit: UInt64 = 1_024

    let offset: UInt64
    /// How far it advances in 1,024 ns: 1,024 when it is right.
    let rate: UInt64

    /// - `skewPercent`: how much too fast it runs; negative for too slow.
    init(offset: UInt64, skewPercent: Int) {
        self.offset = offset
        rate = UInt64(Int(SimulatedClock.unit) + Int(SimulatedClock.unit) * skewPercent / 100)
    }

    func instant(at time: UInt64) -> Instant {
        Instant(nanoseconds: offset + time * rate / SimulatedClock.unit)
    }

    /// The first moment at which the clock shows `instant` or later; nil for never.
    func time(of instant: Instant) -> UInt64? {
        guard instant != .never else { return nil }
        guard instant.nanoseconds > offset else { return 0 }
        let (product, overflow) = (instant.nanoseconds - offset)
            .multipliedReportingOverflow(by: SimulatedClock.unit)
        guard !overflow else { return nil }
        return (product + rate - 1) / rate
    }
}
