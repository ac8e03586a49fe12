import KraftLoop
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1)))
struct EventLoopTests {
    @Test func `every job given from many threads runs, each thread's in order`() async throws {
        try await EventLoop.with { loop in
            let seen = Seen()
            await withTaskGroup { group in
                for thread in 0..<8 {
                    group.addTask {
                        for number in 0..<1_000 {
                            loop.execute { seen.note(number, of: thread) }
                        }
                    }
                }
            }
            try await loop.run {}
            let all = seen.numbers.withLock { $0 }
            #expect(all.count == 8)
            #expect(all.values.allSatisfy { $0 == Array(0..<1_000) })
        }
    }

    @Test func `jobs given around stop run or are dropped, never crash`() async throws {
        for _ in 0..<50 {
            let loop = try EventLoop()
            try loop.start()
            async let sender: Void = {
                for _ in 0..<200 {
                    loop.execute {}
                    loop.wake()
                }
            }()
            await loop.stopAndWait()
            await sender
            loop.execute { Issue.record("a job ran after the loop had ended") }
        }
    }

    @Test func `a loop that was never started goes away`() throws {
        _ = try EventLoop()
    }

    @Test func `a timer comes at its time, not before it and at most a little after`() async throws
    {
        try await EventLoop.with { loop in
            for milliseconds in [0, 3, 20] as [UInt64] {
                let late = Promise<Int64>()
                loop.execute {
                    let due = EventLoop.clock + milliseconds * 1_000_000 + 1
                    loop.delegate = TurnRecorder(timer: {
                        late.fulfil(Int64(EventLoop.clock) - Int64(due))
                    })
                    loop.armTimer(at: due)
                }
                let nanoseconds = await late.value
                #expect(nanoseconds >= 0)
                // Its own lateness is under 2 ms; the rest is patience with a busy machine.
                #expect(nanoseconds < 200_000_000)
            }
        }
    }

    @Test func `an earlier deadline replaces a later one`() async throws {
        try await EventLoop.with { loop in
            let fired = Promise<UInt64>()
            let start = EventLoop.clock
            loop.execute {
                loop.delegate = TurnRecorder(timer: { fired.fulfil(EventLoop.clock) })
                loop.armTimer(at: start + 3_600_000_000_000)
                loop.armTimer(at: start + 2_000_000)
            }
            let end = await fired.value
            #expect(end - start < 30_000_000_000)
        }
    }

    @Test func `a turn ends once for all jobs of a batch`() async throws {
        try await EventLoop.with { loop in
            let done = Promise<Int>()
            let recorder = TurnRecorder(turn: { $0.turns += 1 })
            loop.execute {
                loop.delegate = recorder
                // These come together in the next batch.
                for _ in 0..<10 { loop.execute {} }
                loop.execute { loop.execute { done.fulfil(recorder.turns) } }
            }
            // The turn of the first job, and that of the batch.
            #expect(await done.value == 2)
        }
    }

    @Test func `a turn that asks for another one gets it without an event`() async throws {
        try await EventLoop.with { loop in
            let done = Promise<Void>()
            loop.execute {
                loop.delegate = TurnRecorder(turn: { recorder in
                    recorder.turns += 1
                    if recorder.turns < 100 { loop.requestTurn() } else { done.fulfil(()) }
                })
            }
            await done.value
        }
    }

    @Test func `work runs off the loop, and its result comes back on it`() async throws {
        try await EventLoop.with { loop in
            let result = Promise<(ranOff: Bool, cameBack: Bool)>()
            loop.execute {
                loop.work({ !loop.isOnLoop }, then: { result.fulfil(($0, loop.isOnLoop)) })
            }
            let value = await result.value
            #expect(value.ranOff && value.cameBack)
        }
    }

    @Test func `work under way is finished before the loop ends`() async throws {
        let loop = try EventLoop()
        try loop.start()
        let begun = Promise<Void>()
        let mayEnd = Promise<Void>()
        let finished = Promise<Void>()
        loop.execute {
            loop.work(
                {
                    begun.fulfil(())
                    while !mayEnd.isFulfilled {}
                }, then: { finished.fulfil(()) })
        }
        await begun.value
        async let stopped: Void = loop.stopAndWait()
        mayEnd.fulfil(())
        await stopped
        #expect(finished.isFulfilled)
    }
}

private final class Seen: Sendable {
    let numbers = Mutex([Int: [Int]]())
    func note(_ number: Int, of thread: Int) {
        numbers.withLock { $0[thread, default: []].append(number) }
    }
}

/// `@unchecked Sendable`: used on one loop only.
private final class TurnRecorder: EventLoopDelegate, @unchecked Sendable {
    var turns = 0
    private let timer: () -> Void
    private let turn: (TurnRecorder) -> Void

    init(timer: @escaping () -> Void = {}, turn: @escaping (TurnRecorder) -> Void = { _ in }) {
        (self.timer, self.turn) = (timer, turn)
    }

    func loopTimerFired() { timer() }
    func loopTurnEnds() { turn(self) }
}
