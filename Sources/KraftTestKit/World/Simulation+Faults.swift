import KraftEngine
import RaftCore

/// What can be done to the cluster.
extension Simulation {
    // MARK: Nodes

    /// Cuts the node's power: what was not synced may be lost, in part or whole, and its peers
    /// aren't told. Does nothing to a node without power.
    public func crash(_ node: NodeID) {
        let node = nodes[position(of: node)]
        guard node.hasPower else { return }
        pastCoverage.count(.powerCuts)
        note("node \(node.id) loses power")
        end(node, isSudden: true)
        node.hasPower = false
        node.disk.losePower()
        trace(node, 40, 0)
        inspectDisks()
    }

    /// Kills the node's process (`kill -9`): what it wrote stays in the page cache.
    public func kill(_ node: NodeID) {
        let node = nodes[position(of: node)]
        guard node.isUp else { return }
        pastCoverage.count(.kills)
        note("node \(node.id) is killed")
        end(node, isSudden: false)
        trace(node, 41, 0)
    }

    /// Cuts the node's power at some moment of the next log write that it orders.
    public func crashInNextWrite(_ node: NodeID) {
        nodes[position(of: node)].endInWrite = .powerCut
    }

    /// Kills the node's process at some moment of the next log write that it orders.
    public func killInNextWrite(_ node: NodeID) {
        nodes[position(of: node)].endInWrite = .kill
    }

    /// Starts a node that doesn't run; it recovers from its disk.
    public func restart(_ node: NodeID) {
        let node = nodes[position(of: node)]
        guard !node.isUp else { return }
        pastCoverage.count(.restarts)
        boot(node)
    }

    /// Whether the node's process runs (perhaps paused).
    public func isRunning(_ node: NodeID) -> Bool { nodes[position(of: node)].isUp }

    private func end(_ node: SimulatedNode<Machine>, isSudden: Bool) {
        guard node.isUp else { return }
        abandonDisk(of: node)
        collectCounters(of: node)
        dropConnections(of: node, isSudden: isSudden)
        node.dropProcess()
        abandonRequests(of: node)
    }

    /// A node whose disk failed ends by itself.
    func stopFenced(_ node: SimulatedNode<Machine>) { kill(node.id) }

    /// The node handles nothing for a while (`kill -STOP`), then all that waited at once. Its
    /// clock goes on.
    public func pause(_ node: NodeID, for span: Nanoseconds) {
        let node = nodes[position(of: node)]
        guard node.isUp, !node.isPaused else { return }
        pastCoverage.count(.pauses)
        note("node \(node.id) pauses for \(span.rawValue / 1_000_000) ms")
        trace(node, 42, span.rawValue)
        node.pausedUntil = time + span.rawValue
        schedule(.resume(node: node.position, life: node.life), after: span.rawValue)
    }

    /// Ends all pauses.
    public func resumeAll() {
        for node in nodes where node.isPaused {
            node.pausedUntil = time
            resume(node, life: node.life)
        }
    }

    /// No disk is slow any more, and no crash that waits for a write comes.
    public func calmDisks() {
        faultEra += 1
        for node in nodes {
            node.slowUntil = 0
            node.endInWrite = nil
        }
    }

    /// Every sync of the node takes 100 to 500 ms for a while.
    public func slowDisk(_ node: NodeID, for span: Nanoseconds) {
        nodes[position(of: node)].slowUntil = time + span.rawValue
    }

    // MARK: Links

    /// Cuts one direction: what is sent arrives after `heal`, if the connection lives that long.
    public func cut(from: NodeID, to: NodeID) {
        pastCoverage.count(.oneWayCuts)
        setCut(from: position(of: from), to: position(of: to))
    }

    /// Cuts both directions between two nodes.
    public func partition(_ a: NodeID, _ b: NodeID) {
        pastCoverage.count(.partitions)
        setCut(from: position(of: a), to: position(of: b))
        setCut(from: position(of: b), to: position(of: a))
    }

    /// Cuts all links between these nodes and the others.
    public func partition(_ some: [NodeID]) {
        pastCoverage.count(.partitions)
        for a in nodes where some.contains(a.id) {
            for b in nodes where !some.contains(b.id) {
                setCut(from: a.position, to: b.position)
                setCut(from: b.position, to: a.position)
            }
        }
    }

    /// Mends all links.
    public func heal() {
        guard links.contains(where: { $0.isCut || $0.extraDelay > 0 }) else { return }
        pastCoverage.count(.heals)
        note("links heal")
        for place in links.indices { links[place] = SimulatedLink() }
        trace.mix(time)
    }

    /// Lets everything between two nodes take longer, one way.
    public func delay(from: NodeID, to: NodeID, by span: Nanoseconds) {
        links[position(of: from) * nodes.count + position(of: to)].extraDelay = span.rawValue
    }

    /// Resets all connections between two nodes; bytes under way are lost.
    ///
    /// - `half`: only one end learns of it before it speaks next.
    public func resetConnections(between a: NodeID, and b: NodeID, half: Bool = false) {
        let (a, b) = (position(of: a), position(of: b))
        for place in connections.indices where connections[place].state == .open {
            let ends = connections[place].ends
            guard (ends[0].node, ends[1].node) == (a, b) || (ends[0].node, ends[1].node) == (b, a)
            else { continue }
            pastCoverage.count(.connectionResets)
            die(place, untold: half ? networkRandom.below(2) : nil)
        }
        note("connections of nodes \(a + 1) and \(b + 1) are reset")
    }

    private func setCut(from: Int, to: Int) {
        note("link from \(from + 1) to \(to + 1) is cut")
        links[from * nodes.count + to].isCut = true
        trace.mix(time ^ UInt64(from * nodes.count + to))
    }

    // MARK: Groups on one node

    public func stopGroup(_ group: String, on node: NodeID) {
        stopGroup(position(of: group), on: nodes[position(of: node)])
    }

    public func startGroup(_ group: String, on node: NodeID) {
        startGroup(position(of: group), on: nodes[position(of: node)])
    }

    func stopGroup(_ group: Int, on node: SimulatedNode<Machine>) {
        guard let box = node.box, !node.isPaused, let replica = node.replica(of: group),
            replica.isOpen, !replica.isStopped
        else { return }
        pastCoverage.count(.groupStops)
        note("group \(groupNames[group]) stops on node \(node.id)")
        trace(node, 43, UInt64(group))
        replica.isStopped = true
        box.engine.stopGroup(replica.slot, now: instant(node))
        touch(node)
    }

    func startGroup(_ group: Int, on node: SimulatedNode<Machine>) {
        guard let box = node.box, !node.isPaused, let replica = node.replica(of: group),
            replica.isOpen, replica.isStopped
        else { return }
        pastCoverage.count(.groupStarts)
        note("group \(groupNames[group]) starts on node \(node.id)")
        trace(node, 44, UInt64(group))
        replica.isStopped = false
        box.engine.startGroup(replica.slot, now: instant(node))
        touch(node)
    }

    /// Gives this node's leaderships away, as before a shutdown; it leads nothing any more until
    /// it is started anew.
    public func handOver(_ node: NodeID) {
        let node = nodes[position(of: node)]
        guard let box = node.box, !node.isPaused else { return }
        node.isHandingOver = true
        box.engine.handOver(now: instant(node))
        touch(node)
    }

    /// Whether the node was told to hand over, and hasn't been started anew since.
    public func isHandingOver(_ node: NodeID) -> Bool { nodes[position(of: node)].isHandingOver }
}
