import RaftCore
import Testing

@testable import KraftEngine

@Suite("Disks that are full or slow")
struct DiskTroubleTests {
    private func cluster(_ count: Int = 3) throws -> (ByteCluster, leader: Int) {
        let cluster = try ByteCluster(count)
        #expect(cluster.run(atMost: .seconds(5)) { cluster.leader != nil })
        let leader = cluster.leader ?? 0
        #expect(cluster.write(1, on: leader))
        return (cluster, leader)
    }

    private func wasToldFull(_ node: ByteCluster.Node) -> [Bool] {
        node.notices.compactMap { if case .diskFull(let isFull) = $0 { isFull } else { nil } }
    }

    private func isFenced(_ node: ByteCluster.Node) -> Bool {
        node.notices.contains { if case .fenced = $0 { true } else { false } }
    }

    @Test("a leader without space hands over to one that has some, and takes part as it can")
    func handsOver() throws {
        let (cluster, leader) = try cluster()
        let node = cluster.nodes[leader]
        node.isOutOfSpace = true
        _ = cluster.propose(2, on: leader)
        let isLed = cluster.run(atMost: .seconds(4)) {
            cluster.leader.map { $0 != leader } ?? false
        }
        #expect(isLed)
        #expect(node.engine.diskCondition == .full)
        for id in UInt64(3)...20 { #expect(cluster.write(id, on: leader)) }
        #expect(!isFenced(node))
        let match = cluster.glance(leader)?.durableIndex ?? .zero
        node.isOutOfSpace = false
        cluster.run(.seconds(3))
        #expect(wasToldFull(node) == [true, false])
        #expect(node.engine.diskCondition == .sound)
        let others = cluster.nodes.indices.filter { $0 != leader }
        #expect((cluster.glance(leader)?.durableIndex ?? .zero) > match)
        #expect(
            cluster.glance(leader)?.durableIndex == cluster.glance(others[0])?.durableIndex)
        #expect(cluster.nodes.allSatisfy { $0.machine.ids == cluster.nodes[0].machine.ids })
    }

    @Test("where all are full the leader stays, refuses writes by name, and comes back by itself")
    func readOnly() throws {
        let (cluster, leader) = try cluster()
        for node in cluster.nodes { node.isOutOfSpace = true }
        let lost = cluster.propose(2, on: leader)
        cluster.run(.seconds(3))
        #expect(cluster.leader == leader)
        for place in cluster.nodes.indices {
            let token = cluster.propose(UInt64(10 + place), on: place)
            cluster.run(.milliseconds(200))
            guard case .refused(.diskFull, _)? = cluster.nodes[place].done[token] else {
                Issue.record("\(String(describing: cluster.nodes[place].done[token]))")
                continue
            }
        }
        #expect(cluster.nodes[leader].done[lost] == nil, "nothing is acknowledged")
        #expect(cluster.nodes.allSatisfy { !isFenced($0) })
        for node in cluster.nodes { node.isOutOfSpace = false }
        let isBack = cluster.run(atMost: .seconds(5)) {
            cluster.leader.map { cluster.write(30, on: $0) } ?? false
        }
        #expect(isBack)
        cluster.run(.seconds(2))
        #expect(cluster.nodes.allSatisfy { wasToldFull($0) == [true, false] })
        // Neither torn nor doubled: what a restart finds is what was written.
        for node in cluster.nodes {
            var memory = node.memory
            let report = try LogReport.read(&memory)
            #expect(report.isSound && report.tornTail == nil)
            #expect(report.groups.first?.last == cluster.glance(0)?.lastIndex)
        }
    }

