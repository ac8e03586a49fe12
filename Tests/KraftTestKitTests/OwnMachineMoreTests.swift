import Foundation
import KraftEngine
import KraftTestKit
import RaftCore
import Testing

/// A sum whose replicas differ, which no machine's may.
private struct FlawedAdder: StateMachine {
    var sum: Int64 = 0
    var flaw: UInt64

    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        sum &+= command
        return sum
    }

    func answer(_ query: Void) -> Int64 { sum }
    func digest() -> UInt64 { UInt64(bitPattern: sum) ^ flaw }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(sum) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { sum = try pieces.decode() }
}

@Suite("A user's own state machine in the simulator")
struct OwnMachineMoreTests {
    @Test("The guide shows, to the letter, the file that these tests compile")
    func guide() throws {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let example = try String(
            contentsOf: here.appending(path: "OwnMachineTests.swift"), encoding: .utf8)
        let guide = try String(
            contentsOf: here.appending(path: "../../docs/guides/simulator.md"), encoding: .utf8)
        #expect(guide.contains("```swift\n" + example + "```\n"))
        #expect(example.split(separator: "\n", omittingEmptySubsequences: false).count <= 43)
    }

    @Test("It survives the crash of a node, and reads show what was acknowledged")
    func survives() {
        let simulation = Simulation(seed: 42, nodes: 3, groups: ["sums"]) { _ in Adder() }
        simulation.run(for: .seconds(2))
        let first = simulation.propose(on: 1, group: "sums", 40)
        simulation.run(for: .seconds(1))
        #expect(simulation.outcome(of: first).value == 40)
        // A node that doesn't lead: whoever asks through a leader that dies can't know.
        let leader = simulation.leader(of: "sums")
        let follower = simulation.nodeIDs.last { $0 != leader && $0 != 1 } ?? 2
        simulation.crash(follower)
        let second = simulation.propose(on: 1, group: "sums", 2)
        simulation.run(for: .seconds(4))
        simulation.restart(follower)
        simulation.run(for: .seconds(2))
        let read = simulation.read(on: follower, group: "sums", ())
        simulation.run(for: .seconds(1))
        #expect(simulation.outcome(of: second).value == 42)
        #expect(simulation.answer(of: read).value == 42)
        #expect(simulation.isInStep("sums"))
        #expect(simulation.violations.isEmpty)
    }

    @Test("One whose replicas come to different states is found out")
    func flawed() {
        var replicas: UInt64 = 0
        let simulation = Simulation(seed: 1) { _ in
            replicas += 1
            return FlawedAdder(flaw: replicas)
        }
        simulation.run(for: .seconds(2))
        simulation.propose(on: 1, group: "group", 1)
        simulation.run(for: .seconds(2))
        #expect(simulation.violations.first?.invariant == .stateMachineSafety)
    }

    @Test("The same seed and calls give the same trace, others another")
    func trace() {
        func run(seed: UInt64, _ command: Int64) -> UInt64 {
            let simulation = Simulation(seed: seed) { _ in Adder() }
            simulation.run(for: .seconds(1))
            simulation.propose(on: 1, group: "group", command)
            simulation.run(for: .seconds(1))
            return simulation.traceHash
        }
        #expect(run(seed: 5, 1) == run(seed: 5, 1))
        #expect(run(seed: 5, 1) != run(seed: 6, 1))
        #expect(run(seed: 5, 1) != run(seed: 5, 2))
    }
}
