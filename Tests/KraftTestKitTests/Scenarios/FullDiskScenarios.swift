import KraftEngine
import KraftTestKit
import RaftCore
import Testing

@Suite("Scenarios: disks without space")
struct FullDiskScenarios {
    @Test("One full disk costs no write but those of a moment", arguments: [false, true])
    func one(refusesWrites: Bool) {
        let stage = Stage()
        let leader = stage.elect()
        stage.simulation.fillDisk(leader, for: .seconds(10), refusesWrites: refusesWrites)
        // Large enough that segments of 128 KiB are used up.
        stage.load([leader], millis: 8_000, everyMillis: 20, padding: 4_000)
        #expect(stage.acknowledgedCount() > 300)
        stage.reached(.fullDisksNoticed)
        stage.reached(.leadersShed)
        #expect(stage.simulation.leader(of: "g") != leader)
        stage.curtain()
    }

    @Test("With all disks full nobody fences, and all goes on when space is back")
    func all() {
        let stage = Stage()
        let leader = stage.elect()
        for node in stage.nodes {
            stage.simulation.fillDisk(node, for: .seconds(6), refusesWrites: true)
        }
        stage.load([leader], millis: 5_000, everyMillis: 50)
        #expect(stage.simulation.leader(of: "g") == leader)
        let before = stage.acknowledgedCount()
        stage.wait(milliseconds: 3_000)
        stage.load([leader], millis: 1_000, everyMillis: 50)
        #expect(stage.acknowledgedCount() > before + 10)
        stage.reached(.writesOutOfSpace, atLeast: 6)
        stage.reached(.writesTriedAgain, atLeast: 6)
        #expect(stage.simulation.coverage[.fencings] == 0)
        stage.curtain()
    }

    @Test("Power that fails while a write is tried again tears nothing", arguments: UInt64(1)...20)
    func powerCut(seed: UInt64) {
        let stage = Stage(seed: seed)
        let leader = stage.elect()
        for node in stage.nodes {
            stage.simulation.fillDisk(node, for: .milliseconds(1_500), refusesWrites: true)
        }
        stage.load([leader], millis: 1_000 + seed * 40, everyMillis: 10, padding: 2_000)
        for node in stage.nodes { stage.simulation.crash(node) }
        for node in stage.nodes { stage.simulation.restart(node) }
        stage.elect()
        stage.curtain()
    }
}
