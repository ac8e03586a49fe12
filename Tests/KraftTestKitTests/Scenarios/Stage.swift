import KraftEngine
import KraftTestKit
import RaftCore
import Testing

/// A small world for one scenario: a cluster of the simulator's own machine, with what scripts need
/// to say. Whatever a scenario does, `curtain` expects that nothing is broken and nothing lost.
final class Stage {
    let simulation: Simulation<AuditLog>
    private let groups: [String]
    private var nextID: UInt64 = 1
    /// By group: commands whose effect some client was told of.
    private var acknowledged: [String: [UInt64]] = [:]

    init(
        seed: UInt64 = 1, nodes: Int = 3, groups: [String] = ["g"],
        voters: [[NodeID]]? = nil,
        _ configure: (inout SimulationOptions) -> Void = { _ in }
    ) {
        var options = SimulationOptions()
        options.checks.commandsAreUnique = true
        options.log.segmentSizeBytes = 128 << 10
        options.limits.commandSizeBytes = 16 << 10
        configure(&options)
        self.groups = groups
        simulation = Simulation(
            seed: seed, nodes: nodes, groups: groups, options: options,
            voters: voters.map { voters in
                { name in voters[groups.firstIndex(of: name.string) ?? 0] }
            }
        ) { _ in AuditLog() }
    }

    deinit { simulation.close() }

    var nodes: [NodeID] { simulation.nodeIDs }
    var electionTimeout: Nanoseconds { simulation.options.timing.electionTimeout }

    func others(than some: NodeID...) -> [NodeID] { nodes.filter { !some.contains($0) } }

    /// Lets so many election timeouts pass.
    func wait(electionTimeouts count: UInt64) {
        simulation.run(for: Nanoseconds(electionTimeout.rawValue * count))
    }

    func wait(milliseconds count: UInt64) { simulation.run(for: .milliseconds(count)) }

    // MARK: Leaders

    /// Waits until somebody (of these) leads; records an issue if nobody comes.
    @discardableResult
    func elect(
        _ group: String = "g", of some: [NodeID]? = nil, within span: Nanoseconds = .seconds(15)
    ) -> NodeID {
        let isLed = simulation.run(atMost: span) {
            simulation.leader(of: group).map { some?.contains($0) ?? true } ?? false
        }
        #expect(isLed, "nobody leads \(group); \(simulation.violations)")
        return simulation.leader(of: group) ?? 1
    }

    /// Gives a group to a node, by transfers.
    @discardableResult
    func lead(_ node: NodeID, _ group: String = "g") -> NodeID {
        elect(group)
        for _ in 0..<20 where simulation.leader(of: group) != node {
            simulation.transfer(group, to: node, on: simulation.leader(of: group) ?? node)
            wait(milliseconds: 300)
        }
        #expect(simulation.leader(of: group) == node, "node \(node) doesn't lead \(group)")
        return node
    }

    func term(_ node: NodeID, _ group: String = "g") -> UInt64 {
        simulation.status(of: group, on: node)?.term.rawValue ?? 0
    }

    func role(_ node: NodeID, _ group: String = "g") -> GroupStatus.Role? {
        simulation.status(of: group, on: node)?.role
    }

    func commit(_ node: NodeID, _ group: String = "g") -> UInt64 {
        simulation.status(of: group, on: node)?.commitIndex.rawValue ?? 0
    }

    /// How many commands a node has applied.
    func count(on node: NodeID, _ group: String = "g") -> Int {
        simulation.machine(of: group, on: node)?.ids.count ?? 0
    }

    func holds(_ id: UInt64, on node: NodeID, _ group: String = "g") -> Bool {
        simulation.machine(of: group, on: node)?.answer(.contains(id)) == .contains(true)
    }

    // MARK: Requests

    /// Proposes a new command, and goes on.
    @discardableResult
    func propose(
        on node: NodeID, _ group: String = "g", padding: Int = 0, timeoutMillis: UInt64 = 5_000
    ) -> (request: RequestID, id: UInt64) {
        let id = nextID
        nextID += 1
        let request = simulation.propose(
            on: node, group: group, AuditLog.Command(id: id, padding: padding),
            timeout: .milliseconds(timeoutMillis)
        ) { [weak self] outcome in
            if outcome.isDone { self?.acknowledged[group, default: []].append(id) }
        }
        return (request, id)
    }

