import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine
@testable import KraftTestKit

@Suite("Damaged replicas")
struct DamagedReplicaTests {
    @Test("One neither votes nor acknowledges, until others have replaced it")
    func silent() throws {
        let damaged = try (1...8).count { seed in try isDamaged(seed: seed) }
        // Of the sums of sectors nothing hangs as long as what they sum up is whole.
        #expect(damaged > 3)
    }

    /// False if what rots matters to nobody.
    private func isDamaged(seed: UInt64) throws -> Bool {
        let name = try #require(GroupName("trio"))
        let life = try CrashableCluster(seed: seed)
        try life.create([name.string], on: [1, 2, 3])
        #expect(try life.run(atMost: 10_000) { life.leader(of: name) != nil })
        for _ in 0..<30 {
            try life.propose(name, on: life.leader(of: name) ?? 0, padding: 400)
            try life.settle()
        }
        let after = CrashableCluster(after: life, .kept, seed: seed << 20)
        after.toleratesDamage = true
        #expect(after.disks[0].decay(.flippedBit))
        #expect(try after.startVictim(.any))
        let isDamaged = after.nodes[0].engine.rare.damagesFound > 0
        try after.startOthers()
        guard isDamaged else { return false }
        // It may have acknowledged what it lost: of the two that talk only one may be counted.
        after.isolate(2, true)
        for _ in 0..<100 {
            try after.run(milliseconds: 100)
            guard after.leader(of: name) == nil else {
                Issue.record("it voted")
                return true
            }
        }
        after.isolate(2, false)
        try CrashProof.expectLife(of: after)
        return true
    }
}
