import KraftEngine
import KraftRouting
import RaftCore

/// The driver: what the production shell does around an engine, in simulated time.
extension Simulation {
    // MARK: Starting

    /// Starts the node's process, again and again if the power fails while it recovers.
    func boot(_ node: SimulatedNode<Machine>) {
        node.hasPower = true
        while node.box == nil, violations.isEmpty {
            node.life += 1
            let skew = options.clock.skewPercent
            node.clock = SimulatedClock(
                offset: bootRandom.number(in: 1_000_000_000...1_000_000_000_000_000),
                skewPercent: bootRandom.number(in: -skew...skew))
            if node.clock.isSkewed { pastCoverage.count(.skewedClocks) }
            var directory = node.disk
            let willCrash = node.life > 1 && bootRandom.chance(bootCrashPermille)
            directory.begin(operationsUntilCrash: willCrash ? bootRandom.below(8) : nil)
            let boot = bootRandom.next()
            let seed = bootRandom.next()
            do throws(KraftError) {
                let engine = try Engine(
                    configuration(of: node), directory: &directory, boot: boot, seed: seed,
                    now: node.clock.instant(at: time))
                node.box = EngineBox(engine)
            } catch {
                guard node.disk.didCrash else {
                    report((.durability, "node \(node.id) can't start: \(error)"))
                    return
                }
                pastCoverage.count(.bootCrashes)
                node.disk.losePower()
                inspectDisk(of: node)
            }
        }
        node.disk.begin(operationsUntilCrash: nil)
        if node.disk.isDecayed { noteDecay(of: node) }
        followDisk(of: node)
        if node.life > 1 { pastCoverage.count(.recoveries) }
        trace(node, 1, UInt64(node.life))
        note("node \(node.id) starts, life \(node.life)")
        for group in groupNames.indices where !node.removedGroups.contains(group) {
            reconcile(group, on: node)
        }
        touch(node)
    }

    var clusterID: String { "simulation" }

    private func configuration(of node: SimulatedNode<Machine>) -> EngineConfiguration {
        let peers = nodes.filter { $0 !== node }.map { other in
            EngineConfiguration.Peer(node: other.id, address: "node-\(other.id)")
        }
        var configuration = EngineConfiguration(
            node: node.id, clusterID: clusterID, peers: peers)
        configuration.timing = options.timing
        configuration.log = options.log
        configuration.limits = options.limits
        configuration.snapshots = options.snapshots
        return configuration
    }

    /// Does on a node what the operators want of a group, as far as it isn't done: an older life is
    /// removed, the wanted one created or opened.
    func reconcile(_ group: Int, on node: SimulatedNode<Machine>) {
        guard let box = node.box, !node.isPaused else { return }
        let wish = wishes[group]
        if let slot = box.engine.slot(of: groupNames[group]) {
            let incarnation = box.engine.status(of: slot).incarnation
            if incarnation < wish.incarnation || !wish.isWanted {
                remove(group, slot, on: node)
            } else if node.replica(of: group) == nil {
                open(group, on: node)
            }
        } else if wish.isWanted, wish.voters.contains(node.id) {
            open(group, on: node)
            // Where it missed a whole life of the group, it began that one only now.
            if let slot = box.engine.slot(of: groupNames[group]),
                box.engine.status(of: slot).incarnation < wish.incarnation
            {
                remove(group, slot, on: node)
            }
        }
    }

    func open(_ group: Int, on node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        let token = begin(.open, on: node, group: group)
        do throws(KraftError) {
            let slot = try box.engine.openGroup(
                groupNames[group], voters: wishes[group].voters, token: token, now: instant(node))
            let track = oracles.track(of: box.engine.id(of: slot))
            if box.engine.status(of: slot).incarnation == wishes[group].incarnation {
                wishes[group].track = track
            }
            node.add(
                Replica(
                    group: group, track: track, slot: slot, machine: makeMachine(groupNames[group]))
            )
            touch(node)
        } catch {
            end(Int(token) - 1, .unknown)
            // A fenced node takes nothing on; its process is about to end. Who was removed from the
            // group waits to be taken in again.
            guard error.code != .unavailable, error.code != .conflict else { return }
            report((.interface, "node \(node.id) can't open \(groupNames[group]): \(error)"))
        }
    }

    /// Removes a life of a group from a node that may not have opened it.
    private func remove(_ group: Int, _ slot: GroupSlot, on node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        let token = begin(.replace, on: node, group: group)
        note("node \(node.id) removes \(groupNames[group])")
        oracles.durability.remove(oracles.track(of: box.engine.id(of: slot)))
        if let replica = node.replica(of: group) { node.forget(replica) }
        trace(node, 53, UInt64(group))
        box.engine.removeGroup(slot, token: token, now: instant(node))
        touch(node)
    }

    // MARK: Turns

