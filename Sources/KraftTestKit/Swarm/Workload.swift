import KraftEngine
import KraftRouting
import RaftCore

/// Clients that write commands never seen before, and read whether what they were told is there.
final class Workload {
    private let simulation: Simulation<AuditLog>
    private let plan: Plan
    private var random: SeededRandom
    private var nextID: UInt64 = 1
    private var isStopped = false
    /// By group: the ids whose effect somebody was told of.
    private(set) var acknowledged: [[UInt64]]

    init(_ simulation: Simulation<AuditLog>, _ plan: Plan) {
        self.simulation = simulation
        self.plan = plan
        random = SeededRandom(seed: plan.seed, stream: 11)
        acknowledged = Array(repeating: [], count: plan.groups.count)
    }

    func start() {
        for _ in 0..<plan.load.clients { wait(thenOn: someNode) }
    }

    func stop() { isStopped = true }

    private var someNode: NodeID { NodeID(UInt32(1 + random.below(plan.nodes))) }

    private func wait(thenOn node: NodeID) {
        guard !isStopped else { return }
        simulation.after(Nanoseconds(random.number(in: plan.load.thinkTime))) { [self] in
            if !isStopped { act(on: node) }
        }
    }

    private func act(on node: NodeID) {
        let group = random.below(plan.groups.count)
        let timeout = Nanoseconds(random.number(in: plan.load.timeout))
        if random.chance(plan.load.readPermille) {
            read(group, on: node, timeout: timeout) { [self] isDone in
                wait(thenOn: isDone ? node : someNode)
            }
        } else {
            for _ in 0..<random.below(plan.load.burst) {
                write(group, on: node, timeout: timeout) { _ in }
            }
            write(group, on: node, timeout: timeout) { [self] isDone in
                wait(thenOn: isDone ? node : someNode)
            }
        }
    }

    /// Writes one new command; `then` is told whether it is known to have taken effect.
    func write(
        _ group: Int, on node: NodeID, timeout: Nanoseconds, then: @escaping (Bool) -> Void
    ) {
        let id = nextID
        nextID += 1
        let padding =
            random.chance(plan.load.bigPermille)
            ? random.below(plan.options.limits.commandSizeBytes - 64) : random.below(64)
        var route: Epoch?
        var mustBeRefused = false
        if random.chance(plan.load.routePermille) { route = .first }
        if random.chance(plan.load.routePermille) {
            route = Epoch(rawValue: 99)
            mustBeRefused = true
        }
        simulation.propose(
            on: node, group: plan.groups[group], AuditLog.Command(id: id, padding: padding),
            timeout: timeout, route: route
        ) { [self] outcome in
            if outcome.isDone {
                acknowledged[group].append(id)
                if mustBeRefused {
                    simulation.report(
                        (.linearizability, "a command with a stale route took effect"))
                }
            }
            then(outcome.isDone)
        }
    }

    /// Reads whether something that was acknowledged before is there.
    func read(
        _ group: Int, on node: NodeID, timeout: Nanoseconds, then: @escaping (Bool) -> Void
    ) {
        let id = random.element(acknowledged[group])
        let query = id.map { AuditLog.Query.contains($0) } ?? .content
        simulation.read(on: node, group: plan.groups[group], query, timeout: timeout) {
            [self] outcome in
            if case .done(_, .contains(false)) = outcome {
                simulation.report(
                    (.acknowledgement, "a read on node \(node) misses command \(id ?? 0)"))
            }
            then(outcome.isDone)
        }
    }
}