    /// Proposes a new command and waits for its end.
    @discardableResult
    func write(
        on node: NodeID, _ group: String = "g", padding: Int = 0, timeoutMillis: UInt64 = 5_000
    ) -> RequestOutcome<UInt64> {
        let (request, _) = propose(on: node, group, padding: padding, timeoutMillis: timeoutMillis)
        return end(of: request)
    }

    func end(of request: RequestID) -> RequestOutcome<UInt64> {
        _ = simulation.run(atMost: .seconds(60)) { simulation.isEnded(request) }
        return simulation.outcome(of: request)
    }

    /// Reads linearizably and waits for the end.
    func read(
        on node: NodeID, _ group: String = "g", timeoutMillis: UInt64 = 5_000
    ) -> RequestOutcome<AuditLog.Answer> {
        let request = simulation.read(
            on: node, group: group, .content, timeout: .milliseconds(timeoutMillis))
        _ = simulation.run(atMost: .seconds(60)) { simulation.isEnded(request) }
        return simulation.answer(of: request)
    }

    /// Writes on all these nodes, again and again, for a while, without waiting for answers.
    func load(
        _ some: [NodeID], _ group: String = "g", millis: UInt64, everyMillis pause: UInt64 = 5,
        padding: Int = 20
    ) {
        var left = millis
        while left > 0, simulation.violations.isEmpty {
            for node in some { propose(on: node, group, padding: padding, timeoutMillis: 2_000) }
            let step = min(left, pause)
            wait(milliseconds: step)
            left -= step
        }
    }

    func acknowledgedCount(_ group: String = "g") -> Int { acknowledged[group]?.count ?? 0 }

    /// Forgets what was acknowledged in a life of a group that is over.
    func forget(_ group: String) { acknowledged[group] = [] }

    // MARK: Expectations

    /// Holds within a while.
    func expectSoon(
        _ condition: @autoclosure () -> Bool, within span: Nanoseconds = .seconds(5),
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let holds = simulation.run(
            atMost: span, lookingEvery: .milliseconds(5), until: condition)
        #expect(holds, "not within a while", sourceLocation: sourceLocation)
    }

    /// Really happened at least so often.
    func reached(
        _ counter: Coverage.Counter, atLeast least: UInt64 = 1,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let count = simulation.coverage[counter]
        #expect(
            count >= least, "\(counter) happened \(count) times", sourceLocation: sourceLocation)
    }

    /// All faults end; everything must be whole, equal, and able to go on.
    func curtain(sourceLocation: SourceLocation = #_sourceLocation) {
        simulation.bootCrashPermille = 0
        simulation.heal()
        simulation.calmDisks()
        simulation.resumeAll()
        for node in nodes {
            if simulation.isHandingOver(node) { simulation.kill(node) }
            simulation.restart(node)
            for group in groups { simulation.startGroup(group, on: node) }
        }
        let isLed = simulation.run(atMost: .seconds(20), lookingEvery: .milliseconds(10)) {
            simulation.isOpen && groups.allSatisfy { simulation.leader(of: $0) != nil }
        }
        #expect(isLed, "a group has no leader", sourceLocation: sourceLocation)
        for group in groups.prefix(8) {
            // The first may meet a connection with a backlog of what was slow.
            let node = simulation.holders(of: group)[0]
            let isWritten = (1...4).contains { _ in write(on: node, group).isDone }
            #expect(isWritten, "\(group) takes no write", sourceLocation: sourceLocation)
        }
        let isEqual = simulation.run(atMost: .seconds(60), lookingEvery: .milliseconds(10)) {
            groups.allSatisfy { simulation.isInStep($0) }
        }
        #expect(isEqual, "the replicas differ", sourceLocation: sourceLocation)
        for group in groups {
            for node in simulation.holders(of: group) {
                let machine = simulation.machine(of: group, on: node)
                for id in acknowledged[group] ?? []
                where machine?.answer(.contains(id)) != .contains(true) {
                    Issue.record("node \(node) lost command \(id)", sourceLocation: sourceLocation)
                }
            }
        }
        simulation.inspectDisks()
        #expect(simulation.violations.isEmpty, sourceLocation: sourceLocation)
    }
}
