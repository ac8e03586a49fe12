import KraftEngine
import RaftCore

/// Does the faults of a plan to a cluster, and undoes them after a while.
final class FaultInjector<Machine: StateMachine> {
    private let simulation: Simulation<Machine>
    private let plan: Plan
    private var random: SeededRandom
    private var isStopped = false
    private(set) var injected = [UInt64](repeating: 0, count: Fault.allCases.count)

    init(_ simulation: Simulation<Machine>, _ plan: Plan) {
        self.simulation = simulation
        self.plan = plan
        random = SeededRandom(seed: plan.seed, stream: 10)
    }

    func start() {
        for planned in plan.faults {
            simulation.after(Nanoseconds(planned.time)) { [self] in
                guard !isStopped else { return }
                random = SeededRandom(seed: plan.seed, stream: 10_000 + UInt64(planned.number))
                injected[planned.fault.rawValue] += 1
                simulation.note("fault \(planned.number): \(planned.fault)")
                inject(planned.fault)
            }
        }
    }

    /// No new faults from now on, and what would end one does nothing any more.
    func stop() { isStopped = true }

    private func after(
        _ range: ClosedRange<UInt64>, _ body: @escaping (FaultInjector) -> Void
    ) {
        let span = random.number(in: range)
        // What comes later must not depend on what other faults have drawn meanwhile.
        let seed = random.next()
        simulation.after(Nanoseconds(span)) { [self] in
            guard !isStopped else { return }
            random = SeededRandom(seed: seed)
            body(self)
        }
    }

    private var electionTimeout: UInt64 { plan.options.timing.electionTimeout.rawValue }
    private var nodes: [NodeID] { simulation.nodeIDs }
    private var someNode: NodeID { random.pick(nodes) }
    private var someGroup: String { simulation.groupNames[random.below(plan.groups)].string }
    private var someLeader: NodeID { simulation.leader(of: someGroup) ?? someNode }

    /// Two different nodes; nil when there is one only.
    private func somePair() -> (NodeID, NodeID)? {
        guard nodes.count > 1 else { return nil }
        var all = nodes
        random.shuffle(&all)
        return (all[0], all[1])
    }

    private func inject(_ fault: Fault) {
        switch fault {
        case .powerCut: end([someNode]) { $0.simulation.crash($1) }
        case .powerCutOfAll: end(nodes) { $0.simulation.crash($1) }
        case .powerCutInWrite: end([someNode]) { $0.simulation.crashInNextWrite($1) }
        case .powerCutBetweenDiskSteps:
            let steps = random.below(12)
            end([someNode]) { $0.simulation.crash($1, atDiskStep: steps) }
        case .powerCutTwice: cutPowerTwice(of: someNode)
        case .kill: end([someNode]) { $0.simulation.kill($1) }
        case .killOfAll: end(nodes) { $0.simulation.kill($1) }
        case .killOfHalfDuringTransfer: killHalfDuringTransfer()
        case .killInWrite: end([someNode]) { $0.simulation.killInNextWrite($1) }
        case .pause: pause(someNode)
        case .pauseOfLeader: pause(someLeader)
        case .clockChange:
            let most = max(1, plan.options.clock.skewPercent)
            simulation.changeClock(of: someNode, skewPercent: random.number(in: -most...most))
        case .slowDisk: simulation.slowDisk(someNode, for: .milliseconds(2_000))
        case .hangingDisk:
            let span = random.number(in: 10_000_000...plan.repairTime)
            simulation.hangDisk(someNode, for: Nanoseconds(span))
        case .failedWrite:
            let failure = random.pick(WriteFailure.allCases)
            restartLater(someNode) { $0.simulation.failNextWrite($1, failure) }
        case .failedPreparation:
            restartLater(someNode) { $0.simulation.failNextPreparation($1) }
        case .failedRead: restartLater(someNode) { $0.simulation.failNextRead($1) }
        case .transfer: simulation.transfer(someGroup, to: someNode, on: someNode)
        case .transferStorm:
            for group in simulation.groupNames.prefix(64) where random.chance(500) {
                simulation.transfer(group.string, to: someNode, on: someNode)
            }
        case .groupStop: stopGroup()
        case .handOver: shutDown(someNode)
        case .groupAnew: replaceGroup()
        default: injectIntoLinks(fault)
        }
    }

    private func injectIntoLinks(_ fault: Fault) {
        switch fault {
        case .isolation: cut { $0.simulation.partition([$0.someNode]) }
        case .isolationOfLeader: cut { $0.simulation.partition([$0.someLeader]) }
        case .split: cut { $0.split() }
        case .movingRing: moveRing(left: 6)
        case .deposedLeaderReturns: deposeLeaderAndReturn()
        case .stranger: simulation.meetStranger(random.pick(StrangerConduct.allCases), at: someNode)
        default:
            guard let (a, b) = somePair() else { return }
            injectIntoLink(fault, a, b)
        }
    }

