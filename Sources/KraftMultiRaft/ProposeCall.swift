/// One proposed command. Without the type of its reply, which only the caller needs.
final class ProposeCall: AwaitedCall, @unchecked Sendable {
    /// Where the command stands in the log, once it has succeeded.
    private(set) var index = LogIndex.zero
    /// However often it were asked again, the answer would be the same.
    private(set) var isFinal = false
    /// Unchecked: between the loop and the caller stands `claim`.
    @exclusivity(unchecked) private var bytes = ReplyBytes()

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        guard case .done(let index, _, _) = outcome else { return completed(outcome) }
        guard claim() else { return }
        self.index = index
        isFinal = true
        bytes.keep(reply)
        wake()
    }

    private func completed(_ outcome: Completion.Outcome) {
        guard claim() else { return }
        if case .forgotten = outcome { isFinal = true }
        wake(with: KraftError(outcome, group: group))
    }

    /// What the state machine replied, or why it did not. For the caller, once the call has ended.
    func reply<Reply: BinaryCodable>() throws(KraftError) -> Reply {
        if let error { throw error }
        precondition(isFinal, "a proposal ended with nothing")
        return try bytes.withBytes { bytes throws(KraftError) in
            try Reply(reply: bytes, group: group)
        }
    }
}

/// Many proposed commands with one continuation.
final class ProposeManyCall: AwaitedCall, @unchecked Sendable {
    /// Where each command ends in the bytes that were submitted.
    let ends: [Int]
    private var ended: [Ended]
    private var missing: Int
    /// The replies, one after the other as they came.
    private var bytes: [UInt8] = []
    private var errors: [KraftError] = []

    private enum Ended {
        case awaited
        case replied(start: Int, count: Int)
        /// As the error of this place.
        case failed(Int)
    }

    init(group: GroupName?, ends: [Int]) {
        self.ends = ends
        missing = ends.count
        ended = Array(repeating: .awaited, count: ends.count)
        super.init(group: group)
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        guard case .awaited = ended[position] else {
            preconditionFailure("a proposal ended twice")
        }
        if case .done = outcome {
            ended[position] = .replied(start: bytes.count, count: reply.count)
            if reply.count > 0 { bytes.append(contentsOf: reply) }
        } else if let error = KraftError(outcome, group: group) {
            ended[position] = .failed(errors.count)
            errors.append(error)
        }
        missing -= 1
        if missing == 0, claim() { wake() }
    }

    /// One result for each command, in order. For the caller, once the call has ended.
    func replies<Reply: BinaryCodable>() -> [Result<Reply, KraftError>] {
        if let error { return Array(repeating: .failure(error), count: ends.count) }
        var results: [Result<Reply, KraftError>] = []
        results.reserveCapacity(ended.count)
        bytes.withUnsafeBytes { bytes in
            for end in ended {
                switch end {
                case .awaited: preconditionFailure("a proposal ended with nothing")
                case .replied(let start, let count):
                    let reply = UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
                    do throws(KraftError) {
                        results.append(.success(try Reply(reply: reply, group: group)))
                    } catch {
                        results.append(.failure(error))
                    }
                case .failed(let place): results.append(.failure(errors[place]))
                }
            }
        }
        return results
    }
}

extension BinaryCodable {
    /// What a state machine wrote as its reply.
    init(reply: UnsafeRawBufferPointer, group: GroupName?) throws(KraftError) {
        var reader = ByteReader(reply)
        do throws(ByteReader.Malformed) {
            try self.init(from: &reader)
        } catch {
            // It has been applied: no other code may be used.
            throw KraftError(.outcomeUnknown, "applied, but its reply can't be read", group: group)
        }
    }
}

/// A reply's bytes; short ones take no allocation.
struct ReplyBytes {
    private var short: (UInt64, UInt64, UInt64) = (0, 0, 0)
    private var shortCount = 0
    private var long: [UInt8] = []

    mutating func keep(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= MemoryLayout.size(ofValue: short) else {
            long = Array(bytes)
            return
        }
        shortCount = bytes.count
        withUnsafeMutableBytes(of: &short) { $0.copyMemory(from: bytes) }
    }

    func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        guard long.isEmpty else {
            return try long.withUnsafeBufferPointer { bytes throws(Failure) in
                try body(UnsafeRawBufferPointer(bytes))
            }
        }
        return try withUnsafePointer(to: short) { bytes throws(Failure) in
            try body(UnsafeRawBufferPointer(start: bytes, count: shortCount))
        }
    }
}
