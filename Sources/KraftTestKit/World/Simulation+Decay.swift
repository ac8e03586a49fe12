import KraftEngine
import RaftCore

/// Logs and snapshots that rot where they lie.
///
/// One node of a simulation at most ever has damage, and only while all others run and each group
/// can do without it: then every group must be whole again after a while.
extension Simulation {
    /// Cuts a node's power, and spoils its log before it starts again. Says whether that was done.
    ///
    /// - `isSevere`: a whole segment or much of it, so that it can't be without consequence.
    /// - `evenIfNeeded`: though some group can't do without the node.
    @discardableResult
    public func decayLog(
        of id: NodeID, isSevere: Bool = false, evenIfNeeded: Bool = false
    ) -> Bool {
        let node = nodes[position(of: id)]
        guard evenIfNeeded || canSpare(node), node.pendingWrite == nil, node.disk.isSettled else {
            return false
        }
        var kinds = SimulatedDisk.Decay.allCases
        if isSevere { kinds.removeAll { $0 == .flippedBit || $0 == .zeroedSectors } }
        diskRandom.shuffle(&kinds)
        crash(id)
        guard violations.isEmpty, let kind = kinds.first(where: { node.disk.decay($0) }) else {
            return false
        }
        decayingNode = node.position
        pastCoverage.count(.logsDecayed)
        note("the log of node \(id) decays: \(kind)")
        trace(node, 48, 0)
        return true
    }

    /// Kills a node's process, and spoils one of its snapshots. Says whether that was done.
    @discardableResult
    public func decaySnapshot(of id: NodeID) -> Bool {
        let node = nodes[position(of: id)]
        guard canSpare(node), let snapshot = diskRandom.element(node.disk.snapshots) else {
            return false
        }
        kill(id)
        guard node.disk.rot(snapshot.name, bit: Int(truncatingIfNeeded: diskRandom.next() >> 1))
        else { return false }
        decayingNode = node.position
        pastCoverage.count(.snapshotsRotten)
        note("a snapshot of node \(id) decays")
        trace(node, 49, 0)
        return true
    }

    /// Whether a group is whole: no replica of it is damaged, or waits to vote again.
    public func isHealed(_ group: String) -> Bool {
        let place = position(of: group)
        guard membership(of: place)?.returning.isEmpty ?? true else { return false }
        return nodes.allSatisfy { node in
            guard let box = node.box, let slot = box.engine.slot(of: groupNames[place]) else {
                return true
            }
            return !EngineView.look(box.engine, slot).isDamaged
        }
    }

    /// Whether damage was done that may not be repaired yet.
    public var hasDecayed: Bool {
        guard let decayingNode else { return false }
        return !nodes[decayingNode].isUp || !groupNames.allSatisfy { isHealed($0.string) }
    }

    private func canSpare(_ node: SimulatedNode<Machine>) -> Bool {
        guard decayingNode ?? node.position == node.position, nodes.count > 2,
            nodes.allSatisfy({ $0.isUp && !$0.isPaused && !$0.isFenced }),
            !requests.contains(where: { $0.kind == .change && !$0.isEnded })
        else { return false }
        return nodes.allSatisfy { other in
            guard let box = other.box else { return false }
            return box.engine.slots.allSatisfy { slot in
                !box.engine.isChangeWanted(slot)
                    && box.engine.glance(at: slot).configurations.allSatisfy {
                        canSpare(node.id, $0.membership)
                    }
            }
        }
    }

    private func canSpare(_ node: NodeID, _ membership: Membership) -> Bool {
        guard let position = membership.position(of: node) else { return true }
        let sets = [membership.voters, membership.outgoing, membership.goal?.voters ?? MemberSet()]
        return sets.allSatisfy { voters in
            guard !voters.isEmpty else { return true }
            var rest = voters
            rest.remove(position)
            return rest.count > voters.count / 2
                && rest.intersection(membership.witnesses).count < rest.count / 2 + 1
        }
    }

    /// A node has started on a log that had decayed.
    func noteDecay(of node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        node.disk.wentOn(at: box.engine.lifeStart)
        if box.engine.isForgetful { pastCoverage.count(.decaysNoticed) }
        let glances = box.engine.slots.map { box.engine.glance(at: $0) }
        let ids = oracles.ids
        report(
            oracles.durability.damage(node: node.position) { track in
                glances.first { $0.id == ids[track] }.map {
                    (
                        $0.replica.id, $0.state == .damaged, $0.lastIndex,
                        HardState(term: $0.term, vote: $0.vote)
                    )
                }
            })
    }
}
