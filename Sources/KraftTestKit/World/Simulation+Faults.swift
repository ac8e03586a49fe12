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
        inspectDisk(of: node)
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

    /// Cuts the node's power just before the next-but-`steps` step of its disk: before the system
    /// takes a write, before a sync, after it, before a segment gets its name, before its folder is
    /// synced, and so on.
    public func crash(_ node: NodeID, atDiskStep steps: Int) {
        nodes[position(of: node)].diskStepsUntilCrash = steps
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
        let requests = openRequests(of: node)
        node.dropProcess()
        for place in requests { end(place, .unknown) }
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

    /// Ends a pause before its time.
    public func resume(_ node: NodeID) {
        let node = nodes[position(of: node)]
        guard node.isPaused else { return }
        node.pausedUntil = time
        resume(node, life: node.life)
    }

    /// Ends all pauses.
    public func resumeAll() {
        for node in nodeIDs { resume(node) }
    }

    /// The node's clock runs so much too fast from now on; negative for too slow.
    public func changeClock(of node: NodeID, skewPercent: Int) {
        let node = nodes[position(of: node)]
        pastCoverage.count(.clockChanges)
        note("the clock of node \(node.id) runs at \(skewPercent) %")
        node.clock.change(at: time, skewPercent: skewPercent)
        node.tickTime = nil
        if node.isUp { scheduleTick(node) }
    }

    // MARK: Disks

    /// Every sync of the node takes 100 to 500 ms for a while.
    public func slowDisk(_ node: NodeID, for span: Nanoseconds) {
        pastCoverage.count(.slowDisks)
        note("the disk of node \(node) is slow")
        nodes[position(of: node)].slowUntil = time + span.rawValue
    }

    /// Nothing that is or will be ordered of the node's disk ends within this time.
    public func hangDisk(_ node: NodeID, for span: Nanoseconds) {
        pastCoverage.count(.diskHangs)
        note("the disk of node \(node) hangs for \(span.rawValue / 1_000_000) ms")
        nodes[position(of: node)].hangsUntil = time + span.rawValue
    }

    /// There is no space on the node's disk for a while: not for new segments and, if it
    /// `refusesWrites`, not for writes into those that are there either.
    public func fillDisk(_ node: NodeID, for span: Nanoseconds, refusesWrites: Bool) {
        pastCoverage.count(.disksFilled)
        note("the disk of node \(node) is full for \(span.rawValue / 1_000_000) ms")
        nodes[position(of: node)].fullUntil = time + span.rawValue
        nodes[position(of: node)].isFullForWrites = refusesWrites
    }

    /// The node's next log write fails, so that it fences itself; its process ends.
    public func failNextWrite(_ node: NodeID, _ failure: WriteFailure) {
        nodes[position(of: node)].nextWriteFailure = failure
    }

    /// The node's next log segment can't be made, so that it fences itself.
    public func failNextPreparation(_ node: NodeID) {
        nodes[position(of: node)].nextPreparationFails = true
    }

    /// The node's next read of its log fails.
    public func failNextRead(_ node: NodeID) {
        nodes[position(of: node)].nextReadFails = true
    }

    /// The node's next snapshot can't be written.
    public func failNextCapture(_ node: NodeID) {
        nodes[position(of: node)].nextCaptureFails = true
    }

    /// The next part of another node's snapshot can't be written.
    public func failNextSnapshotWrite(_ node: NodeID) {
        nodes[position(of: node)].nextSnapshotWriteFails = true
    }

    /// The next part of a snapshot that this node wants to send can't be read.
    public func failNextSnapshotRead(_ node: NodeID) {
        nodes[position(of: node)].nextSnapshotReadFails = true
    }

    /// A bit of the newest snapshot of a group that a node holds changes on its disk. Says whether
    /// there is one.
    @discardableResult
    public func rotSnapshot(of group: String, on node: NodeID) -> Bool {
        let node = nodes[position(of: node)]
        guard let replica = node.replica(of: position(of: group)) else { return false }
        let id = oracles.ids[replica.track]
        let newest = node.disk.snapshots.filter { $0.name.group == id }
            .max { $0.name.position.index < $1.name.position.index }
        let bit = Int(truncatingIfNeeded: diskRandom.next() >> 1)
        guard let newest, node.disk.rot(newest.name, bit: bit) else { return false }
        pastCoverage.count(.snapshotsRotten)
        note("a snapshot of node \(node.id) rots")
        return true
    }

    /// How many snapshots lie on a node's disk, unfinished ones too.
    public func snapshotCount(on node: NodeID) -> Int {
        let disk = nodes[position(of: node)].disk
        return disk.snapshots.count + disk.unfinished.count
    }

    /// No disk is slow, full or hangs any more, and no crash or failure that waits for one comes.
    public func calmDisks() {
        faultEra += 1
        for node in nodes {
            node.slowUntil = 0
            node.fullUntil = 0
            node.hangsUntil = 0
            node.endInWrite = nil
            node.diskStepsUntilCrash = nil
            node.nextWriteFailure = nil
            node.nextPreparationFails = false
            node.nextReadFails = false
            node.nextCaptureFails = false
            node.nextSnapshotReadFails = false
            node.nextSnapshotWriteFails = false
        }
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
        guard links.contains(where: \.isFaulty) else { return }
        pastCoverage.count(.heals)
        note("links heal")
        for place in links.indices { links[place] = SimulatedLink() }
        trace.mix(time)
    }

    /// Mends what is cut; what is slow stays slow.
    public func mend() {
        guard links.contains(where: \.isCut) else { return }
        pastCoverage.count(.heals)
        note("links are whole again")
        for place in links.indices { links[place].isCut = false }
        trace.mix(time)
    }

    /// Lets everything between two nodes take longer, one way.
    public func delay(from: NodeID, to: NodeID, by span: Nanoseconds) {
        guard from != to else { return }
        pastCoverage.count(.slowLinks)
        detail("link from \(from) to \(to) takes \(span.rawValue / 1_000_000) ms more")
        links[position(of: from) * nodes.count + position(of: to)].extraDelay = span.rawValue
    }

    /// Lets everything between two nodes take more and more time, one way, without a gap that would
    /// make a node give the connection up: bytes end up many election timeouts late.
    ///
    /// - `steps`: how often the delay grows by a third of an election timeout.
    public func delayMoreAndMore(from: NodeID, to: NodeID, steps: Int) {
        guard from != to else { return }
        let step = options.timing.electionTimeout.rawValue / 3
        let place = position(of: from) * nodes.count + position(of: to)
        pastCoverage.count(.growingDelays)
        note("link from \(from) to \(to) gets slower and slower")
        for number in 0..<UInt64(max(0, steps)) {
            let era = faultEra
            after(Nanoseconds(number * step * 3 / 2)) { [self] in
                guard faultEra == era else { return }
                links[place].extraDelay = step * (number + 1)
            }
        }
    }

    /// A node reads what another sends only a little at a time (`nil`: as fast as it comes).
    public func slowReader(_ node: NodeID, from sender: NodeID, bytesAtOnce: Int?) {
        guard node != sender else { return }
        if bytesAtOnce != nil { pastCoverage.count(.slowReaders) }
        note("node \(node) reads \(bytesAtOnce.map { "\($0) B at once" } ?? "all") from \(sender)")
        links[position(of: sender) * nodes.count + position(of: node)].readLimitBytes =
            bytesAtOnce ?? .max
    }

    private func openConnections(_ a: NodeID, _ b: NodeID) -> [Int] {
        let (a, b) = (position(of: a), position(of: b))
        return connections.indices.filter { place in
            let ends = connections[place].ends
            return connections[place].state == .open
                && ((ends[0].node, ends[1].node) == (a, b)
                    || (ends[0].node, ends[1].node) == (b, a))
        }
    }

    /// Resets all connections between two nodes; bytes under way are lost.
    ///
    /// - `half`: only one end learns of it before it speaks next.
    public func resetConnections(between a: NodeID, and b: NodeID, half: Bool = false) {
        for place in openConnections(a, b) {
            pastCoverage.count(half ? .halfOpenConnections : .connectionResets)
            note("a connection of nodes \(a) and \(b) is reset\(half ? " at one end" : "")")
            die(place, untold: half ? networkRandom.below(2) : nil)
        }
    }

    /// Resets all connections between two nodes at some byte of what is under way: the bytes before
    /// still arrive.
    public func resetConnectionsAtSomeByte(between a: NodeID, and b: NodeID) {
        for place in openConnections(a, b) {
            pastCoverage.count(.resetsAtSomeByte)
            note("a connection of nodes \(a) and \(b) is reset in the middle of its bytes")
            dieAtSomeByte(place)
        }
    }

    /// Changes a bit of what is under way from one node to another. Says whether anything was.
    @discardableResult
    public func corruptBytes(from: NodeID, to: NodeID) -> Bool {
        for place in openConnections(from, to) {
            let side = connections[place].ends[0].node == position(of: from) ? 0 : 1
            let bit = Int(truncatingIfNeeded: networkRandom.next() >> 1)
            guard connections[place].streams[side].flip(bit: bit) else { continue }
            pastCoverage.count(.bitsFlippedInFlight)
            badStreams += 1
            note("a bit of what node \(from) sends to node \(to) flips")
            return true
        }
        return false
    }

    private func setCut(from: Int, to: Int) {
        note("link from \(from + 1) to \(to + 1) is cut")
        links[from * nodes.count + to].isCut = true
        trace.mix(time ^ UInt64(from * nodes.count + to))
    }

    // MARK: Groups on one node

    /// Removes a group from all its nodes; one that is away does it when it is back. Not a group whose
    /// members were changed: a node that left it would not know of its end, and would begin the next
    /// life under the number of this one.
    public func removeGroup(_ group: String) {
        let place = position(of: group)
        guard wishes[place].isWanted, !wishes[place].isChanged else { return }
        pastCoverage.count(.groupRemovals)
        note("\(group) is to go")
        wishes[place].isWanted = false
        for node in nodes { reconcile(place, on: node) }
    }

    /// Creates a group anew that was removed: a new life, with nothing of the old one in it.
    public func createGroup(_ group: String) {
        let place = position(of: group)
        guard !wishes[place].isWanted else { return }
        pastCoverage.count(.groupsCreatedAnew)
        note("\(group) is to come again")
        wishes[place].isWanted = true
        wishes[place].incarnation += 1
        wishes[place].track = nil
        for node in nodes { reconcile(place, on: node) }
    }

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

    /// A node gives leadership of a group up, without a successor in mind.
    public func stepDown(_ group: String, on node: NodeID) {
        let node = nodes[position(of: node)]
        guard let (box, replica) = usable(node, group: position(of: group)) else { return }
        pastCoverage.count(.stepDowns)
        note("node \(node.id) is told to step down from \(group)")
        trace(node, 45, UInt64(replica.group))
        box.engine.stepDown(replica.slot, now: instant(node))
        touch(node)
    }

    /// A node forces an election of a group. False if it can't.
    @discardableResult
    public func forceElection(_ group: String, on node: NodeID) -> Bool {
        let node = nodes[position(of: node)]
        guard let (box, replica) = usable(node, group: position(of: group)) else { return false }
        pastCoverage.count(.forcedElections)
        note("node \(node.id) forces an election of \(group)")
        trace(node, 46, UInt64(replica.group))
        let isForced = box.engine.forceElection(replica.slot, now: instant(node))
        touch(node)
        return isForced
    }

    /// How readily a node campaigns for a group: 10 is at once, 0 only when it is told to.
    public func setPriority(_ priority: UInt8, of group: String, on node: NodeID) {
        let node = nodes[position(of: node)]
        guard let (box, replica) = usable(node, group: position(of: group)) else { return }
        pastCoverage.count(.prioritiesSet)
        trace(node, 47, UInt64(priority))
        box.engine.setPriority(replica.slot, priority)
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
