import KraftEngine
import RaftCore
import Testing

@testable import KraftTestKit

/// The oracle of sessions is shown what it must refuse, and what it must not.
@Suite("The oracle of sessions (I12)")
struct SessionOracleTests {
    private let id = SessionID(9)
    private let day: UInt64 = 86_400_000

    private func opened(ttl: UInt64? = nil) -> SessionOracle {
        var oracle = SessionOracle()
        let change = SessionChange.open(id, ttlMilliseconds: ttl ?? day)
        let tickets = oracle.begin(0, change, now: 0)
        #expect(
            oracle.acknowledge(tickets, change, index: LogIndex(1), missing: [], now: 1) == nil)
        return oracle
    }

    private func attempt(
        _ oracle: inout SessionOracle, _ sequence: UInt64, floor: UInt64 = 1
    ) -> SessionOracle.Ticket {
        let tag = SessionTag(session: id, sequence: sequence)
        return oracle.begin(0, tag, command: 100 + sequence, floor: LogIndex(floor)).ticket
    }

    private func apply(
        _ oracle: inout SessionOracle, _ sequence: UInt64, at index: UInt64
    ) -> Violation.Invariant? {
        oracle.apply(0, command: 100 + sequence, index: LogIndex(index))?.invariant
    }

    @Test("A command that takes effect twice is refused, however often it was tried")
    func twice() {
        var oracle = opened()
        for _ in 0..<3 { _ = attempt(&oracle, 1) }
        _ = attempt(&oracle, 2)
        #expect(apply(&oracle, 1, at: 2) == nil)
        #expect(apply(&oracle, 2, at: 3) == nil)
        #expect(apply(&oracle, 1, at: 4) == .sessions)
    }

    @Test("A command of a session that nobody opened is refused, but not in another group's life")
    func unopened() {
        var oracle = SessionOracle()
        _ = attempt(&oracle, 1)
        #expect(oracle.apply(1, command: 101, index: LogIndex(2)) == nil)
        #expect(apply(&oracle, 1, at: 2) == .sessions)
    }

    @Test("Answers that differ in index or reply are refused")
    func answers() {
        var oracle = opened()
        let ticket = attempt(&oracle, 1)
        func answer(_ index: UInt64, _ reply: UInt64) -> (Bool, Violation.Invariant?) {
            let (wasCompared, finding) = oracle.acknowledge(
                ticket, index: LogIndex(index), reply: reply)
            return (wasCompared, finding?.invariant)
        }
        #expect(answer(2, 5) == (false, nil))
        #expect(answer(2, 5) == (true, nil))
        #expect(answer(3, 5) == (true, .sessions))
        #expect(answer(2, 6) == (true, .sessions))
    }

    @Test("What takes effect, or is answered, after its session was told over is refused")
    func over() {
        var oracle = opened(ttl: 100)
        let early = attempt(&oracle, 1)
        let other = attempt(&oracle, 2)
        #expect(oracle.refuse(other, reason: .sessionExpired, now: 1) == nil)
        let late = attempt(&oracle, 1)
        // It may have taken effect before, and be answered only now.
        #expect(oracle.acknowledge(early, index: LogIndex(2), reply: 5).1 == nil)
        #expect(
            oracle.acknowledge(late, index: LogIndex(2), reply: 5).1?.invariant == .sessions)
        #expect(apply(&oracle, 1, at: 3) == .sessions)
    }

    @Test("Who asks before a session is known to be open learns nothing by a refusal")
    func early() {
        var oracle = SessionOracle()
        let change = SessionChange.open(id, ttlMilliseconds: 100)
        let tickets = oracle.begin(0, change, now: 0)
        let early = attempt(&oracle, 1)
        #expect(
            oracle.acknowledge(tickets, change, index: LogIndex(2), missing: [], now: 1) == nil)
        #expect(oracle.refuse(early, reason: .sessionExpired, now: 2) == nil)
        _ = attempt(&oracle, 1)
        #expect(apply(&oracle, 1, at: 3) == nil)
    }

    @Test("A session that is opened anew, or twice, is refused")
    func openedAnew() {
        var oracle = opened(ttl: 100)
        let change = SessionChange.open(id, ttlMilliseconds: 100)
        func open(_ index: UInt64) -> Violation.Invariant? {
            let tickets = oracle.begin(0, change, now: 5)
            return oracle.acknowledge(
                tickets, change, index: LogIndex(index), missing: [], now: 6)?.invariant
        }
        #expect(open(1) == nil)
        #expect(open(7) == .sessions)
        let touch = SessionChange.touch([id])
        let tickets = oracle.begin(0, touch, now: 7)
        let told = oracle.acknowledge(
            tickets, touch, index: LogIndex(8), missing: [id], now: 8)
        #expect(told == nil)
        #expect(open(1) == .sessions)
    }

    @Test("A session that lasts may not be over early, unless somebody closed it")
    func lasting() {
        var oracle = opened()
        let ticket = attempt(&oracle, 1)
        #expect(
            oracle.refuse(ticket, reason: .sessionExpired, now: 1_000)?.invariant == .sessions)

        var closed = opened()
        let open = attempt(&closed, 1)
        _ = closed.begin(0, .close(id), now: 5)
        #expect(closed.refuse(open, reason: .sessionExpired, now: 1_000) == nil)
    }

    @Test("A command whose every try was refused or forgotten may not take effect")
    func refused() {
        var oracle = opened()
        let first = attempt(&oracle, 1)
        let second = attempt(&oracle, 1)
        #expect(oracle.refuse(first, reason: .overloaded, now: 1) == nil)
        #expect(apply(&oracle, 1, at: 2) == nil)
        #expect(oracle.refuse(second, reason: .overloaded, now: 2)?.invariant == .sessions)
        let third = attempt(&oracle, 2)
        #expect(oracle.refuse(third, reason: .unavailable, now: 3) == nil)
        #expect(apply(&oracle, 2, at: 3) == .sessions)
        _ = attempt(&oracle, 3)
        let forgotten = attempt(&oracle, 3)
        #expect(oracle.refuse(forgotten, reason: nil, now: 4) == nil)
        #expect(apply(&oracle, 3, at: 4) == .sessions)
    }

    @Test("What was known at the first try lies before the effect, whichever try has it")
    func floor() {
        var oracle = opened()
        let tag = SessionTag(session: id, sequence: 1)
        #expect(oracle.begin(0, tag, command: 1, floor: LogIndex(5)).floor == LogIndex(5))
        let again = oracle.begin(0, tag, command: 1, floor: LogIndex(9))
        #expect(again.isRetry && again.floor == LogIndex(5))
    }
}
