import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The log gives its oldest segments back")
struct ReclaimTests {
    static let limits: EngineConfiguration.LogLimits = {
        var limits = EngineConfiguration.LogLimits()
        limits.segmentSizeBytes = 128 << 10
        limits.cacheSizeBytes = 128 << 10
        limits.budgetSizeBytes = 6 * (128 << 10)
        return limits
    }()

    /// Loads the first `hot` groups until the log has gone round a few times. Groups are compacted
    /// when they are asked to be, or hold much, if `compacts`.
    private func load(
        _ node: LoneNode, hot: Int, writes: Int, compacts: Bool = true
    ) throws {
        for id in 1...UInt64(writes) {
            let number = Int(id) % hot
            try node.propose(1_000_000 + id, to: number, padding: 1_500)
            if id % 3 == 0 { try node.settle() }
            guard compacts, id % 50 == 0 else { continue }
            try node.settle()
            for number in node.slots.indices where node.isWanted(number) {
                try node.compact(number)
            }
            try node.compact(number)
        }
        try node.run(.seconds(1))
    }

    @Test("the log stays under twice its budget, although some groups are idle")
    func bound() throws {
        let node = try LoneNode(groups: 60, limits: ReclaimTests.limits)
        for number in 3..<60 {
            for id in 1...UInt64(number % 5) + 1 {
                try node.propose(id, to: number, padding: number % 7 == 0 ? 3_000 : 10)
            }
        }
        try load(node, hot: 3, writes: 4_000)
        #expect(node.rare.segmentsReleased > 20)
        #expect(node.rare.entriesRewritten > 100)
        #expect(node.mostSegments < 12)
        // Nothing that counts is gone: the idle groups come back whole.
        let again = try LoneNode(
            groups: 60, memory: node.memory, limits: ReclaimTests.limits, life: 2)
        for number in 3..<60 where node.engine.groups[number].raft.log.base == .start {
            #expect(again.ids(number) == Array(1...UInt64(number % 5) + 1))
        }
        for number in 0..<60 { #expect(again.last(number) >= node.last(number)) }
        #expect(again.rare.damagesFound == 0)
        #expect(node.done.count == 4_000 + 60 + (3..<60).reduce(0) { $0 + $1 % 5 + 1 })
    }

    @Test("where nobody takes snapshots everything is moved on in time")
    func urgent() throws {
        var limits = ReclaimTests.limits
        limits.budgetSizeBytes = 8 * limits.segmentSizeBytes
        let node = try LoneNode(groups: 20, limits: limits)
        // One group holds two segments full, and is never compacted.
        for id in 1...150 as ClosedRange<UInt64> { try node.propose(id, to: 19, padding: 1_500) }
        for _ in 0..<20 {
            for id in 1...200 as ClosedRange<UInt64> {
                try node.propose(id, to: 0, padding: 1_500)
                if id % 40 == 0 {
                    try node.settle()
                    try node.compact(0)
                }
            }
        }
        try node.run(.seconds(1))
        #expect(node.isWanted(19))
        #expect(node.rare.segmentsReleased > 20)
        #expect(node.mostSegments < 16)
        let again = try LoneNode(groups: 20, memory: node.memory, limits: limits, life: 2)
        #expect(again.ids(19) == Array(1...150))
    }

    @Test("a group with much in the oldest segment is to be snapshotted, not written again")
    func wanted() throws {
        let node = try LoneNode(groups: 2, limits: ReclaimTests.limits)
        for id in 1...60 as ClosedRange<UInt64> { try node.propose(id, to: 1, padding: 1_500) }
        var compacted = false
        for id in 1...2_000 as ClosedRange<UInt64> {
            try node.propose(id, to: 0, padding: 1_500)
            guard id % 20 == 0 else { continue }
            try node.settle()
            try node.compact(0)
            if node.isWanted(1), !compacted {
                #expect(node.rare.entriesRewritten == 0)
                try node.compact(1)
                compacted = true
            }
        }
        #expect(compacted)
        #expect(node.rare.segmentsReleased > 5)
        #expect(node.mostSegments <= 10)
    }

    @Test("whatever the crash finds of it, nothing that was acknowledged is gone")
    func crashes() throws {
        let node = try LoneNode(groups: 30, limits: ReclaimTests.limits)
        for number in 2..<30 {
            for id in 1...4 as ClosedRange<UInt64> { try node.propose(id, to: number) }
        }
        try node.settle()
        let hot = ["g0", "g1"]
        var looks = 0
        var steps = 0
        var released: UInt64 = 0
        node.onDisk = { memory in
            steps += 1
            // All boundaries near a release, some of the others.
            guard node.rare.segmentsReleased != released || steps % 17 == 0 else { return }
            if steps % 17 == 0 { released = node.rare.segmentsReleased }
            looks += 1
            var left = memory
            let log = try LogRecovery.recover(
                &left, node: 1, clusterID: "lone", limits: ReclaimTests.limits, seed: 9)
            #expect(log.damages.isEmpty)
            #expect(log.groups.count == 30)
            for group in log.groups where !hot.contains(group.name.string) {
                let known = node.engine.slot(of: group.id)
                let slot = try #require(known).rawValue
                let base = node.engine.groups[slot].raft.log.base.index
                #expect(group.terms.base.index <= base)
                #expect(group.terms.lastIndex == node.engine.groups[slot].raft.log.lastIndex)
                #expect(group.hardState == node.engine.groups[slot].raft.hardState)
            }
        }
        try load(node, hot: 2, writes: 1_500)
        #expect(node.rare.segmentsReleased > 5)
        #expect(looks > 50)
    }

    @Test("what the log says of the node itself outlives its segments")
    func lists() throws {
        let node = try LoneNode(groups: 3, limits: ReclaimTests.limits)
        let name = try #require(GroupName("gone"))
        let slot = try node.openGone(name)
        try node.removeGone(slot)
        try load(node, hot: 2, writes: 1_500)
        #expect(node.rare.segmentsReleased > 5)
        let again = try LoneNode(
            groups: 3, memory: node.memory, limits: ReclaimTests.limits, life: 2)
        #expect(again.engine.tombstones[name] == 1)
        #expect(again.engine.bootRecord.store == node.engine.bootRecord.store)
        #expect(again.engine.bootRecord.lives == 2)
        #expect(again.engine.boots[1] == 1)
    }

    @Test("a group that was found damaged is so for ever, though what showed it is gone")
    func damageOutlivesItsPlace() throws {
        let node = try LoneNode(groups: 3, limits: ReclaimTests.limits)
        for number in 0..<3 { try node.propose(1, to: number) }
        try node.settle()
        // All that the log says of the second group's votes stands in a later segment.
        while node.engine.log.usedSegments < 3 { try node.writeCheckpoint(of: 0) }
        try node.compact(1)
        try node.settle()
        #expect(node.engine.groups[node.slots[1].rawValue].oldestSegment > 1)
        var memory = node.memory
        memory.segments[1] = Array((memory.segments[1] ?? []).prefix(20_000))

        let damaged = try LoneNode(
            groups: 3, memory: memory, limits: ReclaimTests.limits, life: 2)
        #expect(damaged.slots.allSatisfy { damaged.engine.groups[$0.rawValue].isDamaged })
        for _ in 0..<1_000 where damaged.memory.segments[1] != nil {
            try damaged.writeCheckpoint(of: 0)
        }
        #expect(damaged.memory.segments[1] == nil)

        let again = try LoneNode(
            groups: 3, memory: damaged.memory, limits: ReclaimTests.limits, life: 3)
        #expect(again.slots.allSatisfy { again.engine.groups[$0.rawValue].isDamaged })
        let isForgetful = again.engine.isForgetful
        #expect(isForgetful)
    }
}

extension LoneNode {
    /// Something to fill the log with.
    func writeCheckpoint(of number: Int) throws {
        let slot = slots[number].rawValue
        try withEngine { _ = $0.writeCheckpoint(of: slot, isReset: false) }
    }

    func openGone(_ name: GroupName) throws -> GroupSlot {
        try withEngine { try $0.openGroup(name, voters: [1], token: 900_001, now: now) }
    }

    func removeGone(_ slot: GroupSlot) throws {
        try withEngine { $0.removeGroup(slot, token: 900_002, now: now) }
    }
}
