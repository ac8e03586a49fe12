/// One proposed command.
final class ProposeCall<Reply: BinaryCodable>:
    WaitingCall<Result<Reply, KraftError>>, @unchecked Sendable
{
    /// Where the command stands in the log, once it has succeeded.
    private(set) var index = LogIndex.zero
    /// However often it were asked again, the answer would be the same.
    private(set) var isFinal = false

    override func value(for error: KraftError) -> Result<Reply, KraftError> { .failure(error) }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        switch outcome {
        case .done(let index, _, _):
            self.index = index
            isFinal = true
        case .forgotten: isFinal = true
        case .refused, .unknown: break
        }
        resume(Result(outcome, reply: reply, group: group))
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
        results[position] = Result(outcome, reply: reply, group: group)
        missing -= 1
        if missing == 0 { resume(results) }
    }
}

extension Result where Success: BinaryCodable, Failure == KraftError {
    /// Reads a completion and the bytes of its reply.
    ///
    /// Runs unspecialized on the loop for each proposal: no key path, tuple or closure of a generic
    /// type may come in here, as their types would be looked up by name each time.
    init(_ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer, group: GroupName?) {
        guard case .done = outcome else {
            let error = KraftError(outcome, group: group)
            self = .failure(error ?? KraftError(.outcomeUnknown, "no outcome", group: group))
            return
        }
        var reader = ByteReader(reply)
        do throws(ByteReader.Malformed) {
            self = .success(try Success(from: &reader))
        } catch {
            // It has been applied: no other code may be used.
            self = .failure(
                KraftError(.outcomeUnknown, "applied, but its reply can't be read", group: group))
        }
    }
}
