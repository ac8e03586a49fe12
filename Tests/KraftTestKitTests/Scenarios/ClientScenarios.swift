import KraftEngine
import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: clients and reads")
struct ClientScenarios {
    @Test("A read at a leader that has lost its quorum isn't answered")
    func readWithoutQuorum() {
        let stage = Stage()
        let leader = stage.elect()
        #expect(stage.read(on: leader).isDone)
        stage.simulation.partition([leader])
        #expect(!stage.read(on: leader, timeoutMillis: 300).isDone)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        #expect(!stage.read(on: leader, timeoutMillis: 300).isDone)
        stage.reached(.readsRefused, atLeast: 2)
        stage.curtain()
    }

    @Test("A read at a leader that has committed nothing of its term waits for that")
    func readBeforeCommit() {
        let stage = Stage(nodes: 5) { $0.disk.syncDelay = 30_000_000...60_000_000 }
        let leader = stage.elect()
        #expect(stage.write(on: leader).isDone)
        stage.simulation.crash(leader)
        var wasEarly = false
        let next = stage.elect(of: stage.others(than: leader))
        let request = stage.simulation.read(on: next, group: "g", .content)
        wasEarly = !stage.simulation.isEnded(request)
        _ = stage.simulation.run(atMost: .seconds(10)) { stage.simulation.isEnded(request) }
        #expect(wasEarly)
        #expect(stage.simulation.answer(of: request).isDone)
        stage.curtain()
    }

    @Test("A read through a follower shows what was acknowledged elsewhere")
    func followerRead() {
        let stage = Stage()
        let leader = stage.elect()
        for _ in 0..<20 {
            #expect(stage.write(on: leader).isDone)
            let answer = stage.read(on: stage.others(than: leader)[0])
            guard case .content(let count, _)? = answer.value else {
                Issue.record("no answer")
                break
            }
            #expect(count == stage.acknowledgedCount())
        }
        stage.reached(.readsForwarded, atLeast: 20)
        stage.curtain()
    }

