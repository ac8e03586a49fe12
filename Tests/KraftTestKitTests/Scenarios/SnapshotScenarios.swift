import KraftEngine
import KraftTestKit
import RaftCore
import Testing

/// Snapshots come when a scenario asks for them, and the log gives way whole.
private func snapshotStage(
    seed: UInt64 = 1, nodes: Int = 3, groups: [String] = ["g"], firstVoters: Int? = nil,
    _ configure: (inout SimulationOptions) -> Void = { _ in }
) -> Stage {
    Stage(seed: seed, nodes: nodes, groups: groups) { options in
        options.firstVoters = firstVoters
        options.snapshots.tailEntries = 0
        options.snapshots.tailSizeBytes = 0
        options.snapshots.graceEntries = 0
        options.snapshots.chunkSizeBytes = 256
        configure(&options)
    }
}

extension Stage {
    /// Has these nodes make snapshots of what they have applied, and waits for them.
    fileprivate func snapshot(
        _ some: [NodeID], _ group: String = "g", sourceLocation: SourceLocation = #_sourceLocation
    ) {
        for node in some {
            let request = simulation.snapshot(group, on: node)
            _ = simulation.run(atMost: .seconds(10)) { simulation.isEnded(request) }
            #expect(
                simulation.isDone(request), "no snapshot on node \(node)",
                sourceLocation: sourceLocation)
        }
    }

    fileprivate func first(_ node: NodeID, _ group: String = "g") -> UInt64 {
        simulation.status(of: group, on: node)?.firstIndex.rawValue ?? 0
    }

    /// A follower that is down, and whose next entries nobody holds any more.
    fileprivate func leaveBehind(
        _ node: NodeID, commands: Int = 100, padding: Int = 0
    ) {
        simulation.crash(node)
        let leader = elect(of: others(than: node))
        for _ in 0..<commands { propose(on: leader, padding: padding) }
        write(on: leader)
        wait(milliseconds: 200)
        snapshot(others(than: node))
    }

    fileprivate func isLevel(_ node: NodeID, _ group: String = "g") -> Bool {
        guard let leader = simulation.leader(of: group) else { return false }
        return count(on: node, group) == count(on: leader, group)
            && simulation.isInStep(group)
    }
}

