import KraftMultiRaft
import Synchronization

/// Notes when this node becomes the leader of groups that somebody else led.
final class LeaderWatch: Sendable {
    private struct State {
        /// The groups that are still led elsewhere.
        var missing: Set<String> = []
        var clocks: [UInt64] = []
    }

    private let state = Mutex(State())

    /// When it came to lead each of those that it leads by now; on the monotonic clock.
    var clocks: [UInt64] { state.withLock { $0.clocks } }

    /// Returns when nothing is missed any more.
    func start(_ kraft: KraftMultiRaft, _ names: [String]) async throws {
        state.withLock { $0 = State(missing: Set(names)) }
        let (begun, continuation) = AsyncStream<Void>.makeStream()
        Task {
            for await event in kraft.events {
                switch event {
                case .snapshot: continuation.finish()
                case .leaderChanged(let group, let leader, _) where leader == kraft.node:
                    note([group.string])
                case .dropped:
                    // Too many at once for the events: then as they stand now.
                    let status = await kraft.status()
                    note(status.groups.filter { $0.role == .leader }.map(\.name.string))
                default: break
                }
            }
        }
        for await _ in begun {}
    }

    private func note(_ names: [String]) {
        let now = monotonicClock()
        state.withLock { state in
            for name in names where state.missing.remove(name) != nil {
                state.clocks.append(now)
            }
        }
    }
}
