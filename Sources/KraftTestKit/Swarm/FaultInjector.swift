import KraftEngine
import RaftCore

/// Does the faults of a plan to a cluster, and undoes them after a while.
final class FaultInjector<Machine: StateMachine> {
    let simulation: Simulation<Machine>
    let plan: Plan
    var random: SeededRandom
    private var isStopped = false
    /// Clients turn to one node for one group: so many writes and reads at once.
    var crowd: (_ group: String, _ node: NodeID, _ writes: Int, _ reads: Int) -> Void = {
        _, _, _, _ in
    }
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

    func after(
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

    var electionTimeout: UInt64 { plan.options.timing.electionTimeout.rawValue }
    var nodes: [NodeID] { simulation.nodeIDs }
    var someNode: NodeID { random.pick(nodes) }
    var someGroup: String { simulation.groupNames[random.below(plan.groups)].string }
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
        case .fullDisk: fillDisks([someNode])
        case .fullDisks: fillDisks(nodes)
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
        case .stepDown:
            let group = someGroup
            simulation.stepDown(group, on: simulation.leader(of: group) ?? someNode)
        case .forcedElection: simulation.forceElection(someGroup, on: someNode)
        case .priorityChange:
            let (group, node) = (someGroup, someNode)
            simulation.setPriority(random.pick(0, 1, 5, 10), of: group, on: node)
            after(10_000_000...plan.repairTime) {
                $0.simulation.setPriority(10, of: group, on: node)
            }
        case .memberChange, .memberSwap, .newMembers, .twoAdmins, .removeAndReturn,
            .learnerPromoted, .crashInChange:
            injectIntoMembers(fault)
        case .snapshotAsked, .snapshotsOfAll, .longAbsence, .failedCapture, .failedSnapshotWrite,
            .failedSnapshotRead:
            injectIntoSnapshots(fault)
        case .logDecay: decay(triesLeft: 100) { $0.simulation.decayLog(of: $0.plan.decayingNode) }
        case .snapshotDecay:
            decay(triesLeft: 100) { $0.simulation.decaySnapshot(of: $0.plan.decayingNode) }
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

    private func fillDisks(_ nodes: [NodeID]) {
        let span = random.number(in: 100_000_000...max(200_000_000, 2 * plan.repairTime))
        let refusesWrites = random.chance(500)
        for node in nodes {
            simulation.fillDisk(node, for: Nanoseconds(span), refusesWrites: refusesWrites)
        }
    }

    // MARK: Nodes

    func end(_ nodes: [NodeID], _ how: (FaultInjector, NodeID) -> Void) {
        for node in nodes { restartLater(node, how) }
    }

    func restartLater(_ node: NodeID, _ how: (FaultInjector, NodeID) -> Void) {
        how(self, node)
        after(1_000_000...plan.repairTime) { injector in
            guard !injector.simulation.isRunning(node) else { return }
            // A process that was only killed may also lose its power before it starts again.
            if injector.random.chance(200) { injector.simulation.crash(node) }
            injector.simulation.restart(node)
        }
    }

    /// A write of several batches is torn; the second cut comes in one of the first writes after the
    /// start: what the first one left must not be believed then.
    private func cutPowerTwice(of node: NodeID) {
        let span = random.number(in: UInt64(10_000_000)...150_000_000)
        simulation.hangDisk(node, for: Nanoseconds(span))
        for _ in 0..<4 { crowd(someGroup, node, 1 + random.below(12), 0) }
        after(span / 2...span) { injector in
            injector.simulation.crashInNextWrite(node)
            injector.cutPowerAgain(of: node, triesLeft: 20)
        }
    }

    private func cutPowerAgain(of node: NodeID, triesLeft: Int) {
        after(5_000_000...30_000_000) { injector in
            guard !injector.simulation.isRunning(node) else {
                if triesLeft > 0 { injector.cutPowerAgain(of: node, triesLeft: triesLeft - 1) }
                return
            }
            let steps = 3 + injector.random.below(4)
            injector.simulation.crash(node, atDiskStep: steps)
            injector.simulation.restart(node)
            injector.after(50_000_000...300_000_000) { $0.simulation.restart(node) }
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

    /// As soon as the group can do without the node, and its disk is quiet.
    private func decay(triesLeft: Int, _ how: @escaping (FaultInjector) -> Bool) {
        let node = plan.decayingNode
        guard nodes.contains(node) else { return }
        if !how(self) {
            if triesLeft > 0, simulation.isRunning(node) {
                after(5_000_000...50_000_000) { $0.decay(triesLeft: triesLeft - 1, how) }
                return
            }
        }
        after(1_000_000...plan.repairTime) { $0.simulation.restart(node) }
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

    /// What followers say reaches their leader later and later. Then the leader can't be heard (or it
    /// is cut off together with one follower), the others go on, and answers from before are still
    /// under way to it: it may count them neither for reads nor, when it leads again, for entries.
    private func deposeLeaderAndReturn() {
        guard nodes.count > 2 else { return }
        let group = someGroup
        guard let leader = simulation.leader(of: group) else { return }
        var followers = simulation.holders(of: group).filter { $0 != leader }
        guard followers.count > 1 else { return }
        random.shuffle(&followers)
        let isHeard = random.chance(500)
        let late = isHeard ? Array(followers.prefix((followers.count + 1) / 2)) : [followers[0]]
        let steps = random.number(in: 8...16)
        for follower in late {
            simulation.delayMoreAndMore(from: follower, to: leader, steps: steps)
        }
        let growth = UInt64(steps) * electionTimeout / 2
        after(growth...growth + electionTimeout) { injector in
            guard injector.simulation.leader(of: group) == leader else { return }
            injector.depose(leader, of: group, isHeard: isHeard, late: late)
        }
    }

    private func depose(_ leader: NodeID, of group: String, isHeard: Bool, late: [NodeID]) {
        simulation.pastCoverage.count(.leadersDeposedWhileAnswersAreUnderWay)
        crowd(group, leader, 0, 4)
        if isHeard {
            // Its own words are lost, while what it hears makes it believe in itself.
            for other in nodes where other != leader { simulation.cut(from: leader, to: other) }
        } else {
            simulation.partition([leader] + late)
        }
        crowd(group, leader, 12, 2)
        let voters = simulation.holders(of: group)
        for number in 1...24 {
            after(UInt64(number) * electionTimeout / 6...UInt64(number) * electionTimeout / 6) {
                let other = $0.random.pick(voters)
                if other != leader { $0.crowd(group, other, 1, 0) }
                $0.crowd(group, leader, 0, 1)
            }
        }
        after(electionTimeout...electionTimeout * (isHeard ? 6 : 3)) { injector in
            injector.simulation.mend()
            injector.transferBack(group, to: leader, left: 8)
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
