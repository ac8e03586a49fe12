import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: elections and the network")
struct ElectionScenarios {
    @Test("Leader paused for three election timeouts while a partition heals")
    func pausedWhileHealing() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        let cut = stage.others(than: leader)[0]
        stage.simulation.partition([cut])
        stage.wait(electionTimeouts: 2)
        stage.simulation.pause(leader, for: Nanoseconds(stage.electionTimeout.rawValue * 3))
        stage.simulation.heal()
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        stage.wait(electionTimeouts: 3)
        #expect(stage.role(leader) == .follower)
        #expect(stage.term(leader) >= stage.term(next))
        stage.reached(.pauses)
        stage.reached(.resumes)
        stage.reached(.heals)
        stage.reached(.leadersElected, atLeast: 2)
        stage.curtain()
    }

    @Test("A leader that wakes up acknowledges nothing that it was asked before it slept")
    func sleeper() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.partition([leader])
        let (request, id) = stage.propose(on: leader, timeoutMillis: 20_000)
        stage.wait(milliseconds: 20)
        stage.simulation.pause(leader, for: Nanoseconds(stage.electionTimeout.rawValue * 4))
        stage.simulation.heal()
        stage.simulation.resetConnections(between: 1, and: 2)
        stage.simulation.resetConnections(between: 1, and: 3)
        stage.simulation.resetConnections(between: 2, and: 3)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        stage.wait(electionTimeouts: 5)
        let outcome = stage.end(of: request)
        #expect(outcome.isDone == stage.holds(id, on: next))
        stage.reached(.truncations)
        stage.curtain()
    }

    @Test("A leader whose followers all sleep acknowledges nothing, and resigns")
    func sleepers() {
        let stage = Stage()
        let leader = stage.elect()
        for node in stage.others(than: leader) {
            stage.simulation.pause(node, for: Nanoseconds(stage.electionTimeout.rawValue * 3))
        }
        let (request, _) = stage.propose(on: leader, timeoutMillis: 60_000)
        stage.wait(electionTimeouts: 2)
        #expect(!stage.simulation.isEnded(request))
        #expect(stage.role(leader) != .leader)
        stage.reached(.leadersResigned)
        stage.reached(.pauses, atLeast: 2)
        stage.curtain()
    }

    @Test("Minority leader keeps serving local reads only")
    func minority() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        #expect(stage.write(on: leader).isDone)
        stage.simulation.partition([leader, stage.others(than: leader)[0]])
        #expect(stage.simulation.localRead(on: leader, group: "g", .content) != nil)
        #expect(!stage.read(on: leader, timeoutMillis: 400).isDone)
        #expect(!stage.write(on: leader, timeoutMillis: 400).isDone)
        stage.wait(electionTimeouts: 2)
        #expect(stage.simulation.localRead(on: leader, group: "g", .content) != nil)
        #expect(stage.role(leader) != .leader)
        stage.reached(.partitions)
        stage.reached(.leadersResigned)
        stage.reached(.readsRefused)
        stage.curtain()
    }

    @Test("Two nodes that can't see each other, but both see the leader, leave it in peace")
    func pairApart() {
        let stage = Stage()
        let leader = stage.elect()
        let followers = stage.others(than: leader)
        let term = stage.term(leader)
        stage.simulation.partition(followers[0], followers[1])
        stage.load([leader], millis: 3_000, everyMillis: 100)
        #expect(stage.simulation.leader(of: "g") == leader)
        #expect(stage.term(leader) == term)
        #expect(stage.acknowledgedCount() >= 25)
        stage.reached(.partitions)
        stage.curtain()
    }

    @Test("A leader cut off from one follower, whom the third sees, keeps the third")
    func pairWithLeader() {
        let stage = Stage()
        let leader = stage.elect()
        let (cut, other) = (stage.others(than: leader)[0], stage.others(than: leader)[1])
        stage.simulation.partition(leader, cut)
        stage.load([leader, other], millis: 4_000, everyMillis: 100)
        // Who can't hear the leader gets no vote from one that can, so nobody is deposed.
        #expect(stage.simulation.leader(of: "g") == leader)
        #expect(stage.acknowledgedCount() >= 60)
        stage.reached(.partitions)
        stage.curtain()
    }

    @Test("A leader that can't be heard is followed by another, though it hears everybody")
    func mute() {
        let stage = Stage()
        let leader = stage.elect()
        for other in stage.others(than: leader) { stage.simulation.cut(from: leader, to: other) }
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        #expect(!stage.write(on: leader, timeoutMillis: 300).isDone)
        stage.reached(.oneWayCuts, atLeast: 2)
        stage.curtain()
    }

    @Test("A leader that hears nobody resigns, though everybody hears it")
    func deaf() {
        let stage = Stage()
        let leader = stage.elect()
        for other in stage.others(than: leader) { stage.simulation.cut(from: other, to: leader) }
        let isOver = stage.simulation.run(atMost: .seconds(5)) { stage.role(leader) != .leader }
        #expect(isOver)
        stage.elect(of: stage.others(than: leader))
        stage.reached(.oneWayCuts, atLeast: 2)
        stage.reached(.leadersDeposed)
        stage.curtain()
    }

    @Test("A ring of cuts that moves on before anybody gives up costs no leader")
    func movingRing() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        let term = stage.term(leader)
        for step in 0..<15 {
            stage.simulation.heal()
            let a = stage.nodes[step % 5]
            let b = stage.nodes[(step + 1) % 5]
            stage.simulation.partition(a, b)
            stage.load([leader], millis: 300, everyMillis: 50)
        }
        #expect(stage.term(leader) == term)
        #expect(stage.acknowledgedCount() >= 80)
        stage.reached(.partitions, atLeast: 15)
        stage.reached(.heals, atLeast: 14)
        stage.curtain()
    }

    @Test("Of five nodes cut into two and three, the three go on")
    func split() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        let few = [leader, stage.others(than: leader)[0]]
        stage.simulation.partition(few)
        let many = stage.nodes.filter { !few.contains($0) }
        let next = stage.elect(of: many)
        #expect(stage.write(on: next).isDone)
        for node in few { #expect(!stage.write(on: node, timeoutMillis: 200).isDone) }
        stage.reached(.leadersElected, atLeast: 2)
        stage.curtain()
    }

    @Test("Four nodes cut in halves have no leader until they see each other again")
    func halves() {
        let stage = Stage(nodes: 4)
        let leader = stage.elect()
        stage.simulation.partition([leader, stage.others(than: leader)[0]])
        stage.wait(electionTimeouts: 4)
        #expect(stage.simulation.leader(of: "g") == nil)
        stage.reached(.leadersResigned)
        stage.simulation.heal()
        stage.elect()
        stage.curtain()
    }

    @Test("Of two nodes neither does anything alone")
    func two() {
        let stage = Stage(nodes: 2)
        stage.elect()
        stage.simulation.crash(2)
        stage.wait(electionTimeouts: 3)
        #expect(stage.simulation.leader(of: "g") == nil)
        #expect(!stage.write(on: 1, timeoutMillis: 300).isDone)
        stage.reached(.powerCuts)
        stage.curtain()
    }

    @Test("A follower that was cut off for long comes back without a new term")
    func preVote() {
        let stage = Stage()
        let leader = stage.elect()
        let cut = stage.others(than: leader)[0]
        let term = stage.term(leader)
        stage.simulation.partition([cut])
        stage.wait(electionTimeouts: 10)
        #expect(stage.role(cut) == .candidate)
        stage.simulation.heal()
        stage.wait(electionTimeouts: 4)
        #expect(stage.simulation.leader(of: "g") == leader)
        #expect(stage.term(leader) == term)
        #expect(stage.term(cut) == term)
        stage.curtain()
    }

    @Test("Candidates that tie try again until one wins")
    func ties() {
        var ties = 0
        for seed in 1...12 {
            let stage = Stage(seed: UInt64(seed), nodes: 4) { options in
                options.timing.electionTimeout = .milliseconds(200)
                options.timing.electionSpread = .milliseconds(1)
                options.timing.beatInterval = .milliseconds(40)
                options.network.delay = 1_000_000...3_000_000
            }
            let leader = stage.elect(within: .seconds(60))
            if stage.term(leader) > 1 { ties += 1 }
            stage.curtain()
        }
        #expect(ties > 0, "no two candidates stood in each other's way")
    }

    @Test("Writes that race with a transfer are applied once, or refused")
    func transferRace() {
        let stage = Stage()
        let leader = stage.elect()
        let target = stage.others(than: leader)[0]
        stage.load([leader, target], millis: 30, everyMillis: 1)
        let transfer = stage.simulation.transfer("g", to: target, on: leader)
        stage.load([leader, target], millis: 200, everyMillis: 1)
        _ = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isEnded(transfer) }
        #expect(stage.simulation.isDone(transfer))
        #expect(stage.simulation.leader(of: "g") == target)
        stage.reached(.transfersDone)
        #expect(stage.acknowledgedCount() > 50)
        stage.curtain()
    }

    @Test("A transfer to a node that is cut off ends, and the leader goes on")
    func transferToNobody() {
        let stage = Stage()
        let leader = stage.elect()
        let target = stage.others(than: leader)[0]
        stage.simulation.partition([target])
        let transfer = stage.simulation.transfer(
            "g", to: target, on: leader, timeout: .milliseconds(1_000))
        _ = stage.simulation.run(atMost: .seconds(10)) { stage.simulation.isEnded(transfer) }
        #expect(stage.simulation.isEnded(transfer) && !stage.simulation.isDone(transfer))
        stage.wait(electionTimeouts: 2)
        #expect(stage.write(on: leader).isDone)
        stage.reached(.transfersAsked)
        stage.curtain()
    }

    @Test("A transfer to a follower that is behind brings it up first")
    func transferToLaggard() {
        let stage = Stage { $0.limits.appendWindowEntries = 4 }
        let leader = stage.elect()
        let target = stage.others(than: leader)[0]
        stage.simulation.pause(target, for: .milliseconds(500))
        stage.load([leader], millis: 300, everyMillis: 1)
        let before = stage.commit(target)
        #expect(stage.commit(leader) > before + 100)
        let transfer = stage.simulation.transfer("g", to: target, on: leader)
        _ = stage.simulation.run(atMost: .seconds(10)) { stage.simulation.isEnded(transfer) }
        #expect(stage.simulation.leader(of: "g") == target)
        stage.reached(.transfersDone)
        stage.curtain()
    }

    @Test("Half of the cluster restarts during a transfer")
    func halfRestarts() {
        let stage = Stage(nodes: 4)
        let leader = stage.elect()
        let target = stage.others(than: leader)[0]
        stage.simulation.transfer("g", to: target, on: leader)
        stage.load([leader], millis: 1, everyMillis: 1)
        for node in [leader, stage.others(than: leader, target)[0]] { stage.simulation.kill(node) }
        stage.wait(milliseconds: 50)
        for node in stage.nodes { stage.simulation.restart(node) }
        stage.elect()
        stage.reached(.kills, atLeast: 2)
        stage.reached(.recoveries, atLeast: 2)
        stage.reached(.transfersAsked)
        stage.curtain()
    }

    @Test("A node that led all of sixteen groups dies, and all are led again in ten timeouts")
    func leaderOfAll() {
        let groups = (0..<16).map { "g\($0)" }
        let stage = Stage(nodes: 5, groups: groups)
        for group in groups { stage.lead(2, group) }
        stage.simulation.crash(2)
        let span = Nanoseconds(stage.electionTimeout.rawValue * 10)
        let isLed = stage.simulation.run(atMost: span, lookingEvery: .milliseconds(10)) {
            groups.allSatisfy { stage.simulation.leader(of: $0) != nil }
        }
        #expect(isLed)
        stage.reached(.leadersElected, atLeast: 32)
        stage.curtain()
    }
}
