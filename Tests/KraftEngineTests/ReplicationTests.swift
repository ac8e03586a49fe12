import KraftEngine
import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@Suite("Replication")
struct ReplicationTests {
    @Test("A command that was acknowledged is applied on every node, in one order")
    func replication() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        for id in UInt64(1)...100 {
            #expect(cluster.write(id, on: leader).value == id)
        }
        cluster.expectInStep()
        for node in cluster.nodeIDs {
            #expect(cluster.machine(of: "g", on: node)?.ids == Array(1...100))
        }
        cluster.expectClean()
    }

    @Test("Many proposals at once are all carried out, in the order of their acknowledgement")
    func pipelining() {
        let cluster = makeCluster(nodes: 5) { $0.limits.appendWindowEntries = 4 }
        let leader = cluster.elect()
        let requests = (UInt64(1)...1_000).map {
            cluster.propose(on: leader, group: "g", AuditLog.Command(id: $0))
        }
        _ = cluster.run(atMost: .seconds(20)) { cluster.pendingRequests == 0 }
        #expect(requests.allSatisfy { cluster.outcome(of: $0).isDone })
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("A node that doesn't lead forwards what it is asked to the leader")
    func forwarding() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.run(for: .seconds(1))
        for (place, node) in cluster.others(than: leader).enumerated() {
            #expect(cluster.write(UInt64(place + 1), on: node).isDone)
            #expect(cluster.look(.contains(UInt64(place + 1)), on: node).value == .contains(true))
        }
        #expect(cluster.coverage[.proposalsForwarded] == 2)
        cluster.expectInStep()
        cluster.expectClean()
    }

    @Test("A proposal made before there is a leader waits for one")
    func early() {
        let cluster = makeCluster()
        _ = cluster.run(atMost: .seconds(1)) { cluster.isOpen }
        #expect(cluster.leader(of: "g") == nil)
        #expect(cluster.write(1, on: 1).isDone)
        cluster.expectClean()
    }

    @Test("A minority commits nothing, and what it took in gives way", arguments: UInt64(1)...10)
    func minority(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let old = cluster.elect()
        #expect(cluster.write(1, on: old).isDone)
        cluster.partition([old])
        let lost = cluster.propose(
            on: old, group: "g", AuditLog.Command(id: 2), timeout: .seconds(3))
        let new = cluster.elect(except: old)
        #expect(cluster.write(3, on: new).isDone)
        cluster.run(for: .seconds(5))
        #expect(cluster.isEnded(lost) && !cluster.outcome(of: lost).isDone)
        cluster.heal()
        cluster.expectInStep()
        cluster.expectHolds([1, 3])
        cluster.expectClean()
    }

    @Test("Without a quorum every write ends by its deadline, and none is acknowledged")
    func noQuorum() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        #expect(cluster.write(1, on: leader).isDone)
        for node in cluster.others(than: leader) { cluster.crash(node) }
        let began = cluster.now.rawValue
        let outcome = cluster.write(2, on: leader, timeout: .seconds(2))
        #expect(!outcome.isPending && !outcome.isDone)
        #expect(cluster.now.rawValue - began < 3_000_000_000)
        #expect(!cluster.look(.content, on: leader, timeout: .seconds(2)).isDone)
        cluster.expectClean()
    }

    @Test("A follower that lags behind the cache is fed from the leader's disk")
    func lagging() {
        let cluster = makeCluster { options in
            options.log.segmentSizeBytes = 64 << 10
            options.log.cacheSizeBytes = 16 << 10
            options.limits.commandSizeBytes = 8 << 10
        }
        let leader = cluster.elect()
        let laggard = cluster.other(than: leader)
        cluster.crash(laggard)
        for id in UInt64(1)...300 {
            #expect(cluster.write(id, on: leader, padding: 2_000).isDone)
        }
        cluster.restart(laggard)
        cluster.expectInStep()
        #expect(cluster.coverage[.logReads] > 0)
        cluster.expectClean()
    }

    @Test("A command over the limit is refused, and the next one is not")
    func tooLarge() {
        let cluster = makeCluster { $0.limits.commandSizeBytes = 1_000 }
        let leader = cluster.elect()
        guard case .refused(.tooLarge) = cluster.write(1, on: leader, padding: 2_000) else {
            Issue.record("it was not refused")
            return
        }
        #expect(cluster.write(2, on: leader).isDone)
        cluster.expectClean()
    }

    @Test("What doesn't fit the bounded queue is refused, and never takes effect")
    func overloaded() {
        let cluster = makeCluster { $0.limits.pendingProposalsPerGroup = 10 }
        let leader = cluster.elect()
        let requests = (UInt64(1)...100).map {
            cluster.propose(on: leader, group: "g", AuditLog.Command(id: $0))
        }
        _ = cluster.run(atMost: .seconds(20)) { cluster.pendingRequests == 0 }
        let done = requests.count { cluster.outcome(of: $0).isDone }
        let refused = requests.count { cluster.outcome(of: $0).isRefused }
        #expect(done >= 10 && refused > 0 && done + refused == 100)
        cluster.expectInStep()
        #expect(cluster.machine(of: "g", on: leader)?.ids.count == done)
        cluster.expectClean()
    }

    @Test("A command routed by an old epoch is refused when it would be applied")
    func staleRoute() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        let stale = cluster.propose(
            on: leader, group: "g", AuditLog.Command(id: 1), route: Epoch(rawValue: 9))
        let right = cluster.propose(
            on: leader, group: "g", AuditLog.Command(id: 2), route: .first)
        _ = cluster.run(atMost: .seconds(5)) { cluster.pendingRequests == 0 }
        guard case .refused(.staleRoute) = cluster.outcome(of: stale) else {
            Issue.record("it ended as \(cluster.outcome(of: stale))")
            return
        }
        #expect(cluster.outcome(of: right).isDone)
        cluster.expectInStep()
        #expect(cluster.machine(of: "g", on: leader)?.ids == [2])
        cluster.expectClean()
    }

    @Test("Idle groups cost no messages of their own")
    func idle() {
        func messagesWhileIdle(groups: Int) -> UInt64 {
            let names = (0..<groups).map { "group-\($0)" }
            let cluster = makeCluster(groups: names)
            cluster.run(for: .seconds(10))
            for name in names { #expect(cluster.leader(of: name) != nil) }
            let before = cluster.coverage[.messagesSent]
            cluster.run(for: .seconds(30))
            cluster.expectClean()
            return cluster.coverage[.messagesSent] - before
        }
        let few = messagesWhileIdle(groups: 2)
        let many = messagesWhileIdle(groups: 60)
        #expect(many <= few + few / 10)
    }
}
