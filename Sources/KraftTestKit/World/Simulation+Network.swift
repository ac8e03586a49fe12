import KraftEngine
import RaftCore

/// Streams of bytes between nodes. Delivery is in order and loses nothing while a connection lives;
/// what a cut link holds back arrives after the cut, unless the connection is reset.
extension Simulation {
    /// How often something that waits for a cut link or a paused node tries again.
    private var pollDelay: UInt64 { networkRandom.number(in: 10_000_000...50_000_000) }

    private func link(from: Int, to: Int) -> SimulatedLink { links[from * nodes.count + to] }

    private func isCut(between a: Int, and b: Int) -> Bool {
        link(from: a, to: b).isCut || link(from: b, to: a).isCut
    }

    private func delay(from: Int, to: Int) -> UInt64 {
        var delay = networkRandom.number(in: options.network.delay)
        if networkRandom.chance(options.network.spikePermille) {
            pastCoverage.count(.latencySpikes)
            delay *= networkRandom.number(in: UInt64(10)...100)
        }
        return delay + link(from: from, to: to).extraDelay
    }

    // MARK: Dialling

    func connect(_ node: SimulatedNode<Machine>, id: ConnectionID, address: String) {
        trace(node, 20, id.rawValue)
        guard let other = nodes.first(where: { "node-\($0.id)" == address }) else {
            report((.interface, "node \(node.id) dials \(address), which it wasn't told"))
            return
        }
        let ends = [node, other].map { node in
            SimulatedConnection.End(
                node: node.position, life: node.life, id: id, isKnown: false)
        }
        connections.append(
            SimulatedConnection(
                ends: ends, dialDeadline: time + options.network.connectTimeout.rawValue))
        let place = connections.count - 1
        connections[place].ends[0].isKnown = true
        node.connections.append((id, place, 0))
        schedule(.dial(connection: place), after: delay(from: node.position, to: other.position))
    }

    func dial(_ place: Int) {
        let (dialler, target) = (connections[place].ends[0], nodes[connections[place].ends[1].node])
        guard dialler.isKnown, connections[place].state == .dialling else { return }
        guard !isCut(between: dialler.node, and: target.position), target.hasPower else {
            if time >= connections[place].dialDeadline {
                die(place)
            } else {
                schedule(.dial(connection: place), after: pollDelay)
            }
            return
        }
        guard target.isUp, !networkRandom.chance(options.network.refusePermille) else {
            pastCoverage.count(.connectionsRefused)
            die(place)
            return
        }
        let isOverOld = connections[..<place].contains { old in
            (old.state == .open || old.state == .dying)
                && old.ends.allSatisfy { $0.node == dialler.node || $0.node == target.position }
                && old.streams.contains { $0.bytesInFlight > 0 }
        }
        if isOverOld { pastCoverage.count(.redialsOverOldBytes) }
        connections[place].state = .open
        connections[place].wasOpen = true
        connections[place].ends[1] = SimulatedConnection.End(
            node: target.position, life: target.life,
            id: ConnectionID(rawValue: target.nextInboundID), isKnown: true)
        target.connections.append((connections[place].ends[1].id, place, 1))
        target.nextInboundID += 2
        deliver(.accepted(connection: place), to: target, life: target.life)
        let delay = delay(from: target.position, to: dialler.node)
        connections[place].streams[1].lastArrival = time + delay
        schedule(
            .node(.connected(connection: place), node: dialler.node, life: dialler.life),
            after: delay)
    }

    func accept(_ place: Int, _ node: SimulatedNode<Machine>) {
        guard connections[place].ends[1].isKnown, let box = node.box else { return }
        box.engine.step(.accepted(connections[place].ends[1].id), now: instant(node))
    }

    // MARK: Sending

    func send(_ node: SimulatedNode<Machine>, id: ConnectionID, block: Block) {
        let hash = TraceHash.of(block.bytes)
        trace(node, 21, hash)
        pastCoverage.count(.messagesSent)
        guard let (_, place, side) = node.connections.first(where: { $0.id == id }) else {
            guard !node.closedInTurn.contains(id) else { return }
            report((.interface, "node \(node.id) sends to connection \(id.rawValue): not its own"))
            return
        }
        let other = connections[place].ends[1 - side].node + 1
        detail("node \(node.id) sends \(block.count) bytes to node \(other)")
        connections[place].ends[side].queue.append((block, hash))
        pump(place, side: side)
    }

