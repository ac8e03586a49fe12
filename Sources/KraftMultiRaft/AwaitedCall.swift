import Synchronization

/// Who may end a call: whoever takes the phase from `waiting` to `ended`.
private enum Phase {
    static let created: UInt8 = 0
    static let waiting: UInt8 = 1
    static let ended: UInt8 = 2
}

/// A call whose caller is a suspended task.
///
/// One type of continuation for all calls, and no generic one: what the loop does for each call needs
/// no type that has to be looked up. A subclass keeps what the call ended with until its caller,
/// resumed, takes it.
///
/// The continuation is an unsafe one: `phase` sees to it that it is resumed once, and the call table
/// that every call ends.
class AwaitedCall: Call, @unchecked Sendable {
    private let phase = Atomic(Phase.created)
    private var continuation: UnsafeContinuation<Void, Never>?
    /// Why the call could not be served. The caller's, once it is resumed.
    private(set) final var error: KraftError?

    /// A read turns this into an error that says what holds for reads.
    func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.outcomeUnknown, message, group: group)
    }

    /// True for one of those who would end the call: it may now write what the call ends with, and
    /// has to `wake` the caller then. The caller of a call that was claimed touches nothing of it.
    @inline(__always)
    final func claim() -> Bool {
        phase.exchange(Phase.ended, ordering: .acquiringAndReleasing) == Phase.waiting
    }

    @inline(__always)
    final func wake() { continuation?.resume() }

    final override func fail(_ error: KraftError) {
        guard claim() else { return }
        wake(with: error)
    }

    /// As `wake`, to tell the caller why.
    final func wake(with error: KraftError?) {
        self.error = error
        wake()
    }

    final override func abandon() {
        fail(errorOfUnknown("the node shut down while the request was under way"))
    }

    /// Hands the call over by `submit`, and waits for its end. Returns at once when the task is
    /// cancelled.
    final func ended(submit: () -> KraftError?) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                self.continuation = continuation
                let (isWaiting, _) = phase.compareExchange(
                    expected: Phase.created, desired: Phase.waiting,
                    ordering: .acquiringAndReleasing)
                guard isWaiting else {
                    error = KraftError(
                        .unavailable, "the task was cancelled before the request was made",
                        group: group)
                    return continuation.resume()
                }
                if let refusal = submit() { fail(refusal) }
            }
        } onCancel: {
            fail(errorOfUnknown("the task was cancelled while the request was under way"))
        }
    }
}

/// A call that ends with one value: for what isn't asked for so often that its type matters.
class WaitingCall<Value: Sendable>: AwaitedCall, @unchecked Sendable {
    private var value: Value?

    /// What the caller gets for an error of the whole call.
    func value(for error: KraftError) -> Value { preconditionFailure("abstract") }

    final func resume(_ value: Value) {
        guard claim() else { return }
        self.value = value
        wake()
    }

    /// As `ended`; with what it ended with.
    final func value(submit: () -> KraftError?) async -> Value {
        await ended(submit: submit)
        if let error { return value(for: error) }
        guard let value else { preconditionFailure("a call ended with nothing") }
        return value
    }
}
