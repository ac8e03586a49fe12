import KraftMultiRaft

/// Commands per second of each group, from counters looked at now and then.
///
/// Nothing runs between two looks, so idle groups cost nothing; the rate is the mean since the look
/// before, and 0 at the first one.
struct RateMeter {
    private var counters: [GroupName: UInt64] = [:]
    private var rates: [GroupName: Double] = [:]
    private var lastLook: ContinuousClock.Instant?

    /// Looks closer together than this give the rates of the last one.
    static let shortestSpan = Duration.milliseconds(200)

    mutating func look(
        _ counters: [GroupName: UInt64], now: ContinuousClock.Instant
    ) -> [GroupName: Double] {
        if let lastLook, now - lastLook < RateMeter.shortestSpan { return rates }
        if let lastLook {
            let seconds = (now - lastLook) / Duration.seconds(1)
            rates = counters.reduce(into: [:]) { rates, entry in
                // A counter below its last value belongs to a group made anew: no rate.
                guard let before = self.counters[entry.key], entry.value >= before else { return }
                rates[entry.key] = Double(entry.value - before) / seconds
            }
        }
        self.counters = counters
        lastLook = now
        return rates
    }
}
