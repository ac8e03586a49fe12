import Foundation
import KraftLoop
import Testing

@testable import KraftMultiRaft

/// Who holds a call on while it is under way, and that nobody does once it has ended.
@Suite(.timeLimit(.minutes(2)))
struct CallLifetimeTests {
    @Test func `a closed queue refuses a call and doesn't hold it`() throws {
        let queue = SubmissionQueue(try EventLoop(), requestLimit: 9, sizeLimitBytes: 1_000)
        queue.close()
        weak var seen: Call?
        do {
            let call = ProposeCall(group: nil)
            seen = call
            #expect(queue.submit(CallLifetimeTests.submission(of: call))?.code == .unavailable)
        }
        #expect(seen == nil)
        var batch = SubmissionQueue.Batch()
        queue.take(&batch)
        #expect(batch.submissions.isEmpty)
    }

    @Test func `a table that gives all its calls back holds none, and knows none of their tokens`()
        throws
    {
        var table = CallTable()
        weak var many: Call?
        weak var one: Call?
        var tokens: [RequestToken] = []
        do {
            let first = ProposeManyCall(group: nil, ends: [1, 2])
            let second = ProposeCall(group: nil)
            (many, one) = (first, second)
            for (call, count) in [(first as Call, 2), (second, 1)] {
                let token = table.add(call, count: count)
                tokens.append(try #require(token))
            }
            // One of its requests has ended: the call is still there.
            #expect(table.take(tokens[0])?.position == 0)
            let calls = table.removeAll()
            #expect(calls.count == 2 && calls[0] === first && calls[1] === second)
        }
        #expect(many == nil && one == nil)
        for late in [tokens[0], tokens[0] + 1, tokens[1]] { #expect(table.take(late) == nil) }
        // Their places are another's; the old tokens don't reach it.
        let next = ProposeCall(group: nil)
        let token = table.add(next)
        #expect(token != tokens[0] && token != tokens[1])
        for late in [tokens[0], tokens[0] + 1, tokens[1]] { #expect(table.take(late) == nil) }
        #expect(table.take(try #require(token))?.call === next)
        #expect(table.removeAll().isEmpty)
    }

    @Test func `a call of a task that was cancelled before makes no request, and isn't held`()
        async
    {
        let (code, isGone) = await Task { () -> (KraftError.Code?, Bool) in
            withUnsafeCurrentTask { $0?.cancel() }
            weak var seen: Call?
            var code: KraftError.Code?
            do {
                let call = ProposeCall(group: nil)
                seen = call
                await call.ended {
                    Issue.record("submitted")
                    return nil
                }
                code = call.error?.code
            }
            return (code, seen == nil)
        }.value
        #expect(code == .unavailable)
        #expect(isGone)
    }

    @Test func `a read of a group of another type is refused, and neither call nor box is kept`()
        async throws
    {
        weak var seenBox: MachineBox?
        do {
            let box = TypedMachineBox(LastValue())
            seenBox = box
            let call = ReadCall<Counter>(
                group: nil, boxType: ObjectIdentifier(TypedMachineBox<Counter>.self), query: .sum,
                wantsIndex: true)
            await call.ended {
                call.answer(from: box, index: LogIndex(3))
                return nil
            }
            let error = #expect(throws: KraftError.self) { try call.get() }
            #expect(error?.code == .conflict)
            #expect(call.index == .zero)
        }
        #expect(seenBox == nil)
    }

    @Test func `what waits for the loop when the node ends is refused, and let go`()
        async throws
    {
        try await refused(.unavailable) { driver, _ in driver.failWaitingSubmissions() }
    }

    @Test func `what waits for the loop while its group is removed is refused, and let go`()
        async throws
    {
        try await refused(.notFound) { driver, name in
            driver.removeGroup(name, call: DoneCall(group: name))
        }
    }

    /// Submits calls while the loop is held; then `body` runs there, before the loop takes them.
    private func refused(
        _ code: KraftError.Code, _ body: @escaping @Sendable (NodeDriver, GroupName) -> Void
    ) async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            for kind in [Submission.Kind.propose, .read, .localRead] {
                let group = try await node.createGroup("g") { Counter() }
                let before = try await group.propose(1)
                let submitted = DispatchSemaphore(value: 0)
                await withCheckedContinuation { continuation in
                    node.withDriver { driver in
                        continuation.resume()
                        _ = submitted.wait(timeout: .now() + 60)
                        body(driver, group.name)
                    }
                }
                weak var seen: Call?
                do {
                    let call = CallLifetimeTests.call(kind, group)
                    seen = call
                    let submission = group.submission(kind, call, timeout: .seconds(60))
                    await call.ended {
                        let refusal = group.queue.submit(submission, ByteWriter())
                        submitted.signal()
                        return refusal
                    }
                    #expect(call.error?.code == code)
                }
                // The loop had it last.
                try await eventually("the call is let go") { seen == nil }
                guard code != .notFound else { continue }
                #expect(try await group.propose(1) == before + 1)
            }
        }
    }

    private static func call(_ kind: Submission.Kind, _ group: Group<Counter>) -> AwaitedCall {
        guard kind != .propose else { return ProposeCall(group: group.name) }
        return ReadCall<Counter>(
            group: group.name, boxType: group.boxType, query: .sum, wantsIndex: false)
    }

    private static func submission(of call: Call) -> Submission {
        Submission(
            .propose, call, slot: GroupSlot(rawValue: 0), group: GroupID(1), deadline: .never)
    }
}
