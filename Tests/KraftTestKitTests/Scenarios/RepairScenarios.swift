import KraftEngine
import KraftTestKit
import RaftCore
import Testing

/// A disk that rots, and what is done about it while other things go wrong.
@Suite("Scenarios of repair")
struct RepairScenarios {
    private func decay(_ stage: Stage, _ node: NodeID) {
        stage.expectSoon(
            stage.simulation.decayLog(of: node, isSevere: true), within: .seconds(10))
        #expect(!stage.simulation.isRunning(node))
    }

    private func expectHealed(_ stage: Stage, _ group: String = "g") {
        stage.expectSoon(
            stage.simulation.isOpen && stage.simulation.isHealed(group)
                && !stage.simulation.isChanging(group),
            within: .seconds(60))
    }

    @Test("Writes go on while a damaged replica is replaced", arguments: 1...6)
    func underLoad(seed: UInt64) {
        let stage = Stage(seed: seed) { options in
            options.snapshots.entryLimit = 50
            options.snapshots.tailEntries = 5
        }
        let leader = stage.elect()
        stage.load([leader], millis: 400)
        let node = stage.others(than: leader)[0]
        decay(stage, node)
        stage.load([leader], millis: 400)
        stage.simulation.restart(node)
        let before = stage.acknowledgedCount()
        stage.load(stage.nodes, millis: 2_000)
        #expect(stage.acknowledgedCount() > before + 50)
        expectHealed(stage)
        stage.reached(.replacementsDone)
        stage.curtain()
    }

    @Test("The leader that begins it dies: the next one goes on", arguments: 1...8)
    func leaderDies(seed: UInt64) {
        let stage = Stage(seed: seed, nodes: 5)
        let leader = stage.elect()
        for _ in 0..<20 { stage.write(on: leader) }
        let node = stage.others(than: leader)[0]
        decay(stage, node)
        stage.simulation.restart(node)
        stage.expectSoon(stage.simulation.coverage[.replacementsBegun] > 0, within: .seconds(20))
        stage.wait(milliseconds: seed * 3)
        stage.simulation.crash(stage.elect())
        stage.wait(electionTimeouts: 4)
        for other in stage.nodes { stage.simulation.restart(other) }
        expectHealed(stage)
        stage.curtain()
    }

    @Test("The node is away when it is taken out, and lets go of what it was", arguments: 1...6)
    func awayMeanwhile(seed: UInt64) {
        let stage = Stage(seed: seed)
        let leader = stage.elect()
        for _ in 0..<20 { stage.write(on: leader) }
        let node = stage.others(than: leader)[0]
        decay(stage, node)
        stage.simulation.restart(node)
        stage.expectSoon(stage.simulation.coverage[.replacementsBegun] > 0, within: .seconds(20))
        stage.simulation.crash(node)
        stage.wait(electionTimeouts: 10)
        #expect(stage.write(on: stage.elect()).isDone)
        stage.simulation.restart(node)
        expectHealed(stage)
        stage.expectSoon(stage.simulation.strays(of: "g").isEmpty)
        stage.curtain()
    }

    @Test("It rots again and again, while it is being repaired too", arguments: 1...6)
    func again(seed: UInt64) {
        let stage = Stage(seed: seed, nodes: 4, groups: ["a", "b", "c"])
        for group in ["a", "b", "c"] {
            let leader = stage.elect(group)
            for _ in 0..<10 { stage.write(on: leader, group) }
        }
        for _ in 0..<4 {
            decay(stage, 4)
            stage.simulation.restart(4)
            stage.wait(milliseconds: 50 + 130 * (seed % 5))
        }
        for group in ["a", "b", "c"] { expectHealed(stage, group) }
        stage.reached(.logsDecayed, atLeast: 4)
        stage.curtain()
    }
}
