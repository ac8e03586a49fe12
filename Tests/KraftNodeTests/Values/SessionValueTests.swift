import KraftMultiRaft
import Testing

@testable import KraftAdmin

@Suite("Sessions in HTTP")
struct SessionValueTests {
    private let token = SessionToken(id: SessionID(0xAB), ttlMilliseconds: 60_000)

    @Test("a session's text comes back as it was given, and nothing else is taken for one")
    func tokens() {
        #expect(token.text == "00000000000000ab-60000")
        #expect(SessionToken(token.text) == token)
        for text in [
            "", "-", "ab-60000", "00000000000000ab", "00000000000000ab-", "00000000000000ab-999",
            "00000000000000AB-60000", "0000000000000000-60000", "00000000000000ab-86400001",
            "00000000000000ab-060000", "00000000000000ab-60000-1", "00000000000000ab-+60000",
            "+0000000000000ab-60000", "00000000000000ab-60000, 00000000000000ab-60000", "7",
        ] { #expect(SessionToken(text) == nil, "\(text)") }
    }

    @Test("session and sequence go together")
    func headers() throws {
        #expect(try SessionUse.read(session: nil, sequence: nil) == nil)
        let use = try SessionUse.read(session: token.text, sequence: "17")
        #expect(use == SessionUse(token: token, sequence: 17))
        for (session, sequence) in [
            (token.text, nil), (nil, "1"), (token.text, "0"), (token.text, "-1"),
            (token.text, "+1"), (token.text, ""), (token.text, "1, 1"), (token.text, "1.0"),
            (token.text, "4611686018427387904"), ("x", "1"),
        ] as [(String?, String?)] {
            let fault = #expect(throws: HTTPFault.self) {
                try SessionUse.read(session: session, sequence: sequence)
            }
            #expect(fault?.status == 400)
        }
    }

    @Test("an expired session is a conflict")
    func expired() {
        let error = KraftError(.sessionExpired, "the session is unknown or has expired")
        let fault = HTTPFault(error, address: { _ in nil })
        #expect(fault.status == 409 && fault.code == "conflict")
    }
}

@Suite("Which sessions are touched when")
struct TouchPlanTests {
    private let start = ContinuousClock.now
    private let token = SessionToken(id: SessionID(1), ttlMilliseconds: 9_000)

    private func at(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    @Test("one that was opened here is touched after a third of its life, if it was used")
    func opened() {
        var plan = TouchPlan()
        plan.opened(token, now: start)
        #expect(plan.nextDue == nil)
        #expect(plan.takeDue(now: at(3_000)).isEmpty)
        #expect(plan.used(token, now: at(1_000)) == at(3_000))
        #expect(plan.used(token, now: at(2_000)) == nil, "that is known")
        #expect(plan.nextDue == at(3_000))
        #expect(plan.takeDue(now: at(2_999)).isEmpty)
        #expect(plan.takeDue(now: at(3_000)) == [token.id])
        #expect(plan.nextDue == nil)
        #expect(plan.takeDue(now: at(9_000)).isEmpty, "it wasn't used again")
    }

    @Test("one that comes from another node is touched soon")
    func foreign() {
        var plan = TouchPlan()
        #expect(plan.used(token, now: start) == at(50))
        #expect(plan.takeDue(now: at(50)) == [token.id])
        #expect(plan.used(token, now: at(100)) == at(3_050))
    }

    /// As a group sees it: every use is followed by a touch in time, and none comes too often.
    @Test(
        "while it is used, touches come each third of its life, and the last use is followed by one"
    )
    func cadence() {
        var plan = TouchPlan()
        plan.opened(token, now: start)
        var touches: [Int] = []
        for time in stride(from: 0, through: 60_000, by: 10) {
            if time <= 40_000, time % 700 == 0 { _ = plan.used(token, now: at(time)) }
            if !plan.takeDue(now: at(time)).isEmpty { touches.append(time) }
        }
        let gaps = zip(touches, touches.dropFirst()).map { $1 - $0 }
        #expect(gaps.allSatisfy { (3_000...3_700).contains($0) }, "\(touches)")
        #expect(touches.count >= 11)
        let lastUse = 40_000 / 700 * 700
        #expect((lastUse...lastUse + 3_000).contains(touches.last ?? 0))
        #expect(plan.count == 0, "what is over is forgotten")
    }

    @Test("what failed is tried again, three times within its life")
    func failures() {
        var plan = TouchPlan()
        _ = plan.used(token, now: start)
        #expect(plan.takeDue(now: at(50)) == [token.id])
        plan.failed([token.id, SessionID(77)], now: at(50))
        #expect(plan.nextDue == at(1_050))
        #expect(plan.takeDue(now: at(1_050)) == [token.id])
        plan.failed([token.id], now: at(10_000))
        #expect(plan.nextDue == nil, "it is over")
    }

    @Test("the plan is bounded, and has room again when sessions are over")
    func bounded() {
        var plan = TouchPlan()
        for id in UInt64(1)...10_000 {
            _ = plan.used(SessionToken(id: SessionID(id), ttlMilliseconds: 9_000), now: start)
        }
        #expect(plan.count == TouchPlan.limit)
        let late = SessionToken(id: SessionID(20_000), ttlMilliseconds: 9_000)
        #expect(plan.used(late, now: at(1)) == nil)
        #expect(plan.used(late, now: at(9_001)) == at(9_051))
        #expect(plan.count == 1)
    }
}