@Suite("Scenarios: snapshots")
struct SnapshotScenarios {
    @Test("A log gives way to a snapshot, on request, and one file is kept")
    func asked() {
        let stage = snapshotStage()
        let leader = stage.elect()
        for _ in 0..<3 {
            for _ in 0..<50 { stage.propose(on: leader) }
            stage.write(on: leader)
            let request = stage.simulation.snapshot("g", on: leader)
            _ = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isEnded(request) }
            guard case .done(let index, let reply) = stage.simulation.sessionOutcome(of: request)
            else {
                Issue.record("no snapshot")
                return
            }
            #expect(stage.first(leader) == index.rawValue + 1)
            #expect(reply.count == 8)
        }
        stage.wait(milliseconds: 100)
        #expect(stage.simulation.snapshotCount(on: leader) == 1)
        // Nothing new: answered at once with what there is.
        stage.snapshot([leader])
        #expect(stage.simulation.coverage[.snapshotsCaptured] == 3)
        stage.curtain()
    }

    @Test("Logs give way by entries, by bytes and by time", arguments: 0..<3)
    func policy(kind: Int) {
        let stage = snapshotStage(seed: UInt64(10 + kind)) { options in
            switch kind {
            case 0: options.snapshots.entryLimit = 50
            case 1: options.snapshots.sizeLimitBytes = 4 << 10
            default: options.snapshots.interval = .milliseconds(300)
            }
        }
        stage.elect()
        stage.load(stage.nodes, millis: 1_000, everyMillis: 5)
        stage.wait(milliseconds: 1_000)
        for node in stage.nodes { #expect(stage.first(node) > 1, "node \(node) keeps all") }
        stage.reached(.snapshotsCaptured, atLeast: 3)
        stage.curtain()
        // A group at rest costs nothing.
        let taken = stage.simulation.coverage[.snapshotsCaptured]
        stage.wait(milliseconds: 5_000)
        #expect(stage.simulation.coverage[.snapshotsCaptured] <= taken + 3)
    }

    @Test("All nodes start from their snapshots and what stands behind them")
    func restart() {
        let stage = snapshotStage(seed: 3) {
            $0.snapshots.tailEntries = 5
            $0.snapshots.tailSizeBytes = 1 << 20
        }
        let leader = stage.elect()
        for _ in 0..<60 { stage.propose(on: leader) }
        stage.write(on: leader)
        stage.wait(milliseconds: 200)
        stage.snapshot(stage.nodes)
        for _ in 0..<20 { stage.propose(on: leader) }
        stage.write(on: leader)
        for node in stage.nodes { stage.simulation.crash(node) }
        for node in stage.nodes { stage.simulation.restart(node) }
        stage.expectSoon(stage.simulation.coverage[.snapshotsRestored] >= 3)
        stage.reached(.snapshotsCompared, atLeast: 3)
        stage.curtain()
    }

    @Test("A follower that was away for long comes back by a snapshot")
    func away() {
        let stage = snapshotStage(seed: 4)
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower)
        stage.simulation.restart(follower)
        stage.expectSoon(stage.isLevel(follower))
        stage.reached(.snapshotsInstalled)
        #expect(stage.first(follower) > 100)
        stage.curtain()
    }

    @Test("Power fails at every step of an install", arguments: 0..<40)
    func installCrash(step: Int) {
        let stage = snapshotStage(seed: UInt64(100 + step))
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower, commands: 60)
        stage.simulation.restart(follower)
        stage.simulation.crash(follower, atDiskStep: step)
        stage.load(stage.others(than: follower), millis: 400, everyMillis: 20)
        stage.simulation.restart(follower)
        stage.curtain()
        stage.reached(.snapshotsInstalled)
    }

    @Test("Power fails at every step of a capture", arguments: 0..<12)
    func captureCrash(step: Int) {
        let stage = snapshotStage(seed: UInt64(200 + step))
        let leader = stage.elect()
        for _ in 0..<50 { stage.propose(on: leader) }
        stage.write(on: leader)
        stage.wait(milliseconds: 50)
        let follower = stage.others(than: leader)[0]
        stage.simulation.snapshot("g", on: follower)
        stage.simulation.crash(follower, atDiskStep: step)
        stage.load([leader], millis: 200, everyMillis: 20)
        stage.simulation.restart(follower)
        stage.curtain()
        #expect(stage.simulation.snapshotCount(on: follower) <= 1)
    }

    @Test("The leader changes while its snapshot is under way", arguments: [true, false])
    func leaderChange(dies: Bool) {
        let stage = snapshotStage(seed: dies ? 5 : 6, nodes: 5) {
            $0.snapshots.bytesPerSecond = 4_000
        }
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower, commands: 300)
        let leader = stage.elect()
        stage.simulation.restart(follower)
        stage.expectSoon(stage.simulation.coverage[.fetchesBegun] > 0)
        stage.wait(milliseconds: 100)
        #expect(stage.simulation.coverage[.snapshotsInstalled] == 0)
        if dies {
            stage.simulation.crash(leader)
        } else {
            stage.simulation.stepDown("g", on: leader)
        }
        stage.elect(of: stage.others(than: follower, leader))
        stage.expectSoon(
            stage.simulation.coverage[.snapshotsInstalled] > 0, within: .seconds(30))
        stage.curtain()
    }

    @Test("A snapshot is older than what was given up since: another one follows")
    func outdated() {
        let stage = snapshotStage(seed: 7) { $0.snapshots.bytesPerSecond = 3_000 }
        let leader = stage.lead(1)
        stage.leaveBehind(3, commands: 200)
        stage.simulation.restart(3)
        stage.expectSoon(stage.simulation.coverage[.fetchesBegun] > 0)
        for _ in 0..<3 {
            for _ in 0..<20 { stage.propose(on: leader) }
            stage.write(on: leader)
            stage.snapshot([1, 2])
        }
        stage.expectSoon(stage.isLevel(3), within: .seconds(60))
        stage.reached(.snapshotsInstalled, atLeast: 2)
        stage.curtain()
    }

    @Test("A follower that comes back while its log is held for it needs no snapshot")
    func grace() {
        let stage = snapshotStage(seed: 8) {
            $0.snapshots.tailEntries = 1_000
            $0.snapshots.tailSizeBytes = 1 << 20
        }
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower)
        stage.simulation.restart(follower)
        stage.curtain()
        #expect(stage.simulation.coverage[.snapshotsInstalled] == 0)
    }

    @Test("A new member is given a state from before its time, and an older membership in it")
    func oldMembership() {
        let stage = snapshotStage(seed: 9, nodes: 5, firstVoters: 3)
        let leader = stage.elect()
        for _ in 0..<50 { stage.propose(on: leader) }
        stage.write(on: leader)
        stage.snapshot([1, 2, 3])
        stage.simulation.changeMembers(
            of: "g", MembershipChange(add: [.init(4, .voter), .init(5, .witness)], remove: [1]),
            on: leader)
        stage.expectSoon(
            stage.simulation.members(of: "g") == [2, 3, 4, 5]
                && !stage.simulation.isChanging("g"), within: .seconds(30))
        stage.reached(.snapshotsInstalled, atLeast: 2)
        // And one from since then to a node that still goes by the old members.
        stage.simulation.crash(2)
        stage.write(on: stage.elect(of: [3, 4]))
        stage.simulation.changeMembers(
            of: "g", MembershipChange(add: [.init(1, .voter)]), on: 3)
        stage.expectSoon(
            stage.simulation.members(of: "g") == [1, 2, 3, 4, 5]
                && !stage.simulation.isChanging("g"), within: .seconds(30))
        stage.wait(milliseconds: 300)
        stage.snapshot([3, 4])
        stage.simulation.restart(2)
        stage.curtain()
        for node in [NodeID(1), 2, 3, 4] {
            let members = stage.simulation.status(of: "g", on: node)?.members.map(\.node)
            #expect(members == [1, 2, 3, 4, 5], "node \(node)")
        }
    }

    @Test("Sessions are in a snapshot: a retry on whoever got one takes effect once")
    func sessions() {
        let stage = snapshotStage(seed: 11)
        let leader = stage.lead(1)
        let session = SessionID(77)
        let opening = stage.simulation.changeSessions(
            on: leader, group: "g", .open(session, ttlMilliseconds: 60_000))
        _ = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isEnded(opening) }
        let tag = SessionTag(session: session, sequence: 1)
        let command = AuditLog.Command(id: 1 << 40)
        stage.simulation.crash(3)
        let first = stage.end(
            of: stage.simulation.propose(on: leader, group: "g", command, session: tag))
        guard case .done(let index, let reply) = first else {
            Issue.record("not done: \(first)")
            return
        }
        for _ in 0..<50 { stage.propose(on: leader) }
        stage.write(on: leader)
        stage.wait(milliseconds: 100)
        stage.snapshot([1, 2])
        stage.simulation.restart(3)
        stage.expectSoon(stage.isLevel(3))
        stage.reached(.snapshotsInstalled)
        stage.lead(3)
        let again = stage.end(
            of: stage.simulation.propose(on: 3, group: "g", command, session: tag))
        guard case .done(let secondIndex, let secondReply) = again else {
            Issue.record("not done: \(again)")
            return
        }
        #expect(secondIndex == index && secondReply == reply)
        #expect(stage.simulation.sessionCount(of: "g", on: 3) == 1)
        stage.curtain()
    }

    @Test("A snapshot that rots is found by whoever fetches it, and another one made")
    func rotten() {
        let stage = snapshotStage(seed: 12)
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower)
        #expect(stage.simulation.rotSnapshot(of: "g", on: stage.elect()))
        stage.simulation.restart(follower)
        stage.expectSoon(stage.isLevel(follower), within: .seconds(20))
        stage.reached(.fetchesDamaged)
        stage.reached(.snapshotsRenewed)
        stage.reached(.snapshotsInstalled)
        stage.curtain()
    }

    @Test("Bits flip on the way: the connection is dropped, and the fetch goes on")
    func flipped() {
        let stage = snapshotStage(seed: 13) { $0.snapshots.bytesPerSecond = 5_000 }
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower, commands: 200)
        stage.simulation.restart(follower)
        stage.expectSoon(stage.simulation.coverage[.fetchesBegun] > 0)
        var left = 5
        for _ in 0..<2_000 where left > 0 {
            if stage.simulation.corruptBytes(from: stage.elect(), to: follower) { left -= 1 }
            stage.wait(milliseconds: 1)
        }
        stage.expectSoon(stage.isLevel(follower), within: .seconds(30))
        stage.reached(.bitsFlippedInFlight)
        stage.reached(.snapshotsInstalled)
        stage.curtain()
    }

    @Test("Connections break again and again, and a fetch goes on where it was")
    func resumed() {
        let stage = snapshotStage(seed: 14) { $0.snapshots.bytesPerSecond = 5_000 }
        let follower = stage.others(than: stage.elect())[0]
        stage.leaveBehind(follower, commands: 400)
        let leader = stage.elect()
        stage.simulation.restart(follower)
        stage.expectSoon(stage.simulation.coverage[.fetchesBegun] > 0)
        for _ in 0..<4 {
            stage.wait(milliseconds: 150)
            stage.simulation.resetConnections(between: leader, and: follower)
        }
        stage.expectSoon(stage.isLevel(follower), within: .seconds(30))
        stage.reached(.fetchesResumed)
        let received = stage.simulation.metrics(on: follower)?.snapshotBytesReceived ?? 0
        // Not much comes twice.
        #expect(received > 3_000 && received < 8_000)
        stage.curtain()
    }

    @Test("Many groups need snapshots at once: a bounded number is under way")
    func storm() {
        let groups = (0..<24).map { "g\($0)" }
        let stage = snapshotStage(seed: 15, groups: groups) { options in
            options.snapshots.installLimit = 2
            options.snapshots.serveLimit = 1
            options.snapshots.captureLimit = 1
        }
        for group in groups { stage.elect(group) }
        stage.simulation.crash(3)
        for group in groups {
            let leader = stage.elect(group, of: [1, 2])
            for _ in 0..<30 { stage.propose(on: leader, group) }
            stage.write(on: leader, group)
        }
        stage.wait(milliseconds: 200)
        for group in groups { stage.snapshot([1, 2], group) }
        stage.simulation.restart(3)
        stage.expectSoon(groups.allSatisfy { stage.isLevel(3, $0) }, within: .seconds(60))
        stage.reached(.snapshotsInstalled, atLeast: 24)
        stage.reached(.fetchesHeldBack)
        stage.curtain()
    }

    @Test("No snapshot can be written: it is tried again, and nothing is given up meanwhile")
    func failures() {
        let stage = snapshotStage(seed: 16)
        let leader = stage.lead(1)
        stage.write(on: leader)
        stage.simulation.failNextCapture(leader)
        let request = stage.simulation.snapshot("g", on: leader)
        _ = stage.simulation.run(atMost: .seconds(5)) { stage.simulation.isEnded(request) }
        #expect(!stage.simulation.isDone(request))
        #expect(stage.first(leader) == 1)
        stage.leaveBehind(3)
        stage.simulation.failNextSnapshotRead(leader)
        stage.simulation.failNextSnapshotWrite(3)
        stage.simulation.restart(3)
        stage.expectSoon(stage.isLevel(3), within: .seconds(20))
        stage.reached(.captureFailures)
        stage.reached(.snapshotReadFailures)
        stage.reached(.snapshotWriteFailures)
        stage.reached(.snapshotsInstalled)
        stage.curtain()
    }

    @Test("Proposals that an install jumps over end as unknown")
    func jumpedOver() {
        let stage = snapshotStage(seed: 17)
        let leader = stage.elect()
        let others = stage.others(than: leader)
        stage.simulation.partition([leader])
        let waiting = (0..<10).map { _ in
            stage.propose(on: leader, timeoutMillis: 20_000).request
        }
        stage.elect(of: others)
        for _ in 0..<100 { stage.propose(on: stage.elect(of: others)) }
        stage.write(on: stage.elect(of: others))
        stage.wait(milliseconds: 200)
        stage.snapshot(others)
        stage.simulation.heal()
        stage.expectSoon(stage.isLevel(leader), within: .seconds(20))
        stage.reached(.snapshotsInstalled)
        stage.reached(.proposalsJumpedOver)
        for request in waiting {
            guard case .unknown = stage.simulation.outcome(of: request) else {
                Issue.record("\(stage.simulation.outcome(of: request))")
                continue
            }
        }
        stage.curtain()
    }

    @Test("Reads wait while a state is restored, and see all of it")
    func readsWhileRestoring() {
        let stage = snapshotStage(seed: 18) {
            $0.disk.snapshotDelay = 300_000_000...400_000_000
        }
        let leader = stage.lead(1)
        stage.leaveBehind(3)
        stage.simulation.restart(3)
        stage.expectSoon(stage.simulation.coverage[.snapshotsInstalled] > 0)
        let answer = stage.read(on: 3, timeoutMillis: 3_000)
        guard case .content(let count, _) = answer.value else {
            Issue.record("\(answer)")
            return
        }
        #expect(count == stage.count(on: leader))
        stage.curtain()
    }
}
