import RaftCore

/// Changes of who is a member, as administrators might make them, at bad moments too.
extension FaultInjector {
    func injectIntoMembers(_ fault: Fault) {
        // A change to members that are down and damaged can never end.
        guard !simulation.hasDecayed else { return }
        let group = someGroup
        switch fault {
        case .memberChange: ask(for: smallChange(of: group), of: group)
        case .memberSwap: ask(for: swap(in: group), of: group)
        case .newMembers: ask(for: newMembers(of: group), of: group)
        case .twoAdmins:
            ask(for: smallChange(of: group), of: group)
            ask(for: newMembers(of: group), of: group)
            after(0...20_000_000) { $0.ask(for: $0.swap(in: group), of: group) }
        case .removeAndReturn: removeAndReturn(in: group)
        case .learnerPromoted: promote(in: group)
        default: crashInChange(of: group)
        }
    }

    /// On some node: whoever it is passes it on.
    private func ask(for change: MembershipChange, of group: String) {
        let node = someNode
        guard !simulation.hasDecayed else { return }
        simulation.changeMembers(of: group, change, on: node)
    }

    // MARK: Changes

    private func members(of group: String, _ kinds: MemberKind...) -> [NodeID] {
        simulation.kinds(of: group).filter { kinds.contains($0.kind) }.map(\.node)
    }

    private func outsiders(of group: String) -> [NodeID] {
        let inside = simulation.members(of: group)
        return nodes.filter { !inside.contains($0) }
    }

    private var someKind: MemberKind { random.pick(.voter, .voter, .voter, .learner, .witness) }

    /// One added, removed, promoted or demoted. It may turn out not to fit.
    private func smallChange(of group: String) -> MembershipChange {
        switch random.below(4) {
        case 0:
            guard let node = random.element(outsiders(of: group)) else { break }
            return MembershipChange(add: [.init(node, someKind)])
        case 1:
            guard let node = random.element(members(of: group, .learner)) else { break }
            return MembershipChange(add: [.init(node, .voter)])
        case 2:
            guard let node = random.element(members(of: group, .voter)) else { break }
            return MembershipChange(add: [.init(node, .learner)])
        default: break
        }
        return MembershipChange(remove: [random.pick(simulation.members(of: group))])
    }

    private func swap(in group: String) -> MembershipChange {
        guard let new = random.element(outsiders(of: group)) else { return smallChange(of: group) }
        return MembershipChange(
            add: [.init(new, random.chance(800) ? .voter : someKind)],
            remove: [random.pick(simulation.members(of: group))])
    }

    /// Any number of nodes come and go at once.
    private func newMembers(of group: String) -> MembershipChange {
        var all = nodes
        random.shuffle(&all)
        let voters = Array(all.prefix(1 + random.below(all.count)))
        let now = simulation.members(of: group)
        var change = MembershipChange()
        for node in voters where !now.contains(node) {
            change.add.append(.init(node, random.chance(850) ? .voter : someKind))
        }
        for node in members(of: group, .learner) where voters.contains(node) {
            change.add.append(.init(node, .voter))
        }
        change.remove = now.filter { !voters.contains($0) }
        return change
    }

    private func removeAndReturn(in group: String) {
        let node = random.pick(simulation.members(of: group))
        ask(for: MembershipChange(remove: [node]), of: group)
        if random.chance(400) { restartLater(node) { $0.simulation.crash($1) } }
        for _ in 0..<4 {
            after(20_000_000...plan.repairTime) {
                guard $0.outsiders(of: group).contains(node) else { return }
                $0.ask(for: MembershipChange(add: [.init(node, .voter)]), of: group)
            }
        }
    }

    private func promote(in group: String) {
        guard let node = random.element(outsiders(of: group)) else { return }
        ask(for: MembershipChange(add: [.init(node, .learner)]), of: group)
        for _ in 0..<4 {
            after(10_000_000...plan.repairTime) {
                guard $0.members(of: group, .learner).contains(node) else { return }
                $0.ask(for: MembershipChange(add: [.init(node, .voter)]), of: group)
            }
        }
    }

    /// The leader, or somebody else, dies at some moment of a change; then perhaps the next leader.
    private func crashInChange(of group: String) {
        ask(for: random.chance(500) ? newMembers(of: group) : swap(in: group), of: group)
        for _ in 0..<1 + random.below(3) {
            after(0...electionTimeout) { injector in
                let leader = injector.simulation.leader(of: group)
                let node =
                    injector.random.chance(700) ? leader ?? injector.someNode : injector.someNode
                injector.simulation.pastCoverage.count(.crashesInChange)
                switch injector.random.below(4) {
                case 0: injector.restartLater(node) { $0.simulation.kill($1) }
                case 1: injector.restartLater(node) { $0.simulation.crashInNextWrite($1) }
                case 2: injector.simulation.stepDown(group, on: node)
                default: injector.restartLater(node) { $0.simulation.crash($1) }
                }
            }
        }
    }
}
