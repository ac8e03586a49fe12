import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

/// Changes of members on whole nodes: records, messages, invitations, removals.
@Suite("Membership on whole nodes")
struct MembershipTests {
    private func makeCluster(
        seed: UInt64 = 1, nodes: Int = 5, voters: Int = 3,
        _ configure: (inout SimulationOptions) -> Void = { _ in }
    ) -> Cluster {
        KraftEngineTests.makeCluster(seed: seed, nodes: nodes) { options in
            options.firstVoters = voters
            configure(&options)
        }
    }

    private func members(_ cluster: Cluster, on node: NodeID) -> [NodeID] {
        cluster.status(of: "g", on: node)?.members.map(\.node) ?? []
    }

    /// Asks for a change and waits until the group's leader has none under way any more.
    @discardableResult
    private func change(
        _ cluster: Cluster, add: [(NodeID, MemberKind)] = [], remove: [NodeID] = [],
        on node: NodeID, within span: Nanoseconds = .seconds(30)
    ) -> Bool {
        let change = MembershipChange(
            add: add.map { .init($0.0, $0.1) }, remove: remove)
        let before = cluster.leader(of: "g").flatMap {
            cluster.status(of: "g", on: $0)?.finishedChange
        }
        let request = cluster.changeMembers(of: "g", change, on: node)
        guard cluster.run(atMost: .seconds(10), until: { cluster.isEnded(request) }),
            cluster.isDone(request)
        else { return false }
        return cluster.run(atMost: span) {
            guard let leader = cluster.leader(of: "g"),
                let status = cluster.status(of: "g", on: leader)
            else { return false }
            // Named by a configuration that is committed.
            return status.change == nil && status.finishedChange != before
                && remove.allSatisfy { !members(cluster, on: leader).contains($0) }
        }
    }

