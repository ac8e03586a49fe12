import RaftCore

/// Snapshots at bad moments, and followers that need one.
extension FaultInjector {
    func injectIntoSnapshots(_ fault: Fault) {
        let group = someGroup
        switch fault {
        case .snapshotAsked: simulation.snapshot(group, on: someNode)
        case .snapshotsOfAll:
            for group in simulation.groupNames.prefix(64) where random.chance(500) {
                for node in nodes where random.chance(700) {
                    simulation.snapshot(group.string, on: node)
                }
            }
        case .failedCapture:
            let node = someNode
            simulation.failNextCapture(node)
            simulation.snapshot(group, on: node)
        case .failedSnapshotWrite: simulation.failNextSnapshotWrite(someNode)
        case .failedSnapshotRead: simulation.failNextSnapshotRead(someNode)
        default: stayAway(from: group)
        }
    }

    /// A node is away, while the others go on and give their logs up.
    private func stayAway(from group: String) {
        let node = someNode
        let others = nodes.filter { $0 != node }
        guard !others.isEmpty else { return }
        simulation.pastCoverage.count(.longAbsences)
        let isCut = random.chance(500)
        if isCut { simulation.partition([node]) } else { simulation.kill(node) }
        let span = random.number(in: plan.repairTime / 2...plan.repairTime * 2)
        for number in 1...8 {
            let moment = span / 9 * UInt64(number)
            after(moment...moment) { injector in
                let other = injector.random.pick(others)
                injector.crowd(group, other, 8, 0)
                if number > 4 { injector.simulation.snapshot(group, on: other) }
            }
        }
        after(span...span) { injector in
            if isCut { injector.simulation.heal() } else { injector.simulation.restart(node) }
        }
    }
}
