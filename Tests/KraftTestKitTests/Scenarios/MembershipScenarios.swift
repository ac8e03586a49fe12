import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: members")
struct MembershipScenarios {
    private func stage(seed: UInt64 = 1, nodes: Int = 5, voters: [NodeID] = [1, 2, 3]) -> Stage {
        Stage(seed: seed, nodes: nodes, voters: [voters]) {
            $0.timing.catchUpTimeout = .milliseconds(3_000)
        }
    }

    private func change(
        add: [(NodeID, MemberKind)] = [], remove: [NodeID] = []
    ) -> MembershipChange {
        MembershipChange(add: add.map { .init($0.0, $0.1) }, remove: remove)
    }

    /// Nobody sees a change under way any more, and these are the members.
    private func expect(
        _ members: [NodeID], of stage: Stage, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        stage.expectSoon(
            !stage.simulation.isChanging("g") && stage.simulation.members(of: "g") == members
                && stage.simulation.strays(of: "g").isEmpty,
            within: .seconds(30), sourceLocation: sourceLocation)
    }

    private func kind(_ node: NodeID, of stage: Stage) -> MemberKind? {
        stage.simulation.kinds(of: "g").first { $0.node == node }?.kind
    }

    @Test("Two admins change the members at once; the group follows one of them at a time")
    func twoAdmins() {
        let stage = stage()
        let leader = stage.elect()
        let one = stage.simulation.changeMembers(
            of: "g", change(add: [(4, .voter)], remove: [1]), on: leader)
        let other = stage.simulation.changeMembers(
            of: "g", change(add: [(5, .voter)], remove: [2]), on: stage.others(than: leader)[0])
        stage.expectSoon(
            stage.simulation.isEnded(one) && stage.simulation.isEnded(other), within: .seconds(10))
        #expect(stage.simulation.isDone(one) != stage.simulation.isDone(other))
        expect(stage.simulation.isDone(one) ? [2, 3, 4] : [1, 3, 5], of: stage)
        stage.reached(.changesRefused)
        stage.curtain()
    }

