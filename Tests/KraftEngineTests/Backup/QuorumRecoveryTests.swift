import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("A lost quorum: the surviving replica becomes the whole group")
struct QuorumRecoveryTests {
    private func name(_ number: Int) throws -> GroupName {
        try #require(GroupName("g\(number)"))
    }

    private func noSnapshot(
        _: SnapshotName, _: SnapshotName, _: SnapshotOwner
    ) throws(KraftError) -> UInt64 {
        throw KraftError(.storage, "there is no snapshot in this log")
    }

    private func recover(
        _ disk: inout RecoveryDisk, _ numbers: [Int]
    ) throws -> [QuorumRecovery.Recovered] {
        var recovery = try QuorumRecovery(
            &disk, owner: LostLog.owner, segmentSizeBytes: LostLog.segmentSizeBytes, seed: 5)
        try recovery.removeDrafts(&disk)
        try recovery.leave([2, 3], &disk)
        var all: [QuorumRecovery.Recovered] = []
        for number in numbers {
            all.append(try recovery.recover(try name(number), &disk, transcode: noSnapshot))
        }
        return all
    }

    private func report(_ memory: LogMemory) throws -> LogReport {
        var memory = memory
        return try LogReport.read(&memory)
    }

    @Test("it has all entries, leads by itself, and serves; others are left alone")
    func serves() throws {
        let before = try LostLog.memory(groups: 3, entries: 300)
        let lame = try LoneNode(groups: 3, memory: before, limits: LostLog.limits, life: 2)
        #expect(lame.ids(0).isEmpty && lame.last(0) == LogIndex(300))

        var disk = RecoveryDisk(before)
        let recovered = try recover(&disk, [0, 2])
        #expect(recovered.map(\.name.string) == ["g0", "g2"])
        #expect(recovered.allSatisfy { $0.incarnation == 2 && $0.id != $0.oldID })
        #expect(recovered.allSatisfy { $0.last.index == LogIndex(300) })
        let report = try report(disk.memory)
        #expect(report.isSound)
        #expect(report.groups.count == 3)

        let node = try LoneNode(groups: 3, memory: disk.memory, limits: LostLog.limits, life: 2)
        #expect(node.rare.damagesFound == 0)
        for number in [0, 2] {
            #expect(node.ids(number) == LostLog.ids(number, entries: 300))
            let status = node.engine.status(of: node.slots[number])
            #expect(status.role == .leader && status.term > Term(4))
            #expect(status.members.map(\.node) == [1])
        }
        #expect(node.ids(1).isEmpty)
        let token = try node.propose(77, to: 2)
        try node.settle()
        #expect(node.done.contains(token))
        // Once more from the disk: what it has written since is there, too.
        let again = try LoneNode(groups: 3, memory: node.memory, limits: LostLog.limits, life: 3)
        #expect(again.ids(2) == LostLog.ids(2, entries: 300) + [77])
    }

    @Test("who is lost has left the cluster, and the old group's life is over for good")
    func fences() throws {
        var disk = RecoveryDisk(try LostLog.memory(groups: 1, entries: 10))
        let recovered = try #require(try recover(&disk, [0]).first)
        let log = try LogRecovery.recover(
            &disk.memory, node: 1, clusterID: "lone", limits: LostLog.limits, seed: 9)
        #expect(log.lists.roster.map(\.node) == [2, 3])
        #expect(log.lists.roster.allSatisfy { $0.hasLeft && $0.generation == 1 })
        #expect(log.lists.tombstones == [.init(name: try name(0), incarnation: 1)])
        #expect(log.groups.map(\.id) == [recovered.id])
        #expect(log.groups.allSatisfy { !$0.isDamaged })
    }

