import Foundation
import Synchronization

/// A thread that says when requests of a schedule are due. It sleeps in between.
final class Pacer: Sendable {
    /// The longest sleep, so that it ends soon after `stop`.
    private static let napNanoseconds: UInt64 = 50_000_000

    private let isOver = Atomic(false)
    /// It was said that something is due, and nobody has looked yet.
    private let isUnderWay = Atomic(false)

    /// `say` has to see to it that what it is given is called once the schedule was looked at.
    func start(
        _ schedule: OpenSchedule, say: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void
    ) {
        Thread.detachNewThread { [self] in
            var schedule = schedule
            while !isOver.load(ordering: .relaxed) {
                let now = monotonicClock()
                guard schedule.due <= now else {
                    Pacer.sleep(until: min(schedule.due, now + Pacer.napNanoseconds))
                    continue
                }
                schedule.skip(by: now)
                // A loop that is late finds everything that is due when it gets to it.
                if !isUnderWay.exchange(true, ordering: .acquiringAndReleasing) {
                    say { [self] in isUnderWay.store(false, ordering: .releasing) }
                }
            }
        }
    }

    func stop() { isOver.store(true, ordering: .relaxed) }

    private static func sleep(until clock: UInt64) {
        var time = timespec()
        time.tv_sec = Int(clock / 1_000_000_000)
        time.tv_nsec = Int(clock % 1_000_000_000)
        _ = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil)
    }
}
