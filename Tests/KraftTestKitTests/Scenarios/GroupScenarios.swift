import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: many groups")
struct GroupScenarios {
    private func names(_ count: Int) -> [String] { (0..<count).map { "g\($0)" } }

    @Test("A group removed and created anew under its name knows nothing of its first life")
    func anew() {
        let stage = Stage(nodes: 5)
        let leader = stage.elect()
        stage.load([leader], millis: 200, everyMillis: 5)
        stage.simulation.removeGroup("g")
        stage.wait(milliseconds: 100)
        stage.forget("g")
        stage.simulation.createGroup("g")
        stage.elect()
        #expect(stage.write(on: 1).isDone)
        for node in stage.nodes { stage.expectSoon(stage.count(on: node) == 1) }
        #expect(stage.simulation.status(of: "g", on: 1)?.incarnation == 2)
        stage.reached(.groupRemovals)
        stage.reached(.groupsCreatedAnew)
        stage.curtain()
    }

    @Test("Frames for the first life of a group don't reach its second")
    func oldFrames() {
        let stage = Stage { $0.timing.electionTimeout = .milliseconds(300) }
        let leader = stage.elect()
        let late = stage.others(than: leader)[0]
        stage.simulation.delayMoreAndMore(from: leader, to: late, steps: 12)
        stage.load([leader], millis: 2_000, everyMillis: 10)
        stage.simulation.removeGroup("g")
        stage.forget("g")
        stage.simulation.createGroup("g")
        stage.elect()
        stage.load([stage.elect()], millis: 2_500, everyMillis: 10)
        stage.reached(.bytesVeryLate)
        stage.reached(.groupsCreatedAnew)
        stage.curtain()
    }

    @Test("A node that was away when a group was replaced does it when it is back")
    func awayMeanwhile() {
        let stage = Stage()
        let leader = stage.elect()
        let away = stage.others(than: leader)[0]
        #expect(stage.write(on: leader).isDone)
        stage.simulation.crash(away)
        stage.simulation.removeGroup("g")
        stage.forget("g")
        stage.wait(milliseconds: 50)
        stage.simulation.createGroup("g")
        stage.elect()
        stage.simulation.restart(away)
        stage.wait(milliseconds: 500)
        #expect(stage.simulation.status(of: "g", on: away)?.incarnation == 2)
        stage.reached(.recoveries)
        stage.curtain()
    }

    @Test("Power fails while a group is being replaced")
    func powerCutWhileReplaced() {
        for seed in 1...8 {
            let stage = Stage(seed: UInt64(seed))
            let leader = stage.elect()
            #expect(stage.write(on: leader).isDone)
            stage.simulation.removeGroup("g")
            stage.forget("g")
            if seed % 2 == 0 { stage.simulation.createGroup("g") }
            stage.simulation.crash(1, atDiskStep: seed % 3)
            stage.wait(milliseconds: 200)
            stage.simulation.createGroup("g")
            stage.simulation.restart(1)
            stage.reached(.crashesBetweenDiskSteps)
            stage.curtain()
        }
    }

    @Test("Three hundred groups restart at once, and all are led again")
    func allRestart() {
        let groups = names(300)
        let stage = Stage(groups: groups)
        func areLed() -> Bool { groups.allSatisfy { stage.simulation.leader(of: $0) != nil } }
        let pause = Nanoseconds.milliseconds(50)
        #expect(stage.simulation.run(atMost: .seconds(30), lookingEvery: pause, until: areLed))
        for node in stage.nodes { stage.simulation.kill(node) }
        for node in stage.nodes { stage.simulation.restart(node) }
        let span = Nanoseconds(stage.electionTimeout.rawValue * 10)
        #expect(stage.simulation.run(atMost: span, lookingEvery: pause, until: areLed))
        stage.reached(.recoveries, atLeast: 3)
        stage.reached(.leadersElected, atLeast: 600)
        stage.curtain()
    }

