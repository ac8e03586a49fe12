/// When the requests of an open loop are due: evenly, whatever became of those before, in bursts on
/// a grid of a millisecond. Latencies are counted from these times, so a stall is felt by every
/// request that was due in it (no coordinated omission).
struct OpenSchedule: Sendable {
    /// Nanoseconds between the moments at which requests come due; a wake-up for each single one
    /// would be all that was measured.
    static let grid: UInt64 = 1_000_000

    private let start: UInt64
    private let interval: Double
    /// How many have come due so far.
    private(set) var count: UInt64 = 0
    /// When the next one is due.
    private(set) var due: UInt64

    /// From `start`, on the monotonic clock. `perSecond` is above zero.
    init(perSecond: Double, start: UInt64) {
        precondition(perSecond > 0)
        self.start = start
        interval = 1e9 / perSecond
        due = start
    }

    /// The time at which one more was due; nil if none is by now.
    @inline(__always)
    mutating func take(by now: UInt64) -> UInt64? {
        guard due <= now else { return nil }
        defer {
            count += 1
            due = time(of: count)
        }
        return due
    }

    /// Passes over everything that is due by now.
    mutating func skip(by now: UInt64) { while take(by: now) != nil {} }

    /// Rounded up to the grid: never early.
    private func time(of number: UInt64) -> UInt64 {
        let steps = (Double(number) * interval / Double(OpenSchedule.grid)).rounded(.up)
        return start + UInt64(steps) * OpenSchedule.grid
    }
}
