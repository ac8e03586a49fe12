import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Power fails at every step of a node's disk, and at every step of coming back")
struct CrashEverywhereTests {
    @Test(
        "A long life: whatever is lost at any step, no promise is broken, and all goes on",
        arguments: [1, 2] as [UInt64])
    func everyStep(seed: UInt64) throws {
        let life = try CrashableCluster(seed: seed)
        let proof = CrashProof(seed: seed << 20)
        life.onStep = { [unowned life] in try proof.crash(life, at: $0) }
        var script = try LifeScript(life, seed: seed)
        try script.play()
        life.onStep = nil
        try CrashProof.expectLife(of: life)

        print(
            "summary: power failed at \(proof.points) steps of a life, \(proof.cuts) times in all,",
            "\(proof.cutsInRecovery) in a recovery; \(proof.clustersLivedOn) clusters lived on")
        #expect(proof.points > 2_000)
        #expect(proof.cuts > 3 * proof.points)
        for step in LifeStep.allCases {
            #expect(proof.stepsReached[step.rawValue] > 0, "never before \(step)")
        }
        for kind in (1...11).compactMap(RecordKind.init) {
            #expect(proof.recordsReached[kind] ?? 0 > 0, "never while \(kind) was written")
        }
        #expect(proof.tornTails > 100)
        #expect(proof.operationsReached > 8)
        #expect(proof.livesAfterTwo > 50)
    }
}