    @Test("A hot group leaves a hundred idle ones in peace")
    func hotAmongIdle() {
        let groups = names(100)
        let stage = Stage(groups: groups)
        for group in groups { stage.elect(group) }
        stage.wait(milliseconds: 500)
        let terms = groups.map { stage.term(1, $0) }
        let hot = stage.elect("g0")
        stage.load([hot], "g0", millis: 3_000, everyMillis: 1, padding: 500)
        #expect(stage.acknowledgedCount("g0") > 2_000)
        #expect(groups.map { stage.term(1, $0) } == terms)
        let quiet = groups.dropFirst().count {
            stage.simulation.status(of: $0, on: 1)?.isQuiesced == true
        }
        #expect(quiet == 99)
        stage.curtain()
    }

    @Test("Groups at rest send nothing but the beats of their nodes")
    func idle() {
        func messages(_ count: Int) -> UInt64 {
            let groups = names(count)
            let stage = Stage(groups: groups)
            for group in groups { stage.elect(group) }
            stage.wait(milliseconds: 2_000)
            let before = stage.simulation.coverage[.messagesSent]
            stage.wait(milliseconds: 10_000)
            return stage.simulation.coverage[.messagesSent] - before
        }
        let (few, many) = (messages(1), messages(64))
        #expect(many <= few + few / 10)
        #expect(few > 500)
    }

    @Test("A group stopped on its leader's node is led elsewhere")
    func stopped() {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.stopGroup("g", on: leader)
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        stage.simulation.startGroup("g", on: leader)
        stage.reached(.groupStops)
        stage.reached(.groupStarts)
        stage.curtain()
    }

    @Test("A node that hands over before it ends costs no election timeout")
    func handOver() {
        let groups = names(8)
        let stage = Stage(groups: groups)
        for group in groups { stage.lead(1, group) }
        stage.wait(milliseconds: 500)
        stage.simulation.handOver(1)
        let span = Nanoseconds(stage.electionTimeout.rawValue / 2)
        let isGone = stage.simulation.run(atMost: span, lookingEvery: .milliseconds(5)) {
            groups.allSatisfy { stage.simulation.leader(of: $0).map { $0 != 1 } ?? false }
        }
        #expect(isGone)
        stage.simulation.kill(1)
        for group in groups { #expect(stage.write(on: 2, group).isDone) }
        stage.curtain()
    }

    @Test("Groups of three among five nodes live on without one of their three")
    func subsets() {
        let all: [NodeID] = [1, 2, 3, 4, 5]
        let groups = names(5)
        let voters = groups.indices.map { place in
            (0..<3).map { all[(place + $0) % 5] }.sorted()
        }
        let stage = Stage(nodes: 5, groups: groups, voters: voters)
        for group in groups { stage.elect(group) }
        stage.simulation.crash(3)
        for group in groups {
            let voters = stage.simulation.holders(of: group).filter { $0 != 3 }
            stage.elect(group, of: voters)
            #expect(stage.write(on: voters[0], group).isDone)
        }
        stage.reached(.powerCuts)
        stage.curtain()
    }

    @Test("A disk that hangs under one hot group holds up the others on that node, no more")
    func hangUnderHotGroup() {
        let groups = names(6)
        let stage = Stage(nodes: 5, groups: groups)
        for group in groups { stage.lead(1, group) }
        stage.simulation.hangDisk(2, for: .seconds(2))
        for group in groups { stage.load([1], group, millis: 200, everyMillis: 5) }
        let done = groups.reduce(0) { $0 + stage.acknowledgedCount($1) }
        #expect(done > 100)
        stage.reached(.diskHangs)
        stage.curtain()
    }

    @Test("A follower whose log queue was full learns the last commit index when it has room again")
    func commitToldIntoFullQueue() {
        let stage = Stage(groups: ["g", "hot"]) { $0.limits.logQueueBytes = 16 << 10 }
        for group in ["g", "hot"] { stage.lead(1, group) }
        stage.simulation.hangDisk(3, for: .seconds(2))
        #expect(stage.write(on: 1, "g").isDone)
        // Other entries fill the queue of node 3, so that it drops the one that it has when that is
        // sent again, together with the index that is committed by then.
        stage.load([1], "hot", millis: 200, everyMillis: 5, padding: 2_000)
        stage.wait(milliseconds: 3_000)
        #expect(stage.commit(3) == stage.commit(1))
        stage.reached(.diskHangs)
        stage.curtain()
    }
}
