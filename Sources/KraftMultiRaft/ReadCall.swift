/// One query.
final class ReadCall<S: StateMachine & Sendable>:
    WaitingCall<Result<S.Answer, KraftError>>, @unchecked Sendable
{
    private let query: S.Query
    private let wantsIndex: Bool
    /// What had been applied when it was answered, if that was wanted.
    private(set) var index = LogIndex.zero

    init(group: GroupName?, query: S.Query, wantsIndex: Bool) {
        (self.query, self.wantsIndex) = (query, wantsIndex)
        super.init(group: group)
    }

    override func value(for error: KraftError) -> Result<S.Answer, KraftError> { .failure(error) }

    /// A read has no effect, so nothing about it can be unknown.
    override func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.unavailable, message, group: group)
    }

    override func answer(from box: MachineBox, index: @autoclosure () -> LogIndex) {
        guard let box = box as? TypedMachineBox<S> else {
            return fail(KraftError(.conflict, "the group holds another type", group: group))
        }
        if wantsIndex { self.index = index() }
        resume(.success(box.machine.answer(query)))
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        guard let error = KraftError(outcome, group: group) else {
            preconditionFailure("a read ends with its answer, not with a reply")
        }
        let code = error.code == .outcomeUnknown ? .unavailable : error.code
        fail(KraftError(code, error.message, group: group, leader: error.leader))
    }
}