    @Test("A node is taken in, catches up, votes, and carries the group on", arguments: 1...5)
    func addVoter(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        cluster.elect()
        let ids = Array(UInt64(1)...50)
        for id in ids { cluster.write(id, on: 1) }
        #expect(change(cluster, add: [(4, .voter), (5, .voter)], on: 2))
        #expect(members(cluster, on: 1) == [1, 2, 3, 4, 5])
        // Two of the old three are lost: three of five carry on.
        cluster.crash(1)
        cluster.crash(2)
        cluster.elect()
        #expect(cluster.write(1_000, on: 4).isDone)
        for node in [NodeID(3), 4, 5] {
            _ = cluster.run(atMost: .seconds(10)) {
                cluster.machine(of: "g", on: node)?.ids.contains(1_000) ?? false
            }
            let held = cluster.machine(of: "g", on: node)?.ids ?? []
            for id in ids { #expect(held.contains(id), "node \(node) lacks \(id)") }
        }
        cluster.expectClean()
    }

    @Test("All first members are replaced, the leader too, and nothing is lost", arguments: 1...10)
    func replaceAll(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 6)
        cluster.elect()
        for id in UInt64(1)...20 { cluster.write(id, on: 2) }
        #expect(
            change(
                cluster, add: [(4, .voter), (5, .voter), (6, .voter)], remove: [1, 2, 3], on: 1))
        let isGone = cluster.run(atMost: .seconds(20)) {
            [NodeID(1), 2, 3].allSatisfy { cluster.status(of: "g", on: $0) == nil }
        }
        #expect(isGone, "zombies: \(cluster.violations)")
        cluster.elect()
        #expect(cluster.write(99, on: 5).isDone)
        for node in [NodeID(4), 5, 6] {
            _ = cluster.run(atMost: .seconds(10)) {
                cluster.machine(of: "g", on: node)?.ids.count == 21
            }
            #expect(cluster.machine(of: "g", on: node)?.ids.count == 21)
        }
        cluster.expectClean()
    }

    @Test("A removed node comes back as another replica, empty, and old nodes restart as they were")
    func comesBack() {
        let cluster = makeCluster(nodes: 4)
        cluster.elect()
        for id in UInt64(1)...10 { cluster.write(id, on: 1) }
        #expect(change(cluster, remove: [3], on: 1))
        _ = cluster.run(atMost: .seconds(10)) { cluster.status(of: "g", on: 3) == nil }
        #expect(cluster.status(of: "g", on: 3) == nil)
        cluster.crash(3)
        cluster.restart(3)
        cluster.run(for: .seconds(5))
        #expect(cluster.status(of: "g", on: 3) == nil, "it came back by itself")
        #expect(change(cluster, add: [(3, .voter)], on: 2))
        let isBack = cluster.run(atMost: .seconds(10)) {
            cluster.machine(of: "g", on: 3)?.ids.count == 10
        }
        #expect(isBack)
        for node in [NodeID(1), 2, 3] { cluster.crash(node) }
        for node in [NodeID(1), 2, 3] { cluster.restart(node) }
        cluster.elect()
        #expect(members(cluster, on: 3) == [1, 2, 3])
        #expect(cluster.write(11, on: 3).isDone)
        cluster.expectClean()
    }

    @Test("A witness helps to commit and to elect, and holds no command")
    func witness() {
        let cluster = makeCluster(nodes: 3, voters: 2)
        cluster.elect()
        #expect(change(cluster, add: [(3, .witness)], on: 1))
        let leader = cluster.elect()
        let follower: NodeID = leader == 1 ? 2 : 1
        cluster.crash(follower)
        for id in UInt64(1)...10 { #expect(cluster.write(id, on: leader).isDone) }
        #expect(cluster.machine(of: "g", on: 3)?.ids.isEmpty ?? true)
        #expect(cluster.status(of: "g", on: 3)?.role == .witness)
        cluster.restart(follower)
        _ = cluster.run(atMost: .seconds(10)) {
            cluster.machine(of: "g", on: follower)?.ids.count == 10
        }
        cluster.crash(leader)
        cluster.elect(except: leader)
        #expect(cluster.leader(of: "g") == follower)
        #expect(cluster.write(11, on: follower).isDone)
        cluster.expectClean()
    }

    @Test("Of two changes at once one is refused as a conflict")
    func twoAdmins() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.write(1, on: leader)
        let first = cluster.changeMembers(
            of: "g", .init(add: [.init(4, .voter)]), on: leader)
        let second = cluster.changeMembers(
            of: "g", .init(add: [.init(5, .voter)]), on: cluster.other(than: leader))
        _ = cluster.run(atMost: .seconds(10)) {
            cluster.isEnded(first) && cluster.isEnded(second)
        }
        let done = [first, second].filter { cluster.isDone($0) }
        #expect(done.count == 1)
        cluster.expectClean()
    }

    @Test("A change that doesn't fit is refused, wherever it is asked for")
    func refused() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.write(1, on: leader)
        for node in [leader, cluster.other(than: leader)] {
            for change in [
                MembershipChange(remove: [5]), .init(add: [.init(99, .voter)]),
                .init(remove: [1, 2, 3]),
            ] {
                let request = cluster.changeMembers(of: "g", change, on: node)
                _ = cluster.run(atMost: .seconds(10)) { cluster.isEnded(request) }
                #expect(cluster.isEnded(request) && !cluster.isDone(request))
            }
        }
        #expect(cluster.write(2, on: leader).isDone)
        cluster.expectClean()
    }

    @Test("A new voter that is dead is given up after the catch-up time")
    func abandoned() {
        let cluster = makeCluster { $0.timing.catchUpTimeout = .seconds(3) }
        let leader = cluster.elect()
        cluster.write(1, on: leader)
        cluster.crash(5)
        let request = cluster.changeMembers(
            of: "g", .init(add: [.init(5, .voter)], remove: [cluster.other(than: leader)]),
            on: leader)
        _ = cluster.run(atMost: .seconds(5)) { cluster.isDone(request) }
        let isOver = cluster.run(atMost: .seconds(10)) {
            cluster.status(of: "g", on: leader)?.finishedChange?.isAbandoned ?? false
        }
        #expect(isOver)
        #expect(members(cluster, on: leader) == [1, 2, 3])
        #expect(cluster.write(2, on: leader).isDone)
        cluster.expectClean()
    }

    @Test(
        "Members change while nodes crash at any moment, and the group stays one", arguments: 1...40
    )
    func crashes(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 5)
        var dice = Dice(seed: seed)
        cluster.elect()
        cluster.write(1, on: 1)
        for round in 0..<6 {
            let node = NodeID(UInt32(1 + dice.below(5)))
            guard let leader = cluster.leader(of: "g") else {
                cluster.elect()
                continue
            }
            let current = members(cluster, on: leader)
            let change =
                current.contains(node)
                ? MembershipChange(remove: current.count > 2 ? [node] : [])
                : MembershipChange(add: [.init(node, .voter)])
            cluster.changeMembers(of: "g", change, on: leader)
            cluster.run(for: .milliseconds(dice.below(40)))
            let victim = NodeID(UInt32(1 + dice.below(5)))
            cluster.crash(victim)
            cluster.run(for: .milliseconds(dice.below(1_500)))
            cluster.restart(victim)
            cluster.run(for: .milliseconds(dice.below(1_500)))
            if let leader = cluster.leader(of: "g") {
                cluster.propose(
                    on: leader, group: "g", AuditLog.Command(id: UInt64(round) + 10, padding: 0))
            }
        }
        // Calm: one leader, no change under way, all members alike, nobody else.
        let isCalm = cluster.run(atMost: .seconds(60)) {
            guard let leader = cluster.leader(of: "g"),
                let status = cluster.status(of: "g", on: leader), status.change == nil,
                !status.isJoint
            else { return false }
            let held = cluster.nodeIDs.filter { cluster.status(of: "g", on: $0) != nil }
            return held == status.members.map(\.node)
        }
        let views = cluster.nodeIDs.map { members(cluster, on: $0) }
        #expect(
            isCalm, "seed \(seed): \(views), led by \(String(describing: cluster.leader(of: "g")))")
        cluster.elect()
        if let leader = cluster.leader(of: "g") {
            #expect(cluster.write(9_999, on: leader).isDone, "seed \(seed)")
        }
        cluster.expectClean()
    }

    @Test("A node that is taken in is told the log at once, not at the next try", arguments: 1...5)
    func isToldAtOnce(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let leader = cluster.elect()
        for id in UInt64(1)...10 { cluster.write(id, on: leader) }
        let election = EngineConfiguration.Timing().electionTimeout
        let request = cluster.changeMembers(of: "g", .init(add: [.init(4, .learner)]), on: leader)
        let isThere = cluster.run(atMost: Nanoseconds(election.rawValue / 2)) {
            cluster.isDone(request) && cluster.machine(of: "g", on: 4)?.ids.count == 10
        }
        #expect(isThere)
        cluster.expectClean()
    }

    @Test(
        "Nothing that is asked of the others is refused while the leader is removed",
        arguments: 1...20)
    func removedLeaderIsAsked(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 3)
        let leader = cluster.elect()
        let asked = cluster.other(than: leader)
        cluster.write(1, on: asked)
        let change = cluster.changeMembers(of: "g", .init(remove: [leader]), on: leader)
        var requests: [RequestID] = []
        for id in UInt64(2)...200 {
            requests.append(
                cluster.propose(
                    on: asked, group: "g", AuditLog.Command(id: id), timeout: .seconds(5)))
            cluster.run(for: .microseconds(500))
        }
        _ = cluster.run(atMost: .seconds(10)) { requests.allSatisfy { cluster.isEnded($0) } }
        #expect(cluster.isDone(change))
        for request in requests {
            let outcome = cluster.outcome(of: request)
            #expect(!outcome.isRefused, "seed \(seed): \(outcome)")
        }
        cluster.expectClean()
    }
}
