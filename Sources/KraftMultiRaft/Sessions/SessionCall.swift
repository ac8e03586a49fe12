/// A change of a group's sessions; ends with its reply.
final class SessionCall: WaitingCall<Result<[UInt8], KraftError>>, @unchecked Sendable {
    let change: SessionChange

    init(_ change: SessionChange, group: GroupName?) {
        self.change = change
        super.init(group: group)
    }

    override func value(for error: KraftError) -> Result<[UInt8], KraftError> { .failure(error) }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        if let error = KraftError(outcome, group: group) { return fail(error) }
        resume(.success(Array(reply)))
    }
}
