/// A caller that waits for the loop. The loop answers it once; a cancelled task may be quicker.
///
/// `@unchecked Sendable`: what a call holds belongs to the caller until the call is submitted,
/// to the loop from then on, and to the caller again when it has ended: see `AwaitedCall`.
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
