import KraftEngine
import RaftCore

/// What a test asks of a running simulation.
extension Simulation {
    /// The node that leads a group in the highest term, as far as running nodes say; a leader that
    /// is cut off or paused may still believe in itself.
    public func leader(of group: String) -> NodeID? {
        let group = position(of: group)
        var best: (term: Term, node: NodeID)?
        for node in nodes {
            guard let look = look(group, node), look.role == .leader else { continue }
            if best.map({ look.term > $0.term }) ?? true { best = (look.term, node.id) }
        }
        return best?.node
    }

    func look(_ group: Int, _ node: SimulatedNode<Machine>) -> GroupLook? {
        guard let box = node.box, let replica = node.replica(of: group), replica.isOpen else {
            return nil
        }
        return EngineView.look(box.engine, replica.slot)
    }

    /// A group as a running node sees it; nil where it isn't open.
    public func status(of group: String, on node: NodeID) -> GroupStatus? {
        let node = nodes[position(of: node)]
        guard let box = node.box, let replica = node.replica(of: position(of: group)),
            replica.isOpen
        else { return nil }
        return box.engine.status(of: replica.slot)
    }

    /// The other nodes, as a running node sees them; none while it doesn't run.
    public func peers(of node: NodeID) -> [PeerStatus] {
        let node = nodes[position(of: node)]
        return node.box?.engine.peerStatus(now: instant(node)) ?? []
    }

    public func metrics(on node: NodeID) -> NodeMetrics? {
        nodes[position(of: node)].box?.engine.nodeMetrics
    }

    /// A group's state machine on a running node, as it is now.
    public func machine(of group: String, on node: NodeID) -> Machine? {
        nodes[position(of: node)].replica(of: position(of: group))?.machine
    }

    /// Whether all members run and those that apply hold the same state of a group, its sessions
    /// too, with nothing left to apply.
    public func isInStep(_ group: String) -> Bool {
        let place = position(of: group)
        var first: (index: LogIndex, digest: UInt64, sessions: UInt64)?
        for id in members(of: group) {
            let node = nodes[position(of: id)]
            guard let look = look(place, node), look.last == look.commit else { return false }
            if look.role == .witness { continue }
            guard look.applied == look.commit, let replica = node.replica(of: place),
                let sessions = node.box?.engine.sessionDigest(of: replica.slot)
            else { return false }
            let here = (look.applied, replica.machine.digest(), sessions)
            if let first, first != here { return false }
            first = here
        }
        return true
    }

    /// How many sessions of a group are open, as far as a running node has applied.
    public func sessionCount(of group: String, on node: NodeID) -> Int {
        let node = nodes[position(of: node)]
        guard let replica = node.replica(of: position(of: group)) else { return 0 }
        return node.box?.engine.sessionCount(of: replica.slot) ?? 0
    }

    /// Whether all nodes run, and every group that is wanted is open on each of its members.
    public var isOpen: Bool {
        nodes.allSatisfy { node in
            node.isUp && wishes.indices.allSatisfy { isDone(wishes[$0], $0, on: node) }
        }
    }

    /// Whether a node has done what the operators want of a group.
    private func isDone(_ wish: GroupWish, _ group: Int, on node: SimulatedNode<Machine>) -> Bool {
        guard !node.removedGroups.contains(group) else { return true }
        guard wish.isWanted else { return node.replica(of: group) == nil }
        guard let membership = membership(of: group) else {
            return !wish.voters.contains(node.id) || node.replica(of: group)?.isOpen == true
        }
        return membership.position(of: node.id) == nil || node.replica(of: group)?.isOpen == true
    }

    /// The oracles' number of the life of a group that a node holds.
    func track(of group: Int, on node: NodeID) -> Int? {
        nodes[position(of: node)].replica(of: group)?.track
    }

    /// The newest members of a group's present life that are known for committed; nil before any.
    func membership(of group: Int) -> Membership? {
        guard let track = wishes[group].track, memberships.indices.contains(track) else {
            return nil
        }
        return memberships[track]?.membership
    }

    /// The nodes that hold a group, as far as is known for committed.
    public func members(of group: String) -> [NodeID] {
        let place = position(of: group)
        return membership(of: place)?.members.map(\.node) ?? wishes[place].voters
    }

    /// Those of them that have its state: all but witnesses.
    public func holders(of group: String) -> [NodeID] {
        let place = position(of: group)
        guard let membership = membership(of: place) else { return wishes[place].voters }
        return membership.members.indices.filter { membership.kind(of: $0) != .witness }
            .map { membership.members[$0].node }
    }

    /// The members of a group and what each does, as far as is known for committed.
    public func kinds(of group: String) -> [(node: NodeID, kind: MemberKind)] {
        let place = position(of: group)
        guard let membership = membership(of: place) else {
            return wishes[place].voters.map { ($0, .voter) }
        }
        return membership.members.indices.map {
            (membership.members[$0].node, membership.kind(of: $0))
        }
    }

    /// Whether a change of members is under way, as any running member sees it.
    public func isChanging(_ group: String) -> Bool {
        let place = position(of: group)
        return members(of: group).contains { node in
            guard let look = look(place, nodes[position(of: node)]) else { return false }
            return look.configurations.count > 1
                || look.configurations.contains { $0.membership.goal != nil }
        }
    }

    /// Nodes that hold a group, though they are no members of it.
    public func strays(of group: String) -> [NodeID] {
        let (place, members) = (position(of: group), members(of: group))
        return nodes.filter { !members.contains($0.id) && glance(place, $0) != nil }.map(\.id)
    }

    private func glance(_ group: Int, _ node: SimulatedNode<Machine>) -> Engine.GroupGlance? {
        guard let box = node.box, let slot = box.engine.slot(of: groupNames[group]) else {
            return nil
        }
        return box.engine.glance(at: slot)
    }

    /// Requests that should have ended by their deadline (and a second of grace), but have not.
    public var overdueRequests: Int {
        requests.count { request in
            !request.isEnded && request.due < .max && request.due + 1_000_000_000 < time
                && nodes[request.node].life == request.life && !nodes[request.node].isPaused
        }
    }
}
