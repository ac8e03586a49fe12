import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Elections")
struct ElectionTests {
    @Test("Nodes elect one leader and agree on it", arguments: [1, 2, 3, 4, 5])
    func election(nodes: Int) {
        let cluster = makeCluster(nodes: nodes)
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        for node in cluster.nodeIDs {
            #expect(cluster.status(of: "g", on: node)?.leader == leader)
        }
        #expect(cluster.nodeIDs.count { cluster.status(of: "g", on: $0)?.role == .leader } == 1)
        cluster.expectClean()
    }

    @Test("A quiet cluster keeps its leader and term, though clocks run 10 % apart")
    func stability() {
        for seed in UInt64(1)...5 {
            let cluster = makeCluster(seed: seed) { $0.clock.skewPercent = 10 }
            let leader = cluster.elect()
            cluster.run(for: .seconds(1))
            let term = cluster.status(of: "g", on: leader)?.term
            cluster.run(for: .seconds(60))
            #expect(cluster.leader(of: "g") == leader)
            #expect(cluster.status(of: "g", on: leader)?.term == term)
            cluster.expectClean()
        }
    }

    @Test("When the leader's power fails, another leads within 2 s", arguments: UInt64(1)...10)
    func leaderCrash(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let first = cluster.elect()
        #expect(cluster.write(1, on: first).isDone)
        cluster.crash(first)
        let second = cluster.elect(except: first, within: .seconds(2))
        #expect(cluster.write(2, on: second).isDone)
        cluster.restart(first)
        cluster.expectInStep()
        cluster.expectHolds([1, 2])
        cluster.expectClean()
    }

    @Test("When the leader pauses, another leads within 2 s", arguments: UInt64(1)...10)
    func leaderPause(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let first = cluster.elect()
        cluster.run(for: .seconds(1))
        cluster.pause(first, for: .seconds(5))
        let isLed = cluster.run(atMost: .seconds(2)) {
            cluster.nodeIDs.contains {
                $0 != first && cluster.status(of: "g", on: $0)?.role == .leader
            }
        }
        #expect(isLed)
        cluster.run(for: .seconds(6))
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("A leader that is cut off steps down (check-quorum)")
    func checkQuorum() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        cluster.partition([leader])
        let stepsDown = cluster.run(atMost: .seconds(3)) {
            cluster.status(of: "g", on: leader)?.role != .leader
        }
        #expect(stepsDown)
        cluster.expectClean()
    }

    @Test("A node that was cut off and comes back disturbs nobody (pre-vote)")
    func preVote() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        let term = cluster.status(of: "g", on: leader)?.term
        let outcast = cluster.other(than: leader)
        cluster.partition([outcast])
        cluster.run(for: .seconds(10))
        #expect(cluster.status(of: "g", on: outcast)?.term == term, "it raised its term")
        cluster.heal()
        cluster.run(for: .seconds(5))
        #expect(cluster.leader(of: "g") == leader)
        #expect(cluster.status(of: "g", on: leader)?.term == term)
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("A one-way cut costs no more than one leader", arguments: UInt64(1)...5)
    func oneWay(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        cluster.cut(from: leader, to: cluster.other(than: leader))
        cluster.run(for: .seconds(10))
        let now = cluster.elect(within: .seconds(3))
        #expect(cluster.write(1, on: now).isDone)
        cluster.heal()
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("Leadership goes where it is told to, and stays there")
    func transfer() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        #expect(cluster.write(1, on: leader).isDone)
        for target in cluster.others(than: leader) {
            let from = cluster.elect()
            let request = cluster.transfer("g", to: target, on: from)
            _ = cluster.run(atMost: .seconds(5)) { cluster.isEnded(request) }
            #expect(cluster.isDone(request))
            #expect(cluster.leader(of: "g") == target)
        }
        #expect(cluster.write(2, on: leader).isDone)
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("A transfer to a node that is away fails, and the leader leads on")
    func transferFails() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        let target = cluster.other(than: leader)
        cluster.crash(target)
        let request = cluster.transfer("g", to: target, on: leader, timeout: .seconds(2))
        _ = cluster.run(atMost: .seconds(5)) { cluster.isEnded(request) }
        #expect(cluster.outcome(of: request).isRefused)
        #expect(cluster.write(1, on: leader).isDone)
        #expect(cluster.leader(of: "g") == leader)
        cluster.expectClean()
    }

    @Test("A node that shuts down hands its groups over")
    func handOver() {
        let cluster = makeCluster(groups: ["a", "b", "c", "d", "e"])
        for group in ["a", "b", "c", "d", "e"] { cluster.elect(group) }
        cluster.run(for: .seconds(1))
        let node = cluster.leader(of: "a") ?? 1
        cluster.handOver(node)
        let isDone = cluster.run(atMost: .seconds(3)) {
            ["a", "b", "c", "d", "e"].allSatisfy { group in
                cluster.leader(of: group).map { $0 != node } ?? false
            }
        }
        #expect(isDone)
        cluster.expectClean()
    }
}
