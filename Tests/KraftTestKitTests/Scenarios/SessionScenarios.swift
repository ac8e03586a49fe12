import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: sessions")
struct SessionScenarios {
    private let id = SessionID(7)

    /// Opens the session, and says how that ended.
    @discardableResult
    private func open(
        _ stage: Stage, ttl: UInt64 = 60_000, on node: NodeID
    ) -> RequestOutcome<[UInt8]> {
        change(stage, .open(id, ttlMilliseconds: ttl), on: node)
    }

    @discardableResult
    private func change(
        _ stage: Stage, _ change: SessionChange, on node: NodeID
    ) -> RequestOutcome<[UInt8]> {
        let request = stage.simulation.changeSessions(on: node, group: "g", change)
        _ = stage.simulation.run(atMost: .seconds(60)) { stage.simulation.isEnded(request) }
        return stage.simulation.sessionOutcome(of: request)
    }

    /// Command `1,000 + sequence` of the session.
    private func attempt(
        _ stage: Stage, _ sequence: UInt64, on node: NodeID, timeoutMillis: UInt64 = 5_000
    ) -> RequestID {
        stage.simulation.propose(
            on: node, group: "g", AuditLog.Command(id: 1_000 + sequence),
            session: SessionTag(session: id, sequence: sequence),
            timeout: .milliseconds(timeoutMillis))
    }

    private func write(
        _ stage: Stage, _ sequence: UInt64, on node: NodeID
    ) -> RequestOutcome<UInt64> {
        stage.end(of: attempt(stage, sequence, on: node))
    }

    private func isExpired<Value>(_ outcome: RequestOutcome<Value>) -> Bool {
        if case .refused(.sessionExpired) = outcome { true } else { false }
    }

