/// One query.
final class ReadCall<S: StateMachine & Sendable>: AwaitedCall, @unchecked Sendable {
    private let query: S.Query
    private let wantsIndex: Bool
    /// `TypedMachineBox<S>`, which the handle of the group has looked up already.
    private let boxType: ObjectIdentifier
    /// What had been applied when it was answered, if that was wanted.
    private(set) var index = LogIndex.zero
    private var answer: S.Answer?

    init(
        group: GroupName?, boxType: ObjectIdentifier, query: S.Query, wantsIndex: Bool
    ) {
        (self.boxType, self.query, self.wantsIndex) = (boxType, query, wantsIndex)
        super.init(group: group)
    }

    /// A read has no effect, so nothing about it can be unknown.
    override func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.unavailable, message, group: group)
    }

    override func answer(from box: MachineBox, index: @autoclosure () -> LogIndex) {
        guard ObjectIdentifier(type(of: box)) == boxType else {
            return fail(KraftError(.conflict, "the group holds another type", group: group))
        }
        guard claim() else { return }
        // Its type is the one that was asked for; a checked cast looks that up by name.
        let box = unsafeDowncast(box, to: TypedMachineBox<S>.self)
        if wantsIndex { self.index = index() }
        answer = box.machine.answer(query)
        wake()
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

    /// The answer, or why there is none. For the caller, once the call has ended.
    func get() throws(KraftError) -> S.Answer {
        if let error { throw error }
        guard let answer else { preconditionFailure("a read ended with nothing") }
        return answer
    }
}
