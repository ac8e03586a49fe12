import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine
@testable import KraftTestKit

@Suite("Damaged replicas")
struct DamagedReplicaTests {
    @Test("One neither votes nor acknowledges, until others have replaced it", arguments: 1...6)
    func silent(seed: Int) throws {
        let name = try #require(GroupName("trio"))
        let life = try CrashableCluster(seed: UInt64(seed))
        try life.create([name.string], on: [1, 2, 3])
        #expect(try life.run(atMost: 10_000) { life.leader(of: name) != nil })
        for _ in 0..<30 {
            try life.propose(name, on: life.leader(of: name) ?? 0, padding: 400)
            try life.settle()
        }
        let after = CrashableCluster(after: life, .kept, seed: UInt64(seed) << 20)
        after.toleratesDamage = true
        #expect(after.disks[0].decay(.flippedBit))
        #expect(try after.startVictim(.any))
        #expect(after.nodes[0].engine.rare.damagesFound > 0)
        try after.startOthers()
        // It may have acknowledged what it lost: of the two that talk only one may be counted.
        after.isolate(2, true)
        for _ in 0..<100 {
            try after.run(milliseconds: 100)
            #expect(after.leader(of: name) == nil, "it voted")
            guard after.leader(of: name) == nil else { return }
        }
        after.isolate(2, false)
        try CrashProof.expectLife(of: after)
    }
}
