import Synchronization

/// Hands a node's answers to whoever asked, one at a time. Ends with a failure.
final class Mailbox: Sendable {
    private struct State {
        var answers: [Answer] = []
        var waiter: CheckedContinuation<Answer, any Error>?
        var end: BenchFailure?
    }

    private let state = Mutex(State())

    func put(_ answer: Answer) {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            if state.waiter == nil { state.answers.append(answer) }
            return state.waiter
        }
        waiter?.resume(returning: answer)
    }

    /// Answers that have come may still be taken.
    func end(_ failure: BenchFailure) {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            if state.end == nil { state.end = failure }
            return state.waiter
        }
        waiter?.resume(throwing: failure)
    }

    /// The next answer. One taker at a time.
    func take() async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            let result = state.withLock { state -> Result<Answer, any Error>? in
                if !state.answers.isEmpty { return .success(state.answers.removeFirst()) }
                if let end = state.end { return .failure(end) }
                state.waiter = continuation
                return nil
            }
            if let result { continuation.resume(with: result) }
        }
    }
}