    @Test("A leader that isn't in the new set leads until that is committed, then goes")
    func leaderRemoved() {
        let stage = stage()
        let leader = stage.lead(1)
        for _ in 0..<20 { #expect(stage.write(on: leader).isDone) }
        stage.simulation.changeMembers(
            of: "g", change(add: [(4, .voter), (5, .voter)], remove: [1, 2]), on: leader)
        stage.load([3], millis: 500, everyMillis: 20)
        expect([3, 4, 5], of: stage)
        stage.elect(of: [3, 4, 5])
        #expect(stage.simulation.status(of: "g", on: 1) == nil)
        stage.reached(.replicasRemoved, atLeast: 2)
        stage.reached(.jointConfigurationsCommitted)
        stage.curtain()
    }

    @Test("The leader dies at any step of a change, and the group is old or new", arguments: 0..<24)
    func crashAtEachStep(step: Int) {
        let stage = stage(seed: UInt64(step + 1))
        let leader = stage.lead(1)
        for _ in 0..<5 { #expect(stage.write(on: leader).isDone) }
        stage.simulation.changeMembers(
            of: "g", change(add: [(4, .voter), (5, .voter)], remove: [1, 2]), on: leader)
        stage.simulation.run(for: .microseconds(UInt64(step) * 700))
        stage.simulation.crash(leader)
        stage.elect(of: [2, 3, 4, 5])
        stage.wait(electionTimeouts: 4)
        stage.simulation.restart(leader)
        let old: [NodeID] = [1, 2, 3]
        stage.expectSoon(
            !stage.simulation.isChanging("g") && stage.simulation.strays(of: "g").isEmpty
                && [old, [3, 4, 5]].contains(stage.simulation.members(of: "g")),
            within: .seconds(30))
        stage.curtain()
    }

    @Test("A removed node that was cut off campaigns in vain, and goes when it is told")
    func removedCampaigns() {
        let stage = stage()
        let leader = stage.elect()
        let removed = stage.others(than: leader, 4, 5)[0]
        stage.simulation.partition([removed])
        stage.simulation.changeMembers(of: "g", change(remove: [removed]), on: leader)
        let left = stage.others(than: removed, 4, 5)
        stage.expectSoon(
            stage.simulation.members(of: "g") == left && !stage.simulation.isChanging("g"))
        stage.wait(electionTimeouts: 10)
        let term = stage.term(leader)
        stage.simulation.forceElection("g", on: removed)
        stage.simulation.heal()
        stage.expectSoon(stage.simulation.strays(of: "g").isEmpty, within: .seconds(10))
        #expect(stage.write(on: leader).isDone)
        #expect(stage.simulation.leader(of: "g") == leader && stage.term(leader) == term)
        stage.reached(.replicasRemoved)
        stage.curtain()
    }

    @Test("A node that forces elections while it is cut off has gained no term when it is back")
    func forcedInVain() {
        let stage = stage(nodes: 3)
        let leader = stage.elect()
        let loud = stage.others(than: leader)[0]
        stage.simulation.partition([loud])
        stage.wait(electionTimeouts: 3)
        for _ in 0..<50 {
            stage.simulation.forceElection("g", on: loud)
            stage.wait(milliseconds: 20)
        }
        #expect(stage.term(loud) == stage.term(leader))
        stage.load([leader], millis: 200, everyMillis: 10)
        let term = stage.term(leader)
        stage.simulation.heal()
        stage.wait(electionTimeouts: 5)
        #expect(stage.simulation.leader(of: "g") == leader && stage.term(leader) == term)
        stage.reached(.forcedElections, atLeast: 50)
        stage.curtain()
    }

    @Test("A learner that is behind is promoted, and doesn't hold commits up meanwhile")
    func promotedWhileBehind() {
        let stage = stage(nodes: 4)
        let leader = stage.elect()
        stage.simulation.changeMembers(of: "g", change(add: [(4, .learner)]), on: leader)
        expect([1, 2, 3, 4], of: stage)
        stage.simulation.pause(4, for: .milliseconds(1_500))
        stage.load([leader], millis: 500, everyMillis: 2)
        let behind = stage.commit(leader)
        stage.simulation.changeMembers(of: "g", change(add: [(4, .voter)]), on: leader)
        #expect(stage.write(on: leader, timeoutMillis: 500).isDone)
        #expect(kind(4, of: stage) == .learner)
        stage.expectSoon(kind(4, of: stage) == .voter, within: .seconds(20))
        #expect(stage.commit(4) >= behind)
        stage.curtain()
    }

    @Test("A new voter that never comes is given up, and the group stays what it was")
    func neverCaughtUp() {
        let stage = stage()
        let leader = stage.elect()
        stage.simulation.crash(4)
        stage.simulation.changeMembers(of: "g", change(add: [(4, .voter)]), on: leader)
        stage.wait(milliseconds: 500)
        #expect(stage.write(on: leader).isDone)
        stage.wait(milliseconds: 5_000)
        expect([1, 2, 3], of: stage)
        stage.curtain()
    }

    @Test("A witness keeps a group of two alive when either dies, and never leads")
    func witness() {
        let stage = stage(nodes: 3, voters: [1, 2])
        let leader = stage.elect()
        stage.simulation.changeMembers(of: "g", change(add: [(3, .witness)]), on: leader)
        expect([1, 2, 3], of: stage)
        #expect(kind(3, of: stage) == .witness)
        let other = stage.others(than: leader, 3)[0]
        stage.simulation.crash(leader)
        stage.elect(of: [other])
        #expect(stage.write(on: other).isDone)
        stage.simulation.restart(leader)
        stage.expectSoon(stage.count(on: leader) == stage.count(on: other), within: .seconds(10))
        stage.simulation.crash(other)
        stage.elect(of: [leader])
        #expect(stage.write(on: leader).isDone)
        stage.curtain()
    }

    @Test("A node removed and taken in again votes as somebody new, and holds all again")
    func empty() {
        let stage = stage(nodes: 3)
        let leader = stage.elect()
        for _ in 0..<30 { #expect(stage.write(on: leader).isDone) }
        let gone = stage.others(than: leader)[0]
        stage.simulation.changeMembers(of: "g", change(remove: [gone]), on: leader)
        stage.expectSoon(
            stage.simulation.status(of: "g", on: gone) == nil
                && !stage.simulation.isChanging("g"), within: .seconds(10))
        #expect(stage.count(on: gone) == 0)
        stage.simulation.changeMembers(of: "g", change(add: [(gone, .voter)]), on: leader)
        expect([1, 2, 3], of: stage)
        stage.simulation.crash(stage.others(than: leader, gone)[0])
        #expect(stage.write(on: gone).isDone)
        stage.expectSoon(stage.count(on: gone) == 31)
        stage.curtain()
    }
}

@Suite("Scenarios: leases")
struct LeaseScenarios {
    private func read(_ stage: Stage, on node: NodeID, millis: UInt64 = 300) -> Bool {
        let request = stage.simulation.read(
            on: node, group: "g", .content, freshness: .lease, timeout: .milliseconds(millis))
        _ = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isEnded(request) }
        return stage.simulation.answer(of: request).isDone
    }

    private func stage(skew: Int = 0) -> Stage {
        Stage {
            $0.timing.leaseDuration = .milliseconds(600)
            $0.clock.skewPercent = skew
        }
    }

    @Test("A leader that slept over its lease answers nothing by it")
    func slept() {
        let stage = stage()
        let leader = stage.elect()
        #expect(stage.write(on: leader).isDone)
        #expect(read(stage, on: leader))
        stage.simulation.pause(leader, for: Nanoseconds(stage.electionTimeout.rawValue * 4))
        let next = stage.elect(of: stage.others(than: leader))
        #expect(stage.write(on: next).isDone)
        stage.simulation.partition([leader])
        stage.wait(electionTimeouts: 4)
        #expect(!read(stage, on: leader))
        stage.reached(.leaseReads)
        stage.reached(.leasesChecked)
        stage.curtain()
    }

    @Test("Clocks apart by a fifth: a leader cut off is followed when its lease is over")
    func skewed() {
        let stage = stage(skew: 10)
        let leader = stage.elect()
        for other in stage.others(than: leader) {
            stage.simulation.changeClock(of: other, skewPercent: 10)
        }
        stage.simulation.changeClock(of: leader, skewPercent: -10)
        #expect(read(stage, on: leader))
        stage.simulation.partition([leader])
        // As long as it answers, nobody else may have written: the oracle of reads looks.
        for _ in 0..<200 {
            _ = read(stage, on: leader, millis: 5)
            for other in stage.others(than: leader) {
                stage.propose(on: other, timeoutMillis: 2_000)
            }
            stage.wait(milliseconds: 5)
        }
        stage.elect(of: stage.others(than: leader))
        stage.reached(.leasesChecked)
        stage.curtain()
    }
}
