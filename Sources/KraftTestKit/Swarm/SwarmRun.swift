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
        /// By `Fault.rawValue`: how often it was done.
        public var injected: [UInt64]

        public var isClean: Bool { violations.isEmpty }
        /// The one command that runs this again.
        public var reproduction: String {
            plan.cuts.isEmpty ? "make sim SEED=\(plan.seed)" : "make sim SEED=\"\(plan.text)\""
        }
    }

    private let plan: Plan
    private let simulation: Simulation<AuditLog>
    private let workload: Workload
    private let sessionClients: SessionClients
    private let injector: FaultInjector<AuditLog>

    /// - `log`: is given a line for everything worth one.
    /// - `isVerbose`: each request and message is.
    public init(_ plan: Plan, isVerbose: Bool = false, log: ((String) -> Void)? = nil) {
        self.plan = plan
        let names = plan.groupNames
        simulation = Simulation(
            seed: plan.seed, nodes: plan.nodes, groups: names, options: plan.options,
            voters: { name in
                plan.voters(of: names.firstIndex(of: name.string) ?? 0)
            }, makeMachine: { _ in AuditLog() })
        simulation.log = log
        simulation.isLogVerbose = isVerbose && log != nil
        simulation.bootCrashPermille = plan.bootCrashPermille
        workload = Workload(simulation, plan)
        sessionClients = SessionClients(workload)
        injector = FaultInjector(simulation, plan)
        injector.crowd = { [workload] in workload.crowd($0, $1, writes: $2, reads: $3) }
    }

    /// Runs the plan that a seed stands for.
    public static func run(seed: UInt64, log: ((String) -> Void)? = nil) -> Report {
        SwarmRun(.drawn(from: seed), log: log).run()
    }

    public func run() -> Report {
        workload.start()
        sessionClients.start()
        injector.start()
        keepAlive()
        simulation.run(for: plan.duration)
        calmDown()
        let report = Report(
            plan: plan, violations: simulation.violations, coverage: simulation.coverage,
            traceHash: simulation.traceHash, simulated: simulation.now,
            injected: injector.injected)
        simulation.close()
        return report
    }

    /// A node that fenced itself because its disk failed is started again by somebody.
    private func keepAlive() {
        simulation.after(.milliseconds(2_000)) { [self] in
            for node in simulation.nodeIDs { simulation.restart(node) }
            keepAlive()
        }
    }

    // MARK: The calm

    private var electionTimeout: UInt64 {
        let timing = plan.options.timing
        return timing.electionTimeout.rawValue + timing.electionSpread.rawValue
            + timing.leaseDuration.rawValue
    }

    private func calmDown() {
        guard simulation.violations.isEmpty else { return }
        endFaults()
        simulation.pastCoverage.count(.calmPhases)
        let names = plan.groupNames
        let leaders = simulation.run(
            atMost: Nanoseconds(10 * electionTimeout), lookingEvery: .milliseconds(5)
        ) {
            simulation.isOpen && names.allSatisfy { simulation.leader(of: $0) != nil }
        }
        require(leaders, "no leader within ten election timeouts")
        // The longest deadline of a request that was made in the other phase: a change of members may
        // still begin.
        let ended = simulation.run(
            atMost: Nanoseconds(max(plan.load.timeout.upperBound, 5_000_000_000) + 6_000_000_000)
        ) { simulation.pendingRequests == 0 }
        require(ended, "a request has not ended by its deadline")
        // Snapshots may be held to so few bytes a second that whole states take long to come.
        let isSlow = plan.options.snapshots.bytesPerSecond < 1 << 20
        let changed = simulation.run(
            atMost: Nanoseconds(
                20 * electionTimeout + 2 * plan.options.timing.catchUpTimeout.rawValue
                    + (isSlow ? 60_000_000_000 : 0)),
            lookingEvery: .milliseconds(5)
        ) {
            simulation.isOpen
                && names.allSatisfy {
                    !simulation.isChanging($0) && simulation.strays(of: $0).isEmpty
                }
        }
        let healed = simulation.run(atMost: .seconds(300), lookingEvery: .milliseconds(20)) {
            names.allSatisfy { simulation.isHealed($0) && !simulation.isChanging($0) }
        }
        let ill = names.filter { !simulation.isHealed($0) }
        require(healed, "damaged replicas aren't replaced: \(ill)")
        let stuck = names.filter { simulation.isChanging($0) }
        let strays = names.flatMap { name in
            simulation.strays(of: name).map { "\(name) on node \($0)" }
        }
        require(
            changed,
            """
            a change of members doesn't end, or a removed replica doesn't go: changing \(stuck), \
            left \(strays), \(simulation.isOpen ? "all" : "not all") is open
            """)
        // With a window of one entry, what clients asked for before they stopped may take its time.
        _ = simulation.run(atMost: .seconds(60), lookingEvery: .milliseconds(50)) {
            names.allSatisfy { simulation.isInStep($0) }
        }
        insist { [workload] in workload.write($0, on: $1, timeout: $2, then: $3) }
        judgeSessions()
        let inStep = simulation.run(atMost: .seconds(120), lookingEvery: .milliseconds(5)) {
            names.allSatisfy { simulation.isInStep($0) }
        }
        require(inStep, "the replicas don't come to the same state")
        insist { [simulation, workload] group, node, timeout, then in
            let track = simulation.track(of: group, on: node)
            workload.read(group, on: node, track: track, id: nil, timeout: timeout, then: then)
        }
        guard simulation.violations.isEmpty else { return }
        workload.checkContents()
        simulation.checkBadFrames()
        simulation.matchLogs(depth: .max)
        simulation.inspectDisks()
    }

    /// Those whose time has passed are over, those whose time hasn't go on.
    private func judgeSessions() {
        guard plan.load.sessionClients > 0 else { return }
        insist { [sessionClients] in sessionClients.probe($0, on: $1, timeout: $2, then: $3) }
        simulation.run(for: sessionClients.longestShortLife)
        let timeout = Nanoseconds(4 * electionTimeout)
        var waiting = 0
        for session in sessionClients.judged {
            let name = plan.groupNames[session.group]
            guard let node = simulation.holders(of: name).first else { continue }
            waiting += 1
            let judge = { [sessionClients] (_: Int, node, timeout, then) in
                sessionClients.judge(session, on: node, timeout: timeout, then: then)
            }
            tryRequest(judge, session.group, node, timeout, left: 20) { waiting -= 1 }
        }
        let isDone = simulation.run(atMost: .seconds(300)) { waiting == 0 }
        require(isDone, "nobody says whether a session is open")
    }

    private func endFaults() {
        simulation.note("the calm begins")
        workload.stop()
        sessionClients.stop()
        injector.stop()
        simulation.bootCrashPermille = 0
        simulation.options.network.spikePermille = 0
        simulation.options.network.refusePermille = 0
        simulation.options.disk.stallPermille = 0
        simulation.options.disk.failurePerMillion = 0
        simulation.heal()
        simulation.calmDisks()
        simulation.resumeAll()
        for node in simulation.nodeIDs {
            // Who has handed its groups over leads none until it starts again.
            if simulation.isHandingOver(node) { simulation.kill(node) }
            simulation.restart(node)
        }
        for group in plan.groupNames { simulation.createGroup(group) }
        // A group that waits to be opened can't be started before.
        _ = simulation.run(
            atMost: Nanoseconds(electionTimeout), lookingEvery: .milliseconds(5)
        ) { simulation.isOpen }
        for node in simulation.nodeIDs {
            for group in plan.groupNames {
                simulation.startGroup(group, on: node)
                simulation.setPriority(10, of: group, on: node)
            }
        }
    }

    /// A fresh request to each group through each of its nodes, all at once; a leader that changes
    /// may cost a few tries.
    private func insist(
        _ request: @escaping (Int, NodeID, Nanoseconds, @escaping (Bool) -> Void) -> Void
    ) {
        let timeout = Nanoseconds(4 * electionTimeout)
        var waiting: [(group: String, node: NodeID)] = []
        for (group, name) in plan.groupNames.enumerated() {
            for node in simulation.holders(of: name) {
                waiting.append((name, node))
                tryRequest(request, group, node, timeout, left: 20) {
                    waiting.removeAll { $0 == (name, node) }
                }
            }
        }
        let isDone = simulation.run(atMost: .seconds(300)) { waiting.isEmpty }
        guard let (group, node) = waiting.first, !isDone else { return }
        require(false, "no answer from \(group) through node \(node)")
    }

    private func tryRequest(
        _ request: @escaping (Int, NodeID, Nanoseconds, @escaping (Bool) -> Void) -> Void,
        _ group: Int, _ node: NodeID, _ timeout: Nanoseconds, left: Int,
        done: @escaping () -> Void
    ) {
        request(group, node, timeout) { [self] isDone in
            if isDone {
                done()
            } else if left > 1 {
                simulation.after(.milliseconds(500)) { [self] in
                    tryRequest(request, group, node, timeout, left: left - 1, done: done)
                }
            } else {
                require(false, "no answer from \(plan.groupNames[group]) through node \(node)")
            }
        }
    }

    private func require(_ condition: Bool, _ message: String) {
        guard !condition, simulation.violations.isEmpty else { return }
        simulation.report((.liveness, message))
    }
}
