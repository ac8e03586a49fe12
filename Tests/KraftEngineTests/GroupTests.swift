import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Groups")
struct GroupTests {
    @Test("Groups are led, written and read apart from each other")
    func apart() {
        let cluster = makeCluster(groups: ["a", "b", "c"])
        for group in ["a", "b", "c"] { cluster.elect(group) }
        #expect(cluster.write(1, on: 1, group: "a").isDone)
        #expect(cluster.write(2, on: 1, group: "b").isDone)
        #expect(cluster.look(.contains(1), on: 2, group: "b").value == .contains(false))
        #expect(cluster.look(.contains(2), on: 2, group: "b").value == .contains(true))
        cluster.expectClean()
    }

    @Test("A group that its leader's node stops is led by another; started again, it catches up")
    func stopAndStart() {
        let cluster = makeCluster(groups: ["a", "b"])
        let leader = cluster.elect("a")
        cluster.elect("b")
        #expect(cluster.write(1, on: leader, group: "a").isDone)
        cluster.stopGroup("a", on: leader)
        let new = cluster.elect("a", except: leader)
        #expect(cluster.write(2, on: new, group: "a").isDone)
        #expect(cluster.write(3, on: leader, group: "b").isDone)
        let refused = cluster.write(4, on: leader, group: "a", timeout: .seconds(1))
        #expect(refused.isRefused)
        cluster.startGroup("a", on: leader)
        cluster.expectInStep("a")
        cluster.expectHolds([1, 2], group: "a")
        cluster.expectClean()
    }

    @Test("A group removed from one node is gone there for good, and lives on the others")
    func remove() {
        let cluster = makeCluster(groups: ["a", "b"])
        let leader = cluster.elect("a")
        cluster.elect("b")
        #expect(cluster.write(1, on: leader, group: "a").isDone)
        let request = cluster.removeGroup("a", on: leader)
        _ = cluster.run(atMost: .seconds(5)) { cluster.isEnded(request) }
        #expect(cluster.isDone(request))
        let new = cluster.elect("a", except: leader)
        #expect(cluster.write(2, on: new, group: "a").isDone)
        #expect(cluster.write(3, on: leader, group: "b").isDone)
        cluster.crash(leader)
        cluster.restart(leader)
        cluster.run(for: .seconds(3))
        #expect(cluster.machine(of: "a", on: leader) == nil)
        #expect(cluster.write(4, on: leader, group: "b").isDone)
        cluster.expectInStep("b")
        cluster.expectClean()
    }

    @Test("Requests that wait in a group that is stopped end, and say so")
    func waiting() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        let follower = cluster.other(than: leader)
        cluster.partition([follower])
        cluster.run(for: .seconds(3))
        let request = cluster.propose(on: follower, group: "g", AuditLog.Command(id: 1))
        cluster.run(for: .milliseconds(10))
        cluster.stopGroup("g", on: follower)
        _ = cluster.run(atMost: .seconds(10)) { cluster.isEnded(request) }
        #expect(cluster.isEnded(request) && !cluster.outcome(of: request).isDone)
        cluster.expectClean()
    }
}