    @Test("A read that is under way while the leader changes shows no old state")
    func readAcrossChange() {
        let stage = Stage()
        let leader = stage.elect()
        #expect(stage.write(on: leader).isDone)
        var reads: [RequestID] = []
        for node in stage.nodes {
            reads.append(stage.simulation.read(on: node, group: "g", .content))
        }
        stage.simulation.crash(leader)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        for node in stage.others(than: leader) { #expect(stage.read(on: node).isDone) }
        for read in reads { #expect(stage.simulation.isEnded(read)) }
        stage.reached(.leadersElected, atLeast: 2)
        stage.curtain()
    }

    @Test("An answer lost after the effect is unknown, and the effect stays")
    func lostAnswer() {
        let stage = Stage()
        let leader = stage.elect()
        let (request, id) = stage.propose(on: leader)
        let isApplied = stage.simulation.run(atMost: .seconds(2)) {
            stage.holds(id, on: leader) || stage.simulation.isEnded(request)
        }
        #expect(isApplied)
        stage.simulation.kill(leader)
        stage.elect(of: stage.others(than: leader))
        let (second, third) = (stage.propose(on: leader), stage.propose(on: stage.elect()))
        #expect(!stage.end(of: second.request).isDone)
        #expect(stage.end(of: third.request).isDone)
        for node in stage.others(than: leader) { stage.expectSoon(stage.holds(id, on: node)) }
        stage.curtain()
    }

    @Test("Entries of a deposed leader are overwritten, and their proposers told the truth")
    func overwritten() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.partition([leader])
        let lost = (0..<10).map { _ in stage.propose(on: leader, timeoutMillis: 30_000) }
        stage.wait(milliseconds: 100)
        let next = stage.elect(of: stage.others(than: leader))
        for _ in 0..<3 { #expect(stage.write(on: next).isDone) }
        stage.simulation.heal()
        for (request, id) in lost {
            let outcome = stage.end(of: request)
            let isThere = stage.holds(id, on: next)
            if outcome.isRefused { #expect(!isThere) }
            if outcome.isDone { #expect(isThere) }
        }
        stage.reached(.truncations)
        stage.reached(.proposalsOverwritten)
        stage.curtain()
    }

    @Test("A proposal at a follower is forwarded; without a leader it waits for one")
    func forwarded() {
        let stage = Stage()
        let leader = stage.elect()
        #expect(stage.write(on: stage.others(than: leader)[0]).isDone)
        stage.simulation.kill(leader)
        stage.wait(milliseconds: 50)
        #expect(stage.write(on: stage.others(than: leader)[0], timeoutMillis: 10_000).isDone)
        stage.reached(.proposalsForwarded)
        stage.reached(.proposalsParked)
        stage.curtain()
    }

    @Test("A command with another epoch than the group's is refused at apply")
    func staleRoute() {
        let stage = Stage()
        let leader = stage.elect()
        let stale = stage.simulation.propose(
            on: leader, group: "g", AuditLog.Command(id: 900), route: Epoch(rawValue: 7))
        let fresh = stage.simulation.propose(
            on: leader, group: "g", AuditLog.Command(id: 901), route: .first)
        #expect(stage.end(of: stale).isRefused)
        #expect(stage.end(of: fresh).isDone)
        stage.reached(.staleRoutes)
        stage.curtain()
    }

    @Test("Ten times what a group takes is shed, and the rest goes on at once")
    func overload() {
        let stage = Stage { $0.limits.pendingProposalsPerGroup = 8 }
        let leader = stage.elect()
        for _ in 0..<100 { stage.propose(on: leader) }
        stage.wait(milliseconds: 500)
        stage.reached(.overloaded, atLeast: 50)
        #expect(stage.acknowledgedCount() >= 8)
        #expect(stage.write(on: leader).isDone)
        stage.curtain()
    }

    @Test("A log queue that is full sheds, and a slow disk catches up")
    func fullLogQueue() {
        let stage = Stage {
            $0.limits.logQueueBytes = 32 << 10
            $0.disk.syncDelay = 10_000_000...30_000_000
        }
        let leader = stage.elect()
        stage.load([leader], millis: 300, everyMillis: 1, padding: 8_000)
        stage.reached(.overloaded)
        stage.wait(milliseconds: 1_000)
        #expect(stage.write(on: leader).isDone)
        stage.curtain()
    }

    @Test("A window of one entry is slow, and right")
    func smallestWindow() {
        let stage = Stage {
            $0.limits.appendWindowEntries = 1
            $0.limits.appendSizeBytes = 64
        }
        let leader = stage.elect()
        stage.load([leader], millis: 500, everyMillis: 2, padding: 300)
        stage.wait(milliseconds: 500)
        #expect(stage.acknowledgedCount() > 100)
        stage.curtain()
    }

    @Test("Requests to a node that dies are unknown, not failed")
    func unknown() {
        let stage = Stage()
        let leader = stage.elect()
        let requests = (0..<5).map { _ in stage.propose(on: leader).request }
        stage.simulation.crash(leader)
        for request in requests {
            guard case .unknown = stage.simulation.outcome(of: request) else {
                Issue.record("not unknown")
                continue
            }
        }
        stage.reached(.unknown, atLeast: 5)
        stage.curtain()
    }

    @Test("A deadline that passes without a leader refuses; the write never appears")
    func deadline() {
        let stage = Stage()
        let leader = stage.elect()
        let lonely = stage.others(than: leader)[0]
        stage.simulation.partition([lonely])
        stage.wait(electionTimeouts: 2)
        let (request, id) = stage.propose(on: lonely, timeoutMillis: 300)
        #expect(stage.end(of: request).isRefused)
        stage.simulation.heal()
        stage.wait(electionTimeouts: 2)
        #expect(!stage.holds(id, on: leader))
        stage.reached(.refused)
        stage.curtain()
    }
}
