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

    /// Whether all voters run and hold the same state of a group, with nothing left to apply.
    public func isInStep(_ group: String) -> Bool {
        let place = position(of: group)
        var first: (index: LogIndex, digest: UInt64)?
        for node in nodes where wishes[place].voters.contains(node.id) {
            guard let look = look(place, node), look.applied == look.commit,
                look.last == look.commit, let machine = node.replica(of: place)?.machine
            else { return false }
            let here = (look.applied, machine.digest())
            if let first, first != here { return false }
            first = here
        }
        return true
    }

    /// Whether all nodes run, and every group that is wanted is open on each of its voters.
    public var isOpen: Bool {
        nodes.allSatisfy { node in
            node.isUp && wishes.indices.allSatisfy { isDone(wishes[$0], $0, on: node) }
        }
    }

    /// Whether a node has done what the operators want of a group.
    private func isDone(_ wish: GroupWish, _ group: Int, on node: SimulatedNode<Machine>) -> Bool {
        guard wish.voters.contains(node.id), !node.removedGroups.contains(group) else {
            return true
        }
        guard wish.isWanted else { return node.replica(of: group) == nil }
        return node.replica(of: group)?.isOpen == true
    }

    /// The oracles' number of the life of a group that a node holds.
    func track(of group: Int, on node: NodeID) -> Int? {
        nodes[position(of: node)].replica(of: group)?.track
    }

    /// The nodes that should hold a group.
    public func voters(of group: String) -> [NodeID] { wishes[position(of: group)].voters }

    /// Requests that should have ended by their deadline (and a second of grace), but have not.
    public var overdueRequests: Int {
        requests.count { request in
            !request.isEnded && request.due < .max && request.due + 1_000_000_000 < time
                && nodes[request.node].life == request.life && !nodes[request.node].isPaused
        }
    }
}
