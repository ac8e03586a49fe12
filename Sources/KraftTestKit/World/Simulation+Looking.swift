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

    public func metrics(on node: NodeID) -> NodeMetrics? {
        nodes[position(of: node)].box?.engine.nodeMetrics
    }

    /// A group's state machine on a running node, as it is now.
    public func machine(of group: String, on node: NodeID) -> Machine? {
        nodes[position(of: node)].replica(of: position(of: group))?.machine
    }

    /// Whether all nodes run and hold the same state of a group, its sessions too, with nothing left
    /// to apply.
    public func isInStep(_ group: String) -> Bool {
        let place = position(of: group)
        var first: (index: LogIndex, digest: UInt64, sessions: UInt64)?
        for node in nodes {
            guard let look = look(place, node), look.applied == look.commit,
                look.last == look.commit, let replica = node.replica(of: place),
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

    /// Whether every group is open on every node.
    public var isOpen: Bool {
        nodes.allSatisfy { node in
            node.isUp
                && groupNames.indices.allSatisfy { group in
                    node.removedGroups.contains(group)
                        || node.replica(of: group)?.isOpen == true
                }
        }
    }

    /// Requests that should have ended by their deadline (and a second of grace), but have not.
    public var overdueRequests: Int {
        requests.count { request in
            !request.isEnded && request.due < .max && request.due + 1_000_000_000 < time
                && nodes[request.node].life == request.life && !nodes[request.node].isPaused
        }
    }
}
