import KraftEngine
import KraftTestKit
import RaftCore
import Testing

/// What a user of the library brings: here a sum.
struct Adder: StateMachine {
    var sum: Int64 = 0

    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        sum &+= command
        return sum
    }

    func answer(_ query: Void) -> Int64 { sum }
    func digest() -> UInt64 { UInt64(bitPattern: sum) }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(sum) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { sum = try pieces.decode() }
}

@Test("A sum survives power cuts, a partition and a slow disk", arguments: UInt64(1)...20)
func sumSurvives(seed: UInt64) {
    let simulation = Simulation(seed: seed, nodes: 3, groups: ["sums"]) { _ in Adder() }
    simulation.run(for: .seconds(2))
    var told: Int64 = 0
    for round in 0..<30 {
        simulation.propose(on: simulation.nodeIDs[round % 3], group: "sums", 1) { outcome in
            if outcome.isDone { told += 1 }
        }
        if round == 5 { simulation.crash(simulation.leader(of: "sums") ?? 1) }
        if round == 12 { for node in simulation.nodeIDs { simulation.restart(node) } }
        if round == 15 { simulation.partition([2]) }
        if round == 22 { simulation.heal() }
        if round == 24 { simulation.slowDisk(3, for: .seconds(1)) }
        simulation.run(for: .milliseconds(200))
    }
    let isInStep = simulation.run(atMost: .seconds(30)) { simulation.isInStep("sums") }
    #expect(isInStep && told > 0)
    #expect(simulation.machine(of: "sums", on: 1)?.sum ?? 0 >= told)
    #expect(simulation.violations.isEmpty)
}
