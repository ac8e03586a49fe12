import KraftLoop
import Testing

@testable import KraftMultiRaft

/// What a call keeps, who holds it, and who ends it.
struct CallTests {
    @Test(arguments: [0, 1, 23, 24, 25, 1_000])
    func `a reply of any length reaches its caller`(count: Int) throws {
        let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) }
        var kept = ReplyBytes()
        sent.withUnsafeBytes { kept.keep($0) }
        #expect(kept.withBytes { Array($0) } == sent)
    }

    @Test func `replies of many commands may come in any order`() async throws {
        let call = ProposeManyCall(group: nil, ends: [1, 2, 3])
        await call.ended {
            for position in [2, 0, 1] {
                var writer = ByteWriter()
                writer.write(UInt64(position * 10))
                writer.bytes.withUnsafeBytes {
                    call.completed(position, position == 1 ? .unknown : .applied, reply: $0)
                }
            }
            return nil
        }
        let replies: [Result<UInt64, KraftError>] = call.replies()
        #expect(try replies[0].get() == 0)
        #expect(throws: KraftError.self) { try replies[1].get() }
        #expect(try replies[2].get() == 20)
    }

    @Test func `what comes after a call has ended changes nothing`() async throws {
        let call = ProposeCall(group: nil)
        await call.ended { KraftError(.overloaded, "no room") }
        UInt64(5).bytes { call.completed(0, .applied, reply: $0) }
        let error = #expect(throws: KraftError.self) { let _: UInt64 = try call.reply() }
        #expect(error?.code == .overloaded)
        #expect(call.index == .zero)
    }

    @Test func `a proposal that ends twice, or is asked for what it hasn't got, is a bug`() async {
        await #expect(processExitsWith: .failure) {
            let call = ProposeManyCall(group: nil, ends: [1, 2])
            for _ in 1...2 { UInt64(5).bytes { call.completed(0, .applied, reply: $0) } }
        }
        await #expect(processExitsWith: .failure) {
            let call = ProposeManyCall(group: nil, ends: [1, 2])
            UInt64(5).bytes { call.completed(0, .applied, reply: $0) }
            let _: [Result<UInt64, KraftError>] = call.replies()
        }
        await #expect(processExitsWith: .failure) {
            let call = ProposeCall(group: nil)
            _ = try? call.reply() as UInt64
        }
    }

    @Test func `a reply that can't be read leaves the outcome unknown`() async throws {
        let call = ProposeCall(group: nil)
        await call.ended {
            [UInt8(1)].withUnsafeBytes { call.completed(0, .applied, reply: $0) }
            return nil
        }
        let error = #expect(throws: KraftError.self) { let _: UInt64 = try call.reply() }
        #expect(error?.code == .outcomeUnknown)
    }

    @Test func `the table lets go of a call with the last of its requests`() throws {
        var table = CallTable()
        weak var seen: Call?
        let token: RequestToken
        do {
            let call = ProposeManyCall(group: nil, ends: [1, 2])
            seen = call
            let added = table.add(call, count: 2)
            token = try #require(added)
        }
        #expect(seen != nil)
        let second = table.take(token + 1)?.position
        #expect(second == 1)
        #expect(seen != nil)
        let first = table.take(token)?.position
        #expect(first == 0)
        #expect(seen == nil)
        let again = table.take(token)?.position
        #expect(again == nil)
    }

    @Test func `a queue holds a call until it is taken, and a refused one not at all`() throws {
        let queue = SubmissionQueue(try EventLoop(), requestLimit: 1, sizeLimitBytes: 1_000)
        weak var taken: Call?
        weak var refused: Call?
        do {
            let first = ProposeCall(group: nil)
            let second = ProposeCall(group: nil)
            (taken, refused) = (first, second)
            #expect(queue.submit(submission(of: first)) == nil)
            #expect(queue.submit(submission(of: second))?.code == .overloaded)
        }
        #expect(refused == nil)
        #expect(taken != nil)
        var batch = SubmissionQueue.Batch()
        queue.take(&batch)
        for submission in batch.submissions { submission.call.release() }
        #expect(taken == nil)
    }

    private func submission(of call: Call) -> Submission {
        Submission(
            .propose, call, slot: GroupSlot(rawValue: 0), group: GroupID(1), deadline: .never)
    }
}

extension Completion.Outcome {
    fileprivate static var applied: Completion.Outcome {
        .done(index: LogIndex(7), replyStart: 0, replyCount: 0)
    }
}

extension UInt64 {
    fileprivate func bytes(_ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeBytes(of: littleEndian) { body($0) }
    }
}
