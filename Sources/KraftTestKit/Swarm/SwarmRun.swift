import KraftEngine
import RaftCore

/// One seed, from the first election to the last check.
///
/// A safety phase with faults and load, in which nothing may break; then a calm phase, in which the
/// cluster must come to life again: a leader for each group within ten election timeouts, fresh
/// writes and reads through every node, equal digests everywhere (I13).
public final class SwarmRun {
    public struct Report: Sendable {
        public var plan: Plan
        public var violations: [Violation]
        public var coverage: Coverage
        public var traceHash: UInt64
        public var simulated: Nanoseconds

        public var isClean: Bool { violations.isEmpty }
        /// The one command that runs this again.
        public var reproduction: String { "make sim SEED=\(plan.seed)" }
    }

    private let plan: Plan
    private let simulation: Simulation<AuditLog>
    private let workload: Workload
    private let injector: FaultInjector<AuditLog>

    /// - `log`: is given a line for everything worth one.
    public init(_ plan: Plan, log: ((String) -> Void)? = nil) {
        self.plan = plan
        simulation = Simulation(
            seed: plan.seed, nodes: plan.nodes, groups: plan.groups, options: plan.options
        ) { _ in AuditLog() }
        simulation.log = log
        simulation.bootCrashPermille = plan.bootCrashPermille
        workload = Workload(simulation, plan)
        injector = FaultInjector(simulation, plan)
    }

    /// Runs the plan that a seed stands for.
    public static func run(seed: UInt64, log: ((String) -> Void)? = nil) -> Report {
        SwarmRun(.drawn(from: seed), log: log).run()
    }

    public func run() -> Report {
        workload.start()
        injector.start()
        keepAlive()
        simulation.run(for: plan.duration)
        calmDown()
        let report = Report(
            plan: plan, violations: simulation.violations, coverage: simulation.coverage,
            traceHash: simulation.traceHash, simulated: simulation.now)
        simulation.close()
        return report
    }

    /// A node that fenced itself because its disk failed is started again by somebody.
    private func keepAlive() {
        simulation.after(.milliseconds(5_000)) { [self] in
            for node in simulation.nodeIDs { simulation.restart(node) }
            keepAlive()
        }
    }

    // MARK: The calm

    private var electionTimeout: UInt64 {
        let timing = plan.options.timing
        return timing.electionTimeout.rawValue + timing.electionSpread.rawValue
    }

    private func calmDown() {
        guard simulation.violations.isEmpty else { return }
        endFaults()
        simulation.pastCoverage.count(.calmPhases)
        let leaders = simulation.run(atMost: Nanoseconds(10 * electionTimeout)) {
            simulation.isOpen && plan.groups.allSatisfy { simulation.leader(of: $0) != nil }
        }
        require(leaders, "no leader within ten election timeouts")
        insist { workload.write($0, on: $1, timeout: $2, then: $3) }
        let inStep = simulation.run(atMost: .seconds(120)) {
            plan.groups.allSatisfy { simulation.isInStep($0) }
        }
        require(inStep, "the replicas don't come to the same state")
        insist { workload.read($0, on: $1, timeout: $2, then: $3) }
        // The longest deadline of a request that was made in the other phase.
        simulation.run(for: Nanoseconds(plan.load.timeout.upperBound + 6_000_000_000))
        require(simulation.pendingRequests == 0, "a request has not ended by its deadline")
        guard simulation.violations.isEmpty else { return }
        checkContents()
        simulation.matchLogs(depth: .max)
        simulation.inspectDisks()
    }

    private func endFaults() {
        simulation.note("the calm begins")
        workload.stop()
        injector.stop()
        simulation.bootCrashPermille = 0
        simulation.options.network.spikePermille = 0
        simulation.options.network.refusePermille = 0
        simulation.options.disk.stallPermille = 0
        simulation.options.disk.failurePerMillion = 0
        simulation.heal()
        simulation.resumeAll()
        simulation.calmDisks()
        for node in simulation.nodeIDs {
            // Who has handed its groups over leads none until it starts again.
            if simulation.isHandingOver(node) { simulation.kill(node) }
            simulation.restart(node)
        }
        // A group that waits to be opened can't be started before.
        _ = simulation.run(atMost: Nanoseconds(electionTimeout)) { simulation.isOpen }
        for node in simulation.nodeIDs {
            for group in plan.groups { simulation.startGroup(group, on: node) }
        }
    }

    /// A fresh request to each group through each node; a leader that changes may cost a few tries.
    private func insist(
        _ request: (Int, NodeID, Nanoseconds, @escaping (Bool) -> Void) -> Void
    ) {
        let timeout = Nanoseconds(4 * electionTimeout)
        for group in plan.groups.indices {
            for node in simulation.nodeIDs {
                var isDone = false
                for _ in 0..<20 where !isDone && simulation.violations.isEmpty {
                    var hasEnded = false
                    request(group, node, timeout) {
                        isDone = $0
                        hasEnded = true
                    }
                    _ = simulation.run(atMost: .seconds(30)) { hasEnded }
                    if !isDone { simulation.run(for: .milliseconds(1_000)) }
                }
                require(isDone, "no answer from \(plan.groups[group]) through node \(node)")
            }
        }
    }

    private func checkContents() {
        for (group, ids) in workload.acknowledged.enumerated() {
            for node in simulation.nodeIDs {
                guard let machine = simulation.machine(of: plan.groups[group], on: node) else {
                    continue
                }
                for id in ids where machine.answer(.contains(id)) == .contains(false) {
                    simulation.report(
                        (.acknowledgement, "node \(node) lost the acknowledged command \(id)"))
                    return
                }
            }
        }
        for node in simulation.nodeIDs {
            let bad = simulation.metrics(on: node)?.badFrames ?? 0
            if bad > 0 {
                simulation.report((.interface, "node \(node) found \(bad) bad frames"))
            }
        }
    }

    private func require(_ condition: Bool, _ message: String) {
        guard !condition, simulation.violations.isEmpty else { return }
        simulation.report((.liveness, message))
    }
}
