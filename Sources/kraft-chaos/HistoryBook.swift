import KraftTestKit
import Synchronization

/// What all clients asked and were told.
final class HistoryBook: Sendable {
    private struct State {
        var history = History<KeyValueModel>()
        var limit: Int
        var answered = 0
        var refused = 0
        var open = 0
    }

    private let state: Mutex<State>
    private let start = ContinuousClock.now

    init(limit: Int) { state = Mutex(State(limit: limit)) }

    func raiseLimit(by more: Int) { state.withLock { $0.limit = $0.history.entries.count + more } }

    private var now: UInt64 {
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }

    /// Nil when enough was asked.
    func begin(
        process: Int, key: String, _ operation: KeyValueModel.Operation
    ) -> History<KeyValueModel>.Ticket? {
        let now = now
        return state.withLock { state in
            guard state.history.entries.count < state.limit else { return nil }
            return state.history.invoke(process: process, on: key, operation, at: now)
        }
    }

    func end(_ ticket: History<KeyValueModel>.Ticket, _ result: ChaosClient.Result) {
        let now = now
        state.withLock { state in
            switch result {
            case .answered(let answer):
                state.answered += 1
                state.history.end(ticket, .answered(answer, at: now))
            case .refused:
                state.refused += 1
                state.history.end(ticket, .refused(at: now))
            case .unknown: state.open += 1
            }
        }
    }

    var count: Int { state.withLock { $0.history.entries.count } }
    var isFull: Bool { state.withLock { $0.history.entries.count >= $0.limit } }
    var history: History<KeyValueModel> { state.withLock { $0.history } }
    var summary: String {
        state.withLock { "\($0.answered) answered, \($0.refused) refused, \($0.open) unknown" }
    }
}
