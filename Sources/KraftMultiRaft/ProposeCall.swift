/// One proposed command.
final class ProposeCall<Reply: BinaryCodable>:
    WaitingCall<Result<(index: LogIndex, reply: Reply), KraftError>>, @unchecked Sendable
{
    typealias Outcome = Result<(index: LogIndex, reply: Reply), KraftError>

    override func value(for error: KraftError) -> Outcome { .failure(error) }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        resume(Outcome(outcome, reply: reply, group: group))
    }
}

/// Many proposed commands with one continuation.
final class ProposeManyCall<Reply: BinaryCodable>:
    WaitingCall<[Result<Reply, KraftError>]>, @unchecked Sendable
{
    /// Where each command ends in the bytes that were submitted.
    let ends: [Int]
    private var results: [Result<Reply, KraftError>]
    private var missing: Int

    init(group: GroupName?, ends: [Int]) {
        self.ends = ends
        missing = ends.count
        let unknown = KraftError(.outcomeUnknown, "no answer came", group: group)
        results = Array(repeating: .failure(unknown), count: ends.count)
        super.init(group: group)
    }

    override func value(for error: KraftError) -> [Result<Reply, KraftError>] {
        Array(repeating: .failure(error), count: ends.count)
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        let whole = ProposeCall<Reply>.Outcome(outcome, reply: reply, group: group)
        results[position] = whole.map(\.reply)
        missing -= 1
        if missing == 0 { resume(results) }
    }
}

extension Result where Failure == KraftError {
    /// Reads a completion and the bytes of its reply.
    init<Reply: BinaryCodable>(
        _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer, group: GroupName?
    ) where Success == (index: LogIndex, reply: Reply) {
        if let error = KraftError(outcome, group: group) {
            self = .failure(error)
            return
        }
        var reader = ByteReader(reply)
        guard case .done(let index, _, _) = outcome, let reply = try? Reply(from: &reader) else {
            // It has been applied: no other code may be used.
            self = .failure(
                KraftError(.outcomeUnknown, "applied, but its reply can't be read", group: group))
            return
        }
        self = .success((index, reply))
    }
}
