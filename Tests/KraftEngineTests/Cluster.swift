import KraftEngine
import KraftTestKit
import RaftCore
import Testing

typealias Cluster = Simulation<AuditLog>

/// A cluster of the simulator's own state machine, on a quiet network.
func makeCluster(
    seed: UInt64 = 1, nodes: Int = 3, groups: [String] = ["g"],
    _ configure: (inout SimulationOptions) -> Void = { _ in }
) -> Cluster {
    var options = SimulationOptions()
    options.checks.commandsAreUnique = true
    options.checks.turnsPerInspection = 32
    configure(&options)
    return Simulation(seed: seed, nodes: nodes, groups: groups, options: options) { _ in
        AuditLog()
    }
}

extension Cluster {
    /// Waits for a leader; records an issue when none comes.
    @discardableResult
    func elect(
        _ group: String = "g", except: NodeID? = nil, within span: Nanoseconds = .seconds(5)
    ) -> NodeID {
        let isLed = run(atMost: span) {
            leader(of: group).map { $0 != except } ?? false
        }
        #expect(isLed, "no leader; \(violations)")
        return leader(of: group) ?? 1
    }

    /// Some node that isn't this one.
    func other(than node: NodeID) -> NodeID { nodeIDs.first { $0 != node } ?? node }

    func others(than node: NodeID) -> [NodeID] { nodeIDs.filter { $0 != node } }

    /// Proposes a command and waits for its outcome.
    @discardableResult
    func write(
        _ id: UInt64, on node: NodeID, group: String = "g", padding: Int = 0,
        timeout: Nanoseconds = .seconds(5)
    ) -> RequestOutcome<UInt64> {
        let request = propose(
            on: node, group: group, AuditLog.Command(id: id, padding: padding), timeout: timeout)
        _ = run(atMost: .seconds(20)) { isEnded(request) }
        return outcome(of: request)
    }

    /// Reads linearizably and waits for the answer.
    @discardableResult
    func look(
        _ query: AuditLog.Query, on node: NodeID, group: String = "g",
        timeout: Nanoseconds = .seconds(5)
    ) -> RequestOutcome<AuditLog.Answer> {
        let request = read(on: node, group: group, query, timeout: timeout)
        _ = run(atMost: .seconds(20)) { isEnded(request) }
        return answer(of: request)
    }

    func expectInStep(_ group: String = "g", within span: Nanoseconds = .seconds(20)) {
        let isDone = run(atMost: span) { isInStep(group) }
        #expect(isDone, "the replicas differ; \(violations)")
    }

    func expectClean() {
        for violation in violations { Issue.record("\(violation)") }
    }

    func expectHolds(_ ids: [UInt64], group: String = "g") {
        for node in nodeIDs {
            let held = machine(of: group, on: node)?.ids ?? []
            for id in ids where !held.contains(id) {
                Issue.record("node \(node) lost command \(id)")
            }
        }
    }
}