    func instant(_ node: SimulatedNode<Machine>) -> Instant { node.clock.instant(at: time) }

    /// Something was said to the engine: its turn must end soon, perhaps after more.
    func touch(_ node: SimulatedNode<Machine>) {
        node.turnEvents += 1
        guard !node.turnIsOpen else { return }
        node.turnIsOpen = true
        let isShared = turnRandom.chance(options.turns.sharePermille)
        let span = isShared ? turnRandom.number(in: options.turns.span) : 0
        schedule(.node(.endTurn, node: node.position, life: node.life), after: span)
    }

    func deliver(_ event: NodeEvent, to node: SimulatedNode<Machine>, life: Int) {
        guard node.life == life, node.isUp else { return }
        guard !node.isPaused else {
            node.inbox.append(event)
            return
        }
        handle(event, node)
    }

    func tick(_ node: SimulatedNode<Machine>, life: Int, number: UInt64) {
        guard node.life == life, node.tickNumber == number else { return }
        node.tickTime = nil
        deliver(.tick, to: node, life: life)
    }

    func resume(_ node: SimulatedNode<Machine>, life: Int) {
        guard node.life == life, node.isUp, let until = node.pausedUntil, until <= time else {
            return
        }
        note("node \(node.id) resumes")
        pastCoverage.count(.resumes)
        node.pausedUntil = nil
        var inbox = node.inbox
        node.inbox.removeAll()
        // A loop may look at its timers before or after its sockets.
        if turnRandom.chance(500) { inbox = inbox.filter(\.isTick) + inbox.filter { !$0.isTick } }
        for event in inbox { deliver(event, to: node, life: life) }
        for group in groupNames.indices where !node.removedGroups.contains(group) {
            reconcile(group, on: node)
        }
    }

    private func handle(_ event: NodeEvent, _ node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        let now = instant(node)
        switch event {
        case .endTurn:
            endTurn(node)
            return
        case .tick:
            trace(node, 2, 0)
            box.engine.step(.tick, now: now)
        case .accepted(let place):
            trace(node, 3, UInt64(place))
            accept(place, node)
        case .connected(let place):
            guard connections[place].ends[0].isKnown else { return }
            trace(node, 4, UInt64(place))
            box.engine.step(.connected(connections[place].ends[0].id), now: now)
        case .sent(let place, let side, let count):
            guard connections[place].ends[side].isKnown else { return }
            trace(node, 5, UInt64(count))
            box.engine.step(.sent(connections[place].ends[side].id, byteCount: count), now: now)
        case .closed(let place, let side):
            guard connections[place].ends[side].isKnown else { return }
            trace(node, 6, UInt64(place))
            forget(place, side: side)
            node.closedInTurn.append(connections[place].ends[side].id)
            box.engine.step(.closed(connections[place].ends[side].id), now: now)
        case .logWritten(let id):
            trace(node, 7, id)
            box.engine.step(.logWritten(id), now: now)
        case .logWriteFailed(let id, let isOutOfSpace):
            trace(node, 8, id)
            box.engine.step(
                .logWriteFailed(id, reason: "simulated failure", isOutOfSpace: isOutOfSpace),
                now: now)
        case .stranger(let step, let id):
            trace(node, 11, id.rawValue)
            guard meet(step, id, node, box) else { return }
        case .segmentPrepared(let number):
            trace(node, 9, number)
            box.engine.step(.segmentPrepared(number: number), now: now)
        case .segmentFailed(let number, let isOutOfSpace):
            trace(node, 12, number)
            box.engine.step(
                .segmentFailed(
                    number: number, reason: "simulated failure", isOutOfSpace: isOutOfSpace),
                now: now)
        case .logReadFailed(let read):
            trace(node, 13, read.id)
            box.engine.step(.logReadFailed(read.id, reason: "simulated failure"), now: now)
        case .snapshotCaptured, .snapshotCaptureFailed, .snapshotRead, .snapshotReadFailed,
            .snapshotWritten, .snapshotWriteFailed, .restored:
            handleSnapshot(event, node, box, now)
        case .logRead(let read):
            trace(node, 10, read.id)
            let bytes = node.disk.read(
                segment: read.segment, offset: read.offset, count: read.count)
            guard let bytes else {
                report((.interface, "node \(node.id) reads outside segment \(read.segment)"))
                return
            }
            bytes.withUnsafeBytes { box.engine.step(.logRead(read.id, $0), now: now) }
        }
        touch(node)
    }