    @Test("without space for another segment a lone node keeps what is left for terms and votes")
    func segments() throws {
        let (cluster, leader) = try cluster(1)
        let node = cluster.nodes[leader]
        node.refusesSegments = true
        var id = UInt64(2)
        while node.engine.diskCondition == .sound, id < 500 {
            #expect(cluster.write(id, on: leader))
            id += 1
        }
        #expect(node.engine.diskCondition == .full)
        cluster.run(.seconds(2))
        let token = cluster.propose(1_000, on: leader)
        cluster.run(.milliseconds(10))
        guard case .refused(.diskFull, _)? = node.done[token] else {
            Issue.record("not refused")
            return
        }
        #expect(node.engine.log.roomBytes > 64 << 10)
        node.refusesSegments = false
        cluster.run(.seconds(2))
        #expect(node.engine.diskCondition == .sound)
        for id in UInt64(2_000)...2_100 { #expect(cluster.write(id, on: leader)) }
    }

    @Test("a follower without space stops taking entries before its last segment is used up")
    func followerKeepsReserve() throws {
        let (cluster, leader) = try cluster()
        let follower = cluster.nodes.indices.first { $0 != leader } ?? 0
        let node = cluster.nodes[follower]
        node.refusesSegments = true
        for id in UInt64(2)...300 { #expect(cluster.write(id, on: leader)) }
        #expect(node.engine.diskCondition == .full)
        #expect(node.engine.log.roomBytes > 16 << 10)
        #expect((cluster.glance(follower)?.lastIndex ?? .zero) < LogIndex(250))
        node.refusesSegments = false
        let isBack = cluster.run(atMost: .seconds(10)) {
            cluster.glance(follower)?.durableIndex == cluster.glance(leader)?.lastIndex
        }
        #expect(isBack)
    }

    @Test("a full disk isn't taken for well while the write that found it so is tried again")
    func triedAgain() throws {
        let (cluster, leader) = try cluster()
        let node = cluster.nodes[leader]
        node.isDiskHeld = true
        _ = cluster.propose(2, on: leader)
        let write = try #require(node.heldWrites.first)
        node.heldWrites = []
        node.engine.step(
            .logWriteFailed(write.id, reason: "no space left", isOutOfSpace: true),
            now: cluster.now)
        _ = cluster.run(atMost: .seconds(2)) { !node.heldWrites.isEmpty }
        #expect(node.heldWrites.map(\.id) == [write.id])
        // A segment that was on its way before is ready.
        node.engine.step(.segmentPrepared(number: 2), now: cluster.now)
        #expect(node.engine.diskCondition == .full)
        cluster.releaseWrite(of: leader)
        node.isDiskHeld = false
        let isWell = cluster.run(atMost: .seconds(10)) { node.engine.diskCondition == .sound }
        #expect(isWell)
    }

    @Test("a sync that fails for lack of space fences as any other")
    func failedSync() throws {
        let (cluster, leader) = try cluster()
        let node = cluster.nodes[leader]
        node.isDiskHeld = true
        _ = cluster.propose(2, on: leader)
        let write = try #require(node.heldWrites.first)
        node.engine.step(
            .logWriteFailed(write.id, reason: "no space left", isOutOfSpace: false),
            now: cluster.now)
        cluster.run(.milliseconds(10))
        #expect(node.engine.diskCondition == .failed)
    }

    @Test("a leader whose writes all take long hands over; a quick disk ends that")
    func slow() throws {
        let (cluster, leader) = try cluster()
        let node = cluster.nodes[leader]
        node.isDiskHeld = true
        var id = UInt64(100)
        let hasMoved = cluster.run(atMost: .seconds(20)) {
            id += 1
            _ = cluster.propose(id, on: leader)
            cluster.run(.milliseconds(480))
            cluster.releaseWrite(of: leader)
            return cluster.leader.map { $0 != leader } ?? false
        }
        #expect(hasMoved)
        #expect(node.engine.diskCondition == .slow)
        #expect(node.engine.rareBranches.diskStalls == 0)
        cluster.releaseDisk(of: leader)
        for id in UInt64(200)...240 { #expect(cluster.write(id, on: leader)) }
        #expect(node.engine.diskCondition == .sound)
    }

    @Test("where all disks are slow leaders stay where they are")
    func allSlow() throws {
        let (cluster, leader) = try cluster()
        for node in cluster.nodes { node.isDiskHeld = true }
        let term = cluster.glance(leader)?.term
        for id in UInt64(100)...130 {
            _ = cluster.propose(id, on: leader)
            cluster.run(.milliseconds(450))
            for place in cluster.nodes.indices { cluster.releaseWrite(of: place) }
        }
        #expect(cluster.nodes.allSatisfy { $0.engine.diskCondition == .slow })
        #expect(cluster.leader == leader)
        #expect(cluster.glance(leader)?.term == term)
    }

    @Test("small disks get small segments, as far as commands allow")
    func fitted() {
        let limits = EngineConfiguration.LogLimits()
        let command = EngineConfiguration.Limits().commandSizeBytes
        let small = limits.fitted(diskSizeBytes: 32 << 20, commandSizeBytes: command)
        #expect(small.segmentSizeBytes >= 4 * command)
        #expect(small.segmentSizeBytes < 5 << 20)
        #expect(small.segmentSizeBytes % 4_096 == 0)
        let large = limits.fitted(diskSizeBytes: 1 << 40, commandSizeBytes: command)
        #expect(large.segmentSizeBytes == limits.segmentSizeBytes)
    }
}
