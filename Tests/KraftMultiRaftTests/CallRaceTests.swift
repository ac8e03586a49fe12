import Foundation
import Synchronization
import Testing

@testable import KraftMultiRaft

/// Calls that two threads would end at the same time.
@Suite(.timeLimit(.minutes(1)))
struct CallRaceTests {
    @Test func `a call that is answered and cancelled at the same time ends once, as one of both`()
        async
    {
        let end = ContinuousClock.now + .seconds(1)
        var rounds = 0
        while rounds < 400, ContinuousClock.now < end {
            await race(over: 64)
            rounds += 1
        }
        #expect(rounds > 0)
    }

    private func race(over count: Int) async {
        let calls = (0..<count).map { _ in ProposeCall(group: nil) }
        let waiting = Count()
        let tasks = calls.map { call in
            Task { () -> Result<UInt64, KraftError> in
                await call.ended {
                    _ = waiting.add()
                    return nil
                }
                return Result { () throws(KraftError) -> UInt64 in try call.reply() }
            }
        }
        while waiting.count < count { await Task.yield() }
        await together(
            count, { number in UInt64(number).answer(calls[number]) },
            { number in tasks[number].cancel() })
        for (number, task) in tasks.enumerated() {
            let call = calls[number]
            switch await task.value {
            case .success(let reply):
                #expect(reply == UInt64(number))
                #expect(call.index == LogIndex(7) && call.error == nil)
            case .failure(let error):
                #expect(error.code == .outcomeUnknown)
                #expect(call.index == .zero && !call.isFinal, "it was answered, too")
            }
        }
    }

    /// Does both for each number on a thread each, one number after the other, in step.
    private func together(
        _ count: Int, _ first: @escaping @Sendable (Int) -> Void,
        _ second: @escaping @Sendable (Int) -> Void
    ) async {
        let (pace, ended) = (Pace(), Count())
        await withCheckedContinuation { continuation in
            for (side, work) in [first, second].enumerated() {
                Thread.detachNewThread {
                    for number in 0..<count {
                        pace.wait(side, at: number)
                        work(number)
                    }
                    if ended.add() == 2 { continuation.resume() }
                }
            }
        }
    }
}

/// Keeps two threads in step.
private final class Pace: Sendable {
    private let left = Atomic(-1)
    private let right = Atomic(-1)

    /// Returns once the other side has come to `number`, too.
    func wait(_ side: Int, at number: Int) {
        if side == 0 {
            left.store(number, ordering: .releasing)
            while right.load(ordering: .acquiring) < number { sched_yield() }
        } else {
            right.store(number, ordering: .releasing)
            while left.load(ordering: .acquiring) < number { sched_yield() }
        }
    }
}

private final class Count: Sendable {
    private let value = Atomic(0)
    var count: Int { value.load(ordering: .acquiring) }
    /// Returns the count with this one.
    func add() -> Int { value.add(1, ordering: .acquiringAndReleasing).newValue }
}

extension UInt64 {
    /// Ends a call as the loop does, with this as the reply.
    fileprivate func answer(_ call: Call) {
        withUnsafeBytes(of: littleEndian) {
            call.completed(
                0, .done(index: LogIndex(7), replyStart: 0, replyCount: $0.count), reply: $0)
        }
    }
}