    private func injectIntoLink(_ fault: Fault, _ a: NodeID, _ b: NodeID) {
        switch fault {
        case .oneWayCut: cut { $0.simulation.cut(from: a, to: b) }
        case .pairCut: cut { $0.simulation.partition(a, b) }
        case .reset: simulation.resetConnections(between: a, and: b)
        case .halfReset: simulation.resetConnections(between: a, and: b, half: true)
        case .resetAtSomeByte: simulation.resetConnectionsAtSomeByte(between: a, and: b)
        case .flippedBit: simulation.corruptBytes(from: a, to: b)
        case .slowLink:
            let span = random.number(in: UInt64(1_000_000)...electionTimeout)
            simulation.delay(from: a, to: b, by: Nanoseconds(span))
        case .growingDelay:
            simulation.delayMoreAndMore(from: a, to: b, steps: random.number(in: 3...30))
        case .slowReader:
            simulation.slowReader(a, from: b, bytesAtOnce: random.pick(64, 1_024, 8_192))
            after(10_000_000...plan.repairTime) {
                $0.simulation.slowReader(a, from: b, bytesAtOnce: nil)
            }
        default: break
        }
    }

    // MARK: Nodes

    private func end(_ nodes: [NodeID], _ how: (FaultInjector, NodeID) -> Void) {
        for node in nodes { restartLater(node, how) }
    }

    private func restartLater(_ node: NodeID, _ how: (FaultInjector, NodeID) -> Void) {
        how(self, node)
        after(1_000_000...plan.repairTime) { injector in
            guard !injector.simulation.isRunning(node) else { return }
            // A process that was only killed may also lose its power before it starts again.
            if injector.random.chance(200) { injector.simulation.crash(node) }
            injector.simulation.restart(node)
        }
    }

    /// The second cut comes in one of the first writes after the start: what the first one left
    /// torn must not be believed then.
    private func cutPowerTwice(of node: NodeID) {
        simulation.crashInNextWrite(node)
        after(10_000_000...300_000_000) { injector in
            injector.simulation.crash(node)
            injector.simulation.restart(node)
            let steps = 1 + injector.random.below(12)
            injector.restartLater(node) { $0.simulation.crash($1, atDiskStep: steps) }
        }
    }

    private func killHalfDuringTransfer() {
        let group = someGroup
        simulation.transfer(group, to: someNode, on: simulation.leader(of: group) ?? someNode)
        after(0...20_000_000) { injector in
            var all = injector.nodes
            injector.random.shuffle(&all)
            injector.end(Array(all.prefix((all.count + 1) / 2))) { $0.simulation.kill($1) }
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

    // MARK: Links

    private func cut(_ how: (FaultInjector) -> Void) {
        how(self)
        after(10_000_000...plan.repairTime) { $0.heal() }
    }

    private func heal() {
        simulation.heal()
        // What hung on a cut link either goes on or was given up meanwhile.
        if random.chance(500) {
            for a in nodes {
                for b in nodes where a < b && random.chance(500) {
                    simulation.resetConnections(between: a, and: b)
                }
            }
        }
    }

    private func split() {
        var all = nodes
        random.shuffle(&all)
        simulation.partition(Array(all.prefix(1 + random.below(all.count - 1))))
    }

    /// One pair after the other is cut.
    private func moveRing(left: Int) {
        simulation.heal()
        guard left > 0, nodes.count > 1 else { return }
        let place = left % nodes.count
        simulation.partition(nodes[place], nodes[(place + 1) % nodes.count])
        after(50_000_000...800_000_000) { $0.moveRing(left: left - 1) }
    }

    /// A leader and one follower are cut off together, and what the follower says comes late. The
    /// others go on; then the old leader leads again, while answers from its first term are still
    /// under way to it.
    private func deposeLeaderAndReturn() {
        guard nodes.count > 2 else { return }
        let group = someGroup
        guard let leader = simulation.leader(of: group),
            let follower = simulation.voters(of: group).first(where: { $0 != leader })
        else { return }
        simulation.delayMoreAndMore(from: follower, to: leader, steps: random.number(in: 6...18))
        after(electionTimeout * 2...electionTimeout * 8) { injector in
            let isOneWay = injector.random.chance(400)
            if isOneWay {
                // The follower stops hearing the leader, which goes on to hear the follower.
                for other in injector.nodes where other != leader {
                    injector.simulation.cut(from: leader, to: other)
                }
            } else {
                injector.simulation.partition([leader, follower])
            }
            injector.after(injector.electionTimeout...injector.electionTimeout * 3) { injector in
                injector.simulation.mend()
                injector.transferBack(group, to: leader, left: 8)
            }
        }
    }

    private func transferBack(_ group: String, to node: NodeID, left: Int) {
        guard left > 0, simulation.leader(of: group) != node else { return }
        simulation.transfer(
            group, to: node, on: simulation.leader(of: group) ?? node,
            timeout: Nanoseconds(electionTimeout))
        after(electionTimeout / 8...electionTimeout / 2) {
            $0.transferBack(group, to: node, left: left - 1)
        }
    }

    // MARK: Groups

    private func stopGroup() {
        let (group, node) = (someGroup, someNode)
        simulation.stopGroup(group, on: node)
        after(10_000_000...plan.repairTime) { $0.simulation.startGroup(group, on: node) }
    }

    private func replaceGroup() {
        let group = someGroup
        simulation.removeGroup(group)
        after(0...plan.repairTime) { $0.simulation.createGroup(group) }
    }
}