    private func pump(_ place: Int, side: Int) {
        let node = nodes[connections[place].ends[side].node]
        if connections[place].state == .dead || connections[place].state == .dying {
            // A reset that this end learns of because it speaks.
            connections[place].ends[side].queue.removeAll()
            if connections[place].ends[side].isKnown {
                schedule(.closeNotice(connection: place, side: side), after: pollDelay)
            }
            return
        }
        guard connections[place].state == .open else { return }
        while !connections[place].ends[side].queue.isEmpty,
            connections[place].streams[side].bytesInFlight < options.network.socketBufferBytes
        {
            let (block, hash) = connections[place].ends[side].queue.removeFirst()
            guard TraceHash.of(block.bytes) == hash else {
                report((.interface, "node \(node.id) changed a block that it had sent"))
                return
            }
            launch(Array(block.bytes), place, side: side)
            let event = NodeEvent.sent(connection: place, side: side, byteCount: block.count)
            schedule(
                .node(event, node: node.position, life: node.life),
                after: networkRandom.number(in: 1_000...50_000))
        }
        if connections[place].ends[side].isClosing, connections[place].ends[side].queue.isEmpty {
            connections[place].ends[side].isClosing = false
            launch(SimulatedConnection.Portion(bytes: [], arrival: 0, isEnd: true), place, side)
        }
    }

    /// Sends bytes on their way in portions, as a network would cut them.
    private func launch(_ bytes: [UInt8], _ place: Int, side: Int) {
        var start = 0
        while start < bytes.count {
            let rest = bytes.count - start
            let size =
                switch options.network.portions {
                case .whole: rest
                case .mixed: networkRandom.chance(600) ? rest : 1 + networkRandom.below(rest)
                case .tiny: max(rest / 16, 1 + networkRandom.below(min(rest, 64)))
                }
            let portion = SimulatedConnection.Portion(
                bytes: Array(bytes[start..<start + size]), arrival: 0)
            launch(portion, place, side)
            start += size
        }
    }

    private func launch(_ portion: SimulatedConnection.Portion, _ place: Int, _ side: Int) {
        let ends = connections[place].ends
        let last = connections[place].streams[side].lastArrival
        let arrival = max(last, time + delay(from: ends[side].node, to: ends[1 - side].node))
        var portion = portion
        portion.arrival = arrival
        portion.sent = time
        connections[place].streams[side].lastArrival = arrival
        connections[place].streams[side].bytesInFlight += portion.bytes.count
        connections[place].streams[side].portions.append(portion)
        queue.add(.readable(connection: place, stream: side, isPoll: false), at: arrival)
    }

    // MARK: Receiving

    func readable(_ place: Int, stream side: Int, isPoll: Bool) {
        if isPoll { connections[place].streams[side].isPolling = false }
        guard connections[place].state != .dead, !connections[place].streams[side].isEmpty else {
            return
        }
        // What comes in between two waits of a slow reader waits with the rest.
        guard isPoll || !connections[place].streams[side].isPolling else { return }
        let (sender, receiver) = (connections[place].ends[side], connections[place].ends[1 - side])
        let node = nodes[receiver.node]
        let mustWait =
            link(from: sender.node, to: receiver.node).isCut || !node.hasPower || node.isPaused
        guard !mustWait else {
            poll(place, side)
            return
        }
        let limit = link(from: sender.node, to: receiver.node).readLimitBytes
        let (bytes, isEnd) = take(from: place, side, limit: limit)
        guard !bytes.isEmpty || isEnd else { return }
        if bytes.count >= limit { poll(place, side) }
        guard receiver.isKnown else {
            // Nobody reads there any more: the sender is told by a reset.
            if !bytes.isEmpty { pastCoverage.count(.bytesForNobody) }
            if !isEnd { die(place) }
            return
        }
        if !bytes.isEmpty { receive(bytes, place, side: 1 - side) }
        if isEnd {
            deliver(.closed(connection: place, side: 1 - side), to: node, life: receiver.life)
        }
        if sender.isKnown || sender.isClosing { pump(place, side: side) }
    }

    /// Looks at a stream again after a while.
    private func poll(_ place: Int, _ side: Int) {
        guard !connections[place].streams[side].isPolling else { return }
        connections[place].streams[side].isPolling = true
        schedule(.readable(connection: place, stream: side, isPoll: true), after: pollDelay)
    }

