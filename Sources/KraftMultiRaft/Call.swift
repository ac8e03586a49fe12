import Synchronization

/// A caller that waits for the loop. The loop answers it once; a cancelled task may be quicker.
///
/// `@unchecked Sendable`: what is not behind `phase` belongs to the caller until the call is
/// submitted, and to the loop from then on.
class Call: @unchecked Sendable {
    let group: GroupName?

    init(group: GroupName?) { self.group = group }

    /// One of the call's requests ended. `reply` is valid during the call.
    func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) { preconditionFailure("this call makes no proposal") }

    /// A read may run now, on this state machine, which has applied `index`.
    func answer(from box: MachineBox, index: @autoclosure () -> LogIndex) {
        preconditionFailure("this call makes no read")
    }

    /// The call as a whole can't be served: its requests never reached the engine, or `error` says
    /// that their outcome is unknown.
    func fail(_ error: KraftError) { preconditionFailure("abstract") }

    /// The node ends while the call's requests are with the engine.
    func abandon() { preconditionFailure("abstract") }
}

/// Who may resume a call's continuation: whoever takes the phase from `waiting` to `ended`.
private enum Phase {
    static let created: UInt8 = 0
    static let waiting: UInt8 = 1
    static let ended: UInt8 = 2
}

/// A call with a caller that awaits one value.
class WaitingCall<Value: Sendable>: Call, @unchecked Sendable {
    private let phase = Atomic(Phase.created)
    private var continuation: UnsafeContinuation<Value, Never>?

    /// What the caller gets for an error of the whole call.
    func value(for error: KraftError) -> Value { preconditionFailure("abstract") }

    final override func fail(_ error: KraftError) { resume(value(for: error)) }

    /// A read turns this into an error that says what holds for reads.
    func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.outcomeUnknown, message, group: group)
    }

    final override func abandon() {
        fail(errorOfUnknown("the node shut down while the request was under way"))
    }

    final func resume(_ value: Value) {
        guard phase.exchange(Phase.ended, ordering: .acquiringAndReleasing) == Phase.waiting
        else { return }
        continuation?.resume(returning: value)
        continuation = nil
    }

    /// Hands the call over by `submit`, and waits for its value. Returns at once when the task is
    /// cancelled.
    final func value(
        submit: (WaitingCall<Value>) -> KraftError?
    ) async -> Value {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                self.continuation = continuation
                let (isWaiting, _) = phase.compareExchange(
                    expected: Phase.created, desired: Phase.waiting,
                    ordering: .acquiringAndReleasing)
                guard isWaiting else {
                    let error = KraftError(
                        .unavailable, "the task was cancelled before the request was made",
                        group: group)
                    return continuation.resume(returning: value(for: error))
                }
                if let refusal = submit(self) { fail(refusal) }
            }
        } onCancel: {
            fail(errorOfUnknown("the task was cancelled while the request was under way"))
        }
    }
}

/// A request that ends with "done" or an error: creation, removal, transfer.
final class DoneCall: WaitingCall<Result<Void, KraftError>>, @unchecked Sendable {
    /// Ends at once, as `body` does.
    func end(_ body: () throws(KraftError) -> Void) {
        do throws(KraftError) {
            try body()
            resume(.success(()))
        } catch {
            fail(error)
        }
    }

    override func value(for error: KraftError) -> Result<Void, KraftError> { .failure(error) }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        if let error = KraftError(outcome, group: group) {
            fail(error)
        } else {
            resume(.success(()))
        }
    }
}
