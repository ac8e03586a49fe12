import DequeModule
import KraftLoop

/// A queue in front of the loop's thread pool: so many pieces of work at once and no more, in the
/// order in which they came. What is long or many may not take the threads that the log's writes
/// need. Loop-confined.
final class PoolLane {
    private let loop: EventLoop
    private let limit: Int
    private var running = 0
    private var waiting = Deque<() -> Void>()

    init(_ loop: EventLoop, limit: Int) { (self.loop, self.limit) = (loop, limit) }

    /// Work that has not come back, or has not begun.
    var pendingCount: Int { running + waiting.count }

    /// Runs `body` on the pool, then `then` on the loop.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable () -> Value, then: @escaping (Value) -> Void
    ) {
        waiting.append { [self] in
            loop.work(body) { [self] value in
                running -= 1
                // First what waits already, or two that follow themselves would keep it out.
                startNext()
                then(value)
            }
        }
        startNext()
    }

    private func startNext() {
        while running < limit, let start = waiting.popFirst() {
            running += 1
            start()
        }
    }
}
