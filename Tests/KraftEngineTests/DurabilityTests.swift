import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Durability")
struct DurabilityTests {
    @Test("A restarted node finds its log, its term and its groups")
    func restart() {
        let cluster = makeCluster(groups: ["a", "b"])
        let leader = cluster.elect("a")
        for id in UInt64(1)...20 { #expect(cluster.write(id, on: leader, group: "a").isDone) }
        let term = cluster.status(of: "a", on: leader)?.term ?? .zero
        for node in cluster.nodeIDs { cluster.kill(node) }
        for node in cluster.nodeIDs { cluster.restart(node) }
        cluster.elect("a")
        cluster.elect("b")
        #expect((cluster.status(of: "a", on: leader)?.term ?? .zero) >= term)
        cluster.expectInStep("a")
        cluster.expectHolds(Array(1...20), group: "a")
        cluster.expectClean()
    }

    @Test("All nodes lose power at once in the middle of writing", arguments: UInt64(1)...30)
    func powerCutOfAll(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let leader = cluster.elect()
        var acknowledged: [UInt64] = []
        for id in UInt64(1)...200 {
            cluster.propose(on: leader, group: "g", AuditLog.Command(id: id, padding: 700)) {
                if $0.isDone { acknowledged.append(id) }
            }
        }
        cluster.run(for: .microseconds(3_000 + seed * 500))
        for node in cluster.nodeIDs { cluster.crash(node) }
        for node in cluster.nodeIDs { cluster.restart(node) }
        cluster.elect()
        cluster.expectInStep()
        cluster.expectHolds(acknowledged)
        cluster.expectClean()
    }

    /// The moments lie so close together that each stage of a write is hit: ordered, in the cache
    /// in part or whole, synced but not reported, reported.
    @Test("kill -9 at any moment of a write loses nothing acknowledged", arguments: [false, true])
    func killAtAnyMoment(powerCut: Bool) {
        var cutShort: UInt64 = 0
        var torn: UInt64 = 0
        for moment in UInt64(0)..<120 {
            let cluster = makeCluster(seed: 1_000 + moment)
            let leader = cluster.elect()
            var acknowledged: [UInt64] = []
            for id in UInt64(1)...5 {
                cluster.propose(on: leader, group: "g", AuditLog.Command(id: id, padding: 3_000)) {
                    if $0.isDone { acknowledged.append(id) }
                }
            }
            cluster.run(for: .microseconds(moment * 13))
            let victim = moment % 2 == 0 ? leader : cluster.other(than: leader)
            cluster.kill(victim)
            // The process is gone first; what it left in the cache may then go with the power.
            if powerCut { cluster.crash(victim) }
            cluster.restart(victim)
            cluster.elect()
            cluster.expectInStep()
            cluster.expectHolds(acknowledged)
            cluster.expectClean()
            cutShort += cluster.coverage[.writesCutByKill]
            torn += cluster.coverage[.writesTornAtPowerCut]
        }
        #expect(cutShort > 0)
        if powerCut { #expect(torn > 0) }
    }

    @Test("Power that fails again and again during recovery loses nothing")
    func crashLoop() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        var acknowledged: [UInt64] = []
        var id: UInt64 = 0
        for round in UInt64(0)..<40 {
            for _ in 0..<5 {
                id += 1
                let number = id
                cluster.propose(
                    on: cluster.leader(of: "g") ?? leader, group: "g",
                    AuditLog.Command(id: number, padding: 900)
                ) { if $0.isDone { acknowledged.append(number) } }
            }
            cluster.run(for: .microseconds(700 * (round % 7)))
            for node in cluster.nodeIDs { cluster.crash(node) }
            cluster.run(for: .milliseconds(1))
            for node in cluster.nodeIDs { cluster.restart(node) }
            cluster.run(for: .milliseconds(round % 3 * 700))
        }
        cluster.elect()
        cluster.expectInStep()
        cluster.expectHolds(acknowledged)
        cluster.expectClean()
    }

    @Test("A node whose disk fails fences itself and acknowledges nothing more")
    func fenced() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        #expect(cluster.write(1, on: leader).isDone)
        cluster.options.disk.failurePerMillion = 1_000_000
        let outcome = cluster.write(2, on: leader, timeout: .seconds(2))
        #expect(!outcome.isDone)
        #expect(cluster.coverage[.fencings] > 0)
        cluster.options.disk.failurePerMillion = 0
        // Whose disk failed just now ends with its turn.
        cluster.run(for: .milliseconds(10))
        for node in cluster.nodeIDs { cluster.restart(node) }
        cluster.elect()
        #expect(cluster.write(3, on: leader).isDone)
        cluster.expectInStep()
        cluster.expectHolds([1, 3])
        cluster.expectClean()
    }

    @Test("The log goes on through many segments, and is found again over all of them")
    func rotation() {
        let cluster = makeCluster { options in
            options.log.segmentSizeBytes = 64 << 10
            options.log.cacheSizeBytes = 8 << 10
            options.limits.commandSizeBytes = 12 << 10
        }
        let leader = cluster.elect()
        for id in UInt64(1)...60 { #expect(cluster.write(id, on: leader, padding: 9_000).isDone) }
        #expect(cluster.coverage[.segmentsPrepared] > 10)
        for node in cluster.nodeIDs { cluster.crash(node) }
        for node in cluster.nodeIDs { cluster.restart(node) }
        cluster.elect()
        cluster.expectInStep()
        cluster.expectHolds(Array(1...60))
        #expect(cluster.coverage[.logReads] > 0)
        cluster.expectClean()
    }
}
