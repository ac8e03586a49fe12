import KraftEngine
import RaftCore

/// What a swarm run may do to its cluster.
public enum Fault: Int, CaseIterable, Sendable {
    case powerCut, powerCutOfAll, powerCutInWrite, kill, killOfAll, killInWrite, pause,
        pauseOfLeader
    case isolation, isolationOfLeader, split, oneWayCut, movingRing
    case reset, halfReset, slowLink, slowDisk
    case transfer, groupStop, handOver
}

/// Does faults to a cluster, and undoes them after a while.
final class FaultInjector<Machine: StateMachine> {
    private let simulation: Simulation<Machine>
    private let plan: Plan
    private var random: SeededRandom
    private var isStopped = false

    init(_ simulation: Simulation<Machine>, _ plan: Plan) {
        self.simulation = simulation
        self.plan = plan
        random = SeededRandom(seed: plan.seed, stream: 10)
    }

    func start() { scheduleNext() }
    /// No new faults from now on, and what would end one does nothing any more.
    func stop() { isStopped = true }

    private func scheduleNext() {
        guard !plan.faults.isEmpty else { return }
        after(plan.faultInterval) { injector in
            if let fault = injector.random.element(injector.plan.faults) { injector.inject(fault) }
            injector.scheduleNext()
        }
    }

    private func after(
        _ range: ClosedRange<UInt64>, _ body: @escaping (FaultInjector) -> Void
    ) {
        let span = random.number(in: range)
        simulation.after(Nanoseconds(span)) { [self] in
            if !isStopped { body(self) }
        }
    }

    private var someNode: NodeID {
        NodeID(UInt32(1 + random.below(simulation.nodeIDs.count)))
    }

    private var someGroup: String {
        simulation.groupNames[random.below(simulation.groupNames.count)].string
    }

    private func inject(_ fault: Fault) {
        switch fault {
        case .powerCut: end([someNode]) { $0.simulation.crash($1) }
        case .kill: end([someNode]) { $0.simulation.kill($1) }
        case .powerCutOfAll: end(simulation.nodeIDs) { $0.simulation.crash($1) }
        case .powerCutInWrite: end([someNode]) { $0.simulation.crashInNextWrite($1) }
        case .killInWrite: end([someNode]) { $0.simulation.killInNextWrite($1) }
        case .killOfAll: end(simulation.nodeIDs) { $0.simulation.kill($1) }
        case .pause: pause(someNode)
        case .pauseOfLeader: pause(simulation.leader(of: someGroup) ?? someNode)
        case .isolation: cut { $0.simulation.partition([$0.someNode]) }
        case .isolationOfLeader:
            cut { $0.simulation.partition([$0.simulation.leader(of: $0.someGroup) ?? $0.someNode]) }
        case .split: cut { $0.split() }
        case .oneWayCut: cut { $0.simulation.cut(from: $0.someNode, to: $0.someNode) }
        case .movingRing: moveRing(left: 6)
        case .reset: simulation.resetConnections(between: someNode, and: someNode)
        case .halfReset:
            simulation.resetConnections(between: someNode, and: someNode, half: true)
        case .slowLink:
            simulation.delay(
                from: someNode, to: someNode,
                by: Nanoseconds(random.number(in: UInt64(1_000_000)...300_000_000)))
        case .slowDisk: simulation.slowDisk(someNode, for: .milliseconds(2_000))
        case .transfer:
            let group = someGroup
            simulation.transfer(group, to: someNode, on: someNode)
        case .groupStop: stopGroup()
        case .handOver: shutDown(someNode)
        }
    }

    private func end(_ nodes: [NodeID], _ how: (FaultInjector, NodeID) -> Void) {
        for node in nodes {
            how(self, node)
            after(1_000_000...plan.repairTime) { injector in
                guard !injector.simulation.isRunning(node) else { return }
                // A process that was only killed may also lose its power before it starts again.
                if injector.random.chance(200) { injector.simulation.crash(node) }
                injector.simulation.restart(node)
            }
        }
    }

    /// As an operator stops a node: its groups go to others first, then the process ends.
    private func shutDown(_ node: NodeID) {
        simulation.handOver(node)
        after(1_000_000...500_000_000) { injector in
            injector.end([node]) { $0.simulation.kill($1) }
        }
    }

    private func pause(_ node: NodeID) {
        simulation.pause(
            node, for: Nanoseconds(random.number(in: 10_000_000...plan.repairTime)))
    }

    private func cut(_ how: (FaultInjector) -> Void) {
        how(self)
        after(10_000_000...plan.repairTime) { $0.heal() }
    }

    private func heal() {
        simulation.heal()
        // What hung on a cut link either goes on or was given up meanwhile.
        if random.chance(500) {
            for a in simulation.nodeIDs {
                for b in simulation.nodeIDs where a < b && random.chance(500) {
                    simulation.resetConnections(between: a, and: b)
                }
            }
        }
    }

    private func split() {
        var nodes = simulation.nodeIDs
        random.shuffle(&nodes)
        simulation.partition(Array(nodes.prefix(1 + random.below(nodes.count - 1))))
    }

    /// One pair after the other is cut.
    private func moveRing(left: Int) {
        simulation.heal()
        guard left > 0, simulation.nodeIDs.count > 1 else { return }
        let nodes = simulation.nodeIDs
        let place = left % nodes.count
        simulation.partition(nodes[place], nodes[(place + 1) % nodes.count])
        after(50_000_000...800_000_000) { $0.moveRing(left: left - 1) }
    }

    private func stopGroup() {
        let (group, node) = (someGroup, someNode)
        simulation.stopGroup(group, on: node)
        after(10_000_000...plan.repairTime) { $0.simulation.startGroup(group, on: node) }
    }
}
