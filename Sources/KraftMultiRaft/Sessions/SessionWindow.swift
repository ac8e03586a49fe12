import Synchronization

/// Numbers a session's commands, and lets so many be under way as the group can tell apart: a number
/// is given out when the one 256 before it has been answered.
///
/// Who comes when there is no room waits in line until there is, bounded in number and time.
final class SessionWindow: Sendable {
    /// Commands under way; the group remembers as many.
    static let limit = 256
    /// Callers that wait for room; more are `overloaded`.
    static let waiterLimit = 1_024

    private struct Waiter {
        var id: UInt64
        var continuation: UnsafeContinuation<Result<UInt64, KraftError>, Never>
    }

    private struct State {
        var next: UInt64 = 1
        /// The lowest number that hasn't been answered.
        var lowest: UInt64 = 1
        /// Numbers from `lowest` on that have been answered, by their remainder.
        var isAnswered = [Bool](repeating: false, count: SessionWindow.limit)
        var waiters: [Waiter] = []
        var nextWaiter: UInt64 = 0
        var error: KraftError?

        var hasRoom: Bool { next - lowest < UInt64(SessionWindow.limit) }

        mutating func take() -> UInt64 {
            defer { next += 1 }
            return next
        }
    }

    private let state = Mutex(State())
    private let group: GroupName

    init(group: GroupName) { self.group = group }

    /// The next number. Throws what `close` was told; `overloaded` when there is no room by the
    /// deadline; `unavailable` when the task is cancelled. Each number has to be given to `answered`.
    func take(deadline: ContinuousClock.Instant) async throws(KraftError) -> UInt64 {
        let atOnce = state.withLock { state -> Result<UInt64, KraftError>? in
            if let error = state.error { return .failure(error) }
            return state.waiters.isEmpty && state.hasRoom ? .success(state.take()) : nil
        }
        if let atOnce { return try atOnce.get() }
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let patience = Task { [self] in
            try? await Task.sleep(until: deadline, clock: .continuous)
            giveUp(id, KraftError(.overloaded, "the session's window is full", group: group))
        }
        defer { patience.cancel() }
        return try await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                wait(Waiter(id: id, continuation: continuation))
                // The handler may have been called before there was anybody to give up.
                if Task.isCancelled { cancelled(id) }
            }
        } onCancel: {
            cancelled(id)
        }.get()
    }

    private func wait(_ waiter: Waiter) {
        let result = state.withLock { state -> Result<UInt64, KraftError>? in
            if let error = state.error { return .failure(error) }
            if state.waiters.isEmpty, state.hasRoom { return .success(state.take()) }
            guard state.waiters.count < SessionWindow.waiterLimit else {
                return .failure(
                    KraftError(
                        .overloaded, "too many wait for the session's window", group: group))
            }
            state.waiters.append(waiter)
            return nil
        }
        if let result { waiter.continuation.resume(returning: result) }
    }

    private func cancelled(_ id: UInt64) {
        giveUp(
            id,
            KraftError(
                .unavailable, "the task was cancelled before the request was made", group: group))
    }

    private func giveUp(_ id: UInt64, _ error: KraftError) {
        let waiter = state.withLock { state -> Waiter? in
            guard let place = state.waiters.firstIndex(where: { $0.id == id }) else { return nil }
            return state.waiters.remove(at: place)
        }
        waiter?.continuation.resume(returning: .failure(error))
    }

    /// The command of this number has ended, well or not; it won't be sent again.
    func answered(_ sequence: UInt64) {
        let served = state.withLock { state -> [(Waiter, UInt64)] in
            let limit = UInt64(SessionWindow.limit)
            state.isAnswered[Int(sequence % limit)] = true
            while state.lowest < state.next, state.isAnswered[Int(state.lowest % limit)] {
                state.isAnswered[Int(state.lowest % limit)] = false
                state.lowest += 1
            }
            var served: [(Waiter, UInt64)] = []
            while !state.waiters.isEmpty, state.hasRoom {
                served.append((state.waiters.removeFirst(), state.take()))
            }
            return served
        }
        for (waiter, sequence) in served {
            waiter.continuation.resume(returning: .success(sequence))
        }
    }

    /// From now on `take` throws this, for those who wait too.
    func close(_ error: KraftError) {
        let waiters = state.withLock { state in
            if state.error == nil { state.error = error }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(returning: .failure(error)) }
    }

    var isClosed: Bool { state.withLock { $0.error != nil } }
}