    /// Takes what has arrived of a stream, up to a limit.
    private func take(from place: Int, _ side: Int, limit: Int) -> (bytes: [UInt8], isEnd: Bool) {
        var bytes: [UInt8] = []
        var isEnd = false
        while !connections[place].streams[side].isEmpty, bytes.count < limit {
            let head = connections[place].streams[side].head
            guard connections[place].streams[side].portions[head].arrival <= time else { break }
            let portion = connections[place].streams[side].removeFirst()
            isEnd = portion.isEnd
            let lateness = time - portion.sent
            if lateness > 2 * options.timing.electionTimeout.rawValue {
                pastCoverage.count(.bytesVeryLate)
            }
            if bytes.isEmpty { bytes = portion.bytes } else { bytes += portion.bytes }
        }
        return (bytes, isEnd)
    }

    private func receive(_ bytes: [UInt8], _ place: Int, side: Int) {
        let end = connections[place].ends[side]
        let node = nodes[end.node]
        guard let box = node.box else { return }
        trace(node, 22, UInt64(bytes.count))
        bytes.withUnsafeBytes { box.engine.step(.received(end.id, $0), now: instant(node)) }
        touch(node)
    }

    // MARK: Ending

    /// Closes by order of the engine, behind what it has sent.
    func close(_ node: SimulatedNode<Machine>, id: ConnectionID) {
        trace(node, 23, id.rawValue)
        guard let (_, place, side) = node.connections.first(where: { $0.id == id }) else { return }
        forget(place, side: side)
        guard connections[place].state == .open else {
            connections[place].state = .dead
            return
        }
        connections[place].ends[side].isClosing = true
        pump(place, side: side)
    }

    /// This end takes part no more.
    func forget(_ place: Int, side: Int) {
        connections[place].ends[side].isKnown = false
        nodes[connections[place].ends[side].node].connections.removeAll { $0.connection == place }
    }

    /// Kills a connection: bytes under way are lost, both ends learn of it sooner or later; the
    /// one that isn't told when it speaks next.
    func die(_ place: Int, untold: Int? = nil) {
        connections[place].state = .dead
        for side in 0...1 {
            let lost = connections[place].streams[side].truncate(keep: 0)
            if lost > 0 { pastCoverage.count(.bytesLostInFlight) }
            connections[place].ends[side].queue.removeAll()
            guard connections[place].ends[side].isKnown, side != untold else { continue }
            let ends = connections[place].ends
            schedule(
                .closeNotice(connection: place, side: side),
                after: delay(from: ends[1 - side].node, to: ends[side].node))
        }
    }

    /// Resets a connection at some byte: what was sent before still arrives, then the reset. Each
    /// end learns of it when it has read that far; whoever speaks meanwhile, by that.
    func dieAtSomeByte(_ place: Int) {
        connections[place].state = .dying
        for side in 0...1 {
            let keep = networkRandom.below(connections[place].streams[side].bytesInFlight + 1)
            let lost = connections[place].streams[side].truncate(keepBytes: keep)
            if lost > 0 { pastCoverage.count(.bytesLostInFlight) }
            connections[place].ends[side].queue.removeAll()
            connections[place].ends[side].isClosing = false
            launch(SimulatedConnection.Portion(bytes: [], arrival: 0, isEnd: true), place, side)
        }
    }

    func closeNotice(_ place: Int, side: Int) {
        let (end, other) = (connections[place].ends[side], connections[place].ends[1 - side])
        guard end.isKnown else { return }
        // An end behind a cut link doesn't learn it: half open. A dialler gives up by itself.
        guard !connections[place].wasOpen || !link(from: other.node, to: end.node).isCut else {
            schedule(.closeNotice(connection: place, side: side), after: pollDelay)
            return
        }
        deliver(.closed(connection: place, side: side), to: nodes[end.node], life: end.life)
    }

    /// A process ended. `isSudden`: with the power, so that nobody tells its peers.
    func dropConnections(of node: SimulatedNode<Machine>, isSudden: Bool) {
        for (_, place, side) in node.connections {
            connections[place].ends[side].isKnown = false
            connections[place].ends[side].queue.removeAll()
            guard connections[place].state == .open else {
                connections[place].state = .dead
                continue
            }
            _ = connections[place].streams[1 - side].truncate(keep: 0)
            let stream = connections[place].streams[side]
            let keep = networkRandom.below(stream.portions.count - stream.head + 1)
            let lost = connections[place].streams[side].truncate(keep: keep)
            if lost > 0 { pastCoverage.count(.bytesLostInFlight) }
            if !isSudden {
                launch(.init(bytes: [], arrival: 0, isEnd: true), place, side)
            }
        }
        node.connections.removeAll()
    }
}