    private func endTurn(_ node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        pastCoverage.count(.turns)
        if node.turnEvents > 1 { pastCoverage.count(.sharedTurns) }
        node.turnEvents = 0
        node.turnIsOpen = false
        let now = instant(node)
        box.engine.endTurn(now: now)
        while let work = box.engine.nextApply() { apply(work, on: node) }
        // The effects are taken out first: a completion may call the engine again.
        swap(&box.engine.effects, &node.spareEffects)
        perform(node.spareEffects, of: node)
        node.spareEffects.removeAll()
        node.closedInTurn.removeAll(keepingCapacity: true)
        guard node.box === box else { return }
        scheduleTick(node)
        observe(node)
        if node.isFenced { stopFenced(node) }
    }

    func scheduleTick(_ node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        guard let due = node.clock.time(of: box.engine.nextWakeUp) else {
            node.tickNumber += 1
            node.tickTime = nil
            return
        }
        let next = max(due, time)
        if let planned = node.tickTime, planned == next { return }
        node.tickNumber += 1
        node.tickTime = next
        let lateness = turnRandom.number(in: options.clock.tickLateness)
        queue.add(
            .tick(node: node.position, life: node.life, number: node.tickNumber),
            at: next + lateness)
    }

    // MARK: Effects

    private func perform(_ effects: borrowing Effects, of node: SimulatedNode<Machine>) {
        for (id, address) in effects.connects { connect(node, id: id, address: address) }
        for (position, send) in effects.sends.enumerated() {
            if effects.sends[..<position].contains(where: { $0.connection == send.connection }) {
                report((.interface, "node \(node.id) sends twice to a connection in one turn"))
            }
            if node.strangers.contains(send.connection) {
                pastCoverage.count(.strangersAnswered)
                continue
            }
            self.send(node, id: send.connection, block: send.block)
        }
        for id in effects.closes {
            if node.strangers.contains(id) {
                pastCoverage.count(.strangersClosed)
                node.strangers.removeAll { $0 == id }
            } else {
                close(node, id: id)
            }
        }
        for write in effects.logWrites { self.write(node, write) }
        for preparation in effects.segmentPreparations { prepare(node, preparation) }
        for number in effects.segmentRemovals { node.disk.remove(number) }
        for read in effects.logReads { self.read(node, read) }
        performSnapshots(effects, of: node)
        for ready in effects.readsReady { answer(node, token: ready.token, slot: ready.slot) }
        for completion in effects.completions {
            complete(node, completion, replies: effects.replyBytes.bytes)
        }
        for notice in effects.notices { hear(notice, from: node) }
    }

    private func hear(_ notice: Notice, from node: SimulatedNode<Machine>) {
        switch notice {
        case .groupCreated(let slot, let name):
            // It may have been removed since.
            guard node.replica(at: slot) == nil, node.box?.engine.slot(of: name) == slot,
                let group = groupNames.firstIndex(of: name)
            else { return }
            // A leader took this node in.
            note("node \(node.id) is taken into \(name)")
            pastCoverage.count(.replicasInvited)
            open(group, on: node)
        case .groupRemoved(let slot, let name, let id, let isFormerMember):
            // The slot may be another replica's already.
            guard let replica = node.replica(at: slot), oracles.ids[replica.track] == id else {
                return
            }
            if isFormerMember {
                note("node \(node.id) is a member of \(name) no more")
                pastCoverage.count(.replicasRemoved)
            }
            node.forget(replica)
        case .fenced(let reason):
            pastCoverage.count(.fencings)
            node.isFenced = true
            note("node \(node.id) is fenced: \(reason)")
        case .connectionRefused(_, let peer, let reason):
            pastCoverage.count(.connectionsRefusedByNode)
            detail("node \(node.id) refuses a connection of node \(peer): \(reason)")
        case .contradicted(let slot):
            guard let status = node.box?.engine.status(of: slot) else { return }
            let what = "a message contradicts what \(status.name) on node \(node.id) knows"
            report((.durability, "\(what), life \(status.incarnation), term \(status.term)"))
        case .snapshotTaken(_, let index, _):
            note("node \(node.id) has a snapshot up to \(index)")
        case .snapshotInstalled(_, let index, _):
            note("node \(node.id) installs a snapshot up to \(index)")
        case .snapshotFailed(_, let reason):
            note("a snapshot fails on node \(node.id): \(reason)")
        case .replicaDamaged(_, let reason):
            note("node \(node.id) lost a group's state: \(reason)")
            if !node.disk.snapshots.contains(where: \.isRotten) {
                report((.durability, "node \(node.id) lost a group's state: \(reason)"))
            }
        case .peerAlive(let peer, let isAlive):
            note("node \(node.id) takes node \(peer) for \(isAlive ? "alive" : "dead")")
        default: detail("node \(node.id): \(notice)")
        }
    }

    func trace(_ node: SimulatedNode<Machine>, _ kind: UInt64, _ value: UInt64) {
        trace.mix(time)
        trace.mix(UInt64(node.position) << 32 | kind)
        trace.mix(value)
    }
}

extension NodeEvent {
    var isTick: Bool {
        if case .tick = self { true } else { false }
    }
}
