import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Reads")
struct ReadTests {
    @Test("A linearizable read on any node shows what was acknowledged before")
    func fresh() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        for id in UInt64(1)...30 {
            #expect(cluster.write(id, on: leader).isDone)
            let node = cluster.nodeIDs[Int(id) % 3]
            #expect(cluster.look(.contains(id), on: node).value == .contains(true))
        }
        cluster.expectClean()
    }

    /// It wakes up believing that it leads: a read that comes first of all must still not be
    /// answered from its old state.
    @Test("A leader that was paused doesn't answer with what is old", arguments: UInt64(1)...20)
    func pausedLeader(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let old = cluster.elect()
        #expect(cluster.write(1, on: old).isDone)
        cluster.pause(old, for: .seconds(5))
        var read: RequestID?
        cluster.after(.seconds(5)) {
            read = cluster.read(on: old, group: "g", .contains(2), timeout: .seconds(3))
        }
        // It still believes that it leads, so another leader is looked for on the others.
        let hasOther = cluster.run(atMost: .seconds(3)) {
            cluster.others(than: old).contains {
                cluster.status(of: "g", on: $0)?.role == .leader
            }
        }
        #expect(hasOther)
        #expect(cluster.write(2, on: cluster.other(than: old)).isDone)
        cluster.run(for: .seconds(10))
        guard let read else {
            Issue.record("the read was not made")
            return
        }
        #expect(cluster.isEnded(read))
        if let value = cluster.answer(of: read).value { #expect(value == .contains(true)) }
        cluster.expectClean()
    }

    @Test("A leader that is cut off answers no linearizable read", arguments: UInt64(1)...10)
    func cutOff(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let leader = cluster.elect()
        #expect(cluster.write(1, on: leader).isDone)
        cluster.partition([leader])
        #expect(!cluster.look(.content, on: leader, timeout: .seconds(2)).isDone)
        #expect(cluster.localRead(on: leader, group: "g", .contains(1)) == .contains(true))
        cluster.expectClean()
    }

    @Test("A new leader answers no read before it has committed in its own term")
    func newLeader() {
        for seed in UInt64(1)...20 {
            let cluster = makeCluster(seed: seed)
            let first = cluster.elect()
            for id in UInt64(1)...10 { #expect(cluster.write(id, on: first).isDone) }
            cluster.crash(first)
            let second = cluster.elect(except: first)
            // Asked in the very moment of the election.
            #expect(cluster.look(.contains(10), on: second).value == .contains(true))
            cluster.expectClean()
        }
    }
}