    @Test("An answer lost after the effect comes with the retry through another node")
    func lostAnswer() {
        let stage = Stage()
        let leader = stage.elect()
        let others = stage.others(than: leader)
        open(stage, on: leader)
        // The follower that forwards it can't be told what came of it.
        let lost = attempt(stage, 1, on: others[0], timeoutMillis: 400)
        stage.simulation.cut(from: leader, to: others[0])
        stage.expectSoon(stage.holds(1_001, on: leader))
        #expect(!stage.end(of: lost).isDone)
        let again = write(stage, 1, on: others[1])
        #expect(again.value == 1)
        stage.simulation.heal()
        #expect(write(stage, 1, on: others[0]).value == 1)
        stage.reached(.sessionRepeats)
        stage.reached(.sessionRetries, atLeast: 2)
        stage.curtain()
        for node in stage.nodes { #expect(stage.count(on: node) == 2) }
    }

    @Test("A retry at the next leader of a command that only the dead leader's log holds")
    func onlyInTheDeadLog() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, on: leader)
        for other in stage.others(than: leader) { stage.simulation.cut(from: leader, to: other) }
        let lost = attempt(stage, 1, on: leader)
        stage.wait(milliseconds: 50)
        stage.simulation.crash(leader)
        #expect(!stage.end(of: lost).isDone)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(write(stage, 1, on: next).value == 1)
        stage.simulation.heal()
        stage.simulation.restart(leader)
        stage.expectSoon(stage.count(on: leader) == 1)
        #expect(write(stage, 1, on: leader).value == 1)
        stage.reached(.truncations)
        stage.curtain()
    }

    @Test("Retries through all nodes at once, while leaders change, take effect once")
    func storm() {
        let stage = Stage(nodes: 5)
        stage.elect()
        open(stage, on: 1)
        var requests: [(sequence: UInt64, request: RequestID)] = []
        for round in 0..<30 {
            for sequence in UInt64(1)...10 {
                let node = stage.nodes[(round + Int(sequence)) % 5]
                requests.append((sequence, attempt(stage, sequence, on: node)))
            }
            if round % 10 == 5 {
                stage.simulation.stepDown("g", on: stage.simulation.leader(of: "g") ?? 1)
            }
            stage.wait(milliseconds: 20)
        }
        for (_, request) in requests { _ = stage.end(of: request) }
        for sequence in UInt64(1)...10 {
            let values = Set(
                requests.filter { $0.sequence == sequence }
                    .compactMap { stage.simulation.outcome(of: $0.request).value })
            #expect(values.count == 1)
        }
        stage.reached(.sessionAnswersCompared, atLeast: 100)
        stage.reached(.leadersElected, atLeast: 3)
        stage.curtain()
        for node in stage.nodes { #expect(stage.count(on: node) == 11) }
    }

    @Test("A session and its answers outlive a power cut of all nodes")
    func powerCut() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, on: leader)
        for sequence in UInt64(1)...5 { #expect(write(stage, sequence, on: leader).isDone) }
        let lost = attempt(stage, 6, on: leader)
        for node in stage.nodes { stage.simulation.crash(node) }
        for node in stage.nodes { stage.simulation.restart(node) }
        _ = stage.end(of: lost)
        stage.elect()
        for sequence in UInt64(1)...6 {
            #expect(write(stage, sequence, on: 2).value == sequence)
        }
        stage.reached(.powerCuts, atLeast: 3)
        stage.reached(.sessionRepeats)
        stage.curtain()
    }

    @Test("A command after its session's end is told so through every node, and does nothing")
    func expired() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, ttl: 200, on: leader)
        #expect(write(stage, 1, on: leader).isDone)
        stage.wait(milliseconds: 1_000)
        for node in stage.nodes {
            #expect(isExpired(write(stage, 2, on: node)))
            #expect(isExpired(write(stage, 1, on: node)))
        }
        #expect(isExpired(open(stage, ttl: 200, on: leader)))
        #expect(stage.count(on: leader) == 1)
        stage.reached(.sessionsExpired, atLeast: 3)
        stage.reached(.sessionsToldOver, atLeast: 6)
        stage.curtain()
    }

    @Test("A command that was under way for longer than its session lived takes no effect")
    func lateCommand() {
        let stage = Stage()
        let leader = stage.elect()
        let follower = stage.others(than: leader)[0]
        open(stage, ttl: 300, on: leader)
        stage.simulation.delay(from: follower, to: leader, by: .milliseconds(600))
        let late = attempt(stage, 1, on: follower)
        stage.wait(milliseconds: 500)
        // Somebody else's entry is what shows the group that time has passed.
        change(stage, .touch([SessionID(99)]), on: leader)
        #expect(isExpired(stage.end(of: late)))
        #expect(stage.count(on: leader) == 0)
        stage.curtain()
    }

    @Test("Time without a leader doesn't count against a session")
    func noLeader() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, ttl: 2_000, on: leader)
        for node in stage.nodes { stage.simulation.crash(node) }
        stage.wait(milliseconds: 10_000)
        for node in stage.nodes { stage.simulation.restart(node) }
        let next = stage.elect()
        #expect(write(stage, 1, on: next).isDone)
        stage.curtain()
    }

    @Test("What lies a window back isn't carried out again, though nobody can answer it")
    func forgotten() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, on: leader)
        let requests = (UInt64(1)...300).map { attempt(stage, $0, on: leader) }
        for request in requests { #expect(stage.end(of: request).isDone) }
        for node in stage.nodes {
            let late = write(stage, 3, on: node)
            #expect(!late.isDone && !late.isRefused)
        }
        #expect(write(stage, 290, on: leader).isDone)
        #expect(stage.count(on: leader) == 300)
        stage.reached(.sessionRepeatsForgotten, atLeast: 3)
        stage.curtain()
    }

    @Test("A session of a group's first life means nothing to its second")
    func secondLife() {
        let stage = Stage()
        let leader = stage.elect()
        open(stage, on: leader)
        #expect(write(stage, 1, on: leader).isDone)
        stage.simulation.removeGroup("g")
        stage.wait(milliseconds: 200)
        stage.simulation.createGroup("g")
        stage.forget("g")
        stage.elect()
        stage.expectSoon(stage.write(on: 1).isDone)
        #expect(isExpired(write(stage, 1, on: 1)))
        for node in stage.nodes { #expect(!stage.holds(1_001, on: node)) }
        stage.curtain()
    }

    @Test("Members are replaced one by one, and the last ones still know what was carried out")
    func newMembers() {
        let stage = Stage(nodes: 5, voters: [[1, 2, 3]])
        let leader = stage.elect()
        open(stage, on: leader)
        #expect(write(stage, 1, on: leader).value == 1)
        let change = MembershipChange(
            add: [.init(4, .voter), .init(5, .voter)], remove: [1, 2])
        stage.simulation.changeMembers(of: "g", change, on: leader)
        stage.expectSoon(
            stage.simulation.members(of: "g") == [3, 4, 5] && !stage.simulation.isChanging("g"),
            within: .seconds(20))
        stage.elect(of: [3, 4, 5])
        for node in [3, 4, 5] as [NodeID] { #expect(write(stage, 1, on: node).value == 1) }
        stage.curtain()
    }
}