    @Test("at each point of a crash the group is the old one or the new one, whole")
    func crashes() throws {
        let before = try LostLog.memory(groups: 2, entries: 120)
        let oldIDs = try Set(report(before).groups.map(\.id))
        var whole = RecoveryDisk(before)
        let newIDs = Set(try recover(&whole, [0, 1]).map(\.id))
        #expect(whole.changes > 4)
        var seen: Set<Int> = []
        for budget in 0..<whole.changes {
            for sectors in [0, 1, 3, 8] {
                var disk = RecoveryDisk(before, budget: budget, sectors: sectors)
                #expect(throws: KraftError.self) { _ = try recover(&disk, [0, 1]) }
                let after = disk.memory
                let report = try report(after)
                #expect(report.isSound, "\(budget)/\(sectors): \(report.damages)")
                let groups = report.groups.filter { !QuorumRecovery.isDraft($0.name) }
                #expect(Set(groups.map(\.name.string)) == ["g0", "g1"])
                #expect(groups.allSatisfy { $0.last == LogIndex(120) && !$0.isDamaged })
                #expect(groups.allSatisfy { oldIDs.contains($0.id) || newIDs.contains($0.id) })
                seen.insert(groups.filter { newIDs.contains($0.id) }.count)

                // A node that starts on it has no use for what was left half done.
                let node = try LoneNode(groups: 2, memory: after, limits: LostLog.limits, life: 2)
                #expect(node.rare.damagesFound == 0)
                #expect(node.engine.slots.count == 2)
                for number in 0..<2 where newIDs.contains(node.engine.id(of: node.slots[number])) {
                    #expect(node.ids(number) == LostLog.ids(number, entries: 120))
                }

                // And the recovery can be done again.
                var again = RecoveryDisk(after)
                _ = try recover(&again, [0, 1])
                let done = try LoneNode(
                    groups: 2, memory: again.memory, limits: LostLog.limits, life: 2)
                for number in 0..<2 {
                    #expect(done.ids(number) == LostLog.ids(number, entries: 120))
                }
            }
        }
        // Of the last write, eight sectors are all.
        #expect(seen == [0, 1, 2])
    }

    @Test("recovered twice, a group has a third life, and all its entries")
    func twice() throws {
        var disk = RecoveryDisk(try LostLog.memory(groups: 1, entries: 50))
        let first = try #require(try recover(&disk, [0]).first)
        let second = try #require(try recover(&disk, [0]).first)
        #expect(second.oldID == first.id && second.incarnation == 3)
        let node = try LoneNode(groups: 1, memory: disk.memory, limits: LostLog.limits, life: 2)
        #expect(node.ids(0) == LostLog.ids(0, entries: 50))
    }

    @Test("a replica that is forgotten is gone, and doesn't come back by itself")
    func forget() throws {
        var disk = RecoveryDisk(try LostLog.memory(groups: 2, entries: 5))
        var recovery = try QuorumRecovery(
            &disk, owner: LostLog.owner, segmentSizeBytes: LostLog.segmentSizeBytes, seed: 5)
        try recovery.forget(try name(0), &disk)
        #expect(throws: KraftError.self) { try recovery.forget(try name(0), &disk) }
        let log = try LogRecovery.recover(
            &disk.memory, node: 1, clusterID: "lone", limits: LostLog.limits, seed: 9)
        #expect(log.groups.map(\.name) == [try name(1)])
        #expect(log.lists.formers.count == 1 && log.lists.tombstones.isEmpty)
    }

    @Test("the plan says what is known, what may be lost, and why not")
    func plan() throws {
        var group = try #require(try report(LostLog.memory(groups: 1, entries: 60)).groups.first)
        let loss = QuorumLoss(of: group, on: 1, lost: [2, 3])
        #expect(loss.obstacle == nil)
        #expect(loss.lost == [2, 3] && loss.survivors.isEmpty)
        #expect(loss.last == EntryPosition(index: LogIndex(60), term: Term(3)))
        #expect(loss.known == .zero && loss.term == Term(4))

        #expect(QuorumLoss(of: group, on: 1, lost: [3]).obstacle?.contains("majority") == true)
        #expect(QuorumLoss(of: group, on: 1, lost: []).survivors == [2, 3])
        #expect(QuorumLoss(of: group, on: 1, lost: [1, 2, 3]).obstacle != nil)
        #expect(QuorumLoss(of: group, on: 4, lost: [2, 3]).obstacle?.contains("member") == true)
        group.isDamaged = true
        #expect(QuorumLoss(of: group, on: 1, lost: [2, 3]).obstacle?.contains("damaged") == true)
        #expect(
            QuorumLoss(of: group, on: 1, lost: [2, 3], acceptsDamage: true).obstacle == nil)
    }
}
