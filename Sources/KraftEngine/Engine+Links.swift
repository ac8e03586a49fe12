import KraftRouting
import RaftCore

/// Connections, the handshake, and which nodes are alive.
///
/// Liveness is kept per pair of nodes: followers take it that a leader leads on while its node's
/// beats come and the connection has no gap. After a gap the leader tells them anew.
extension Engine {
    func peerPlace(of node: NodeID) -> Int? { peers.firstIndex { $0.node == node } }

    private func peerPlace(of connection: ConnectionID) -> Int? {
        peers.firstIndex { peer in
            if case .down = peer.link { return false }
            return peer.connection == connection
        }
    }

    private var timing: EngineConfiguration.Timing { configuration.timing }

    /// After a connection to a leader's node is lost: how long it has to come back.
    private var linkGrace: Nanoseconds { Nanoseconds(timing.electionTimeout.rawValue / 4) }

    // MARK: Time

    mutating func tickLinks(now: Instant) {
        for place in peers.indices { tick(place, now: now) }
        tickJoining(now: now)
        tickSnapshots(now: now)
        strangers.removeAll { stranger in
            guard now >= stranger.since + configuration.timing.handshakeTimeout else {
                return false
            }
            effects.closes.append(stranger.connection)
            return true
        }
        updateNodeDeadline()
    }

    private mutating func tick(_ place: Int, now: Instant) {
        switch peers[place].link {
        case .down:
            if isToDial(place), now >= peers[place].nextDial { dial(place, now: now) }
        case .dialling, .greeting:
            if now >= peers[place].linkSince + timing.handshakeTimeout {
                dropLink(place, now: now)
            }
        case .ready
        where peers[place].hasLeft && now >= peers[place].linkSince + timing.beatInterval:
            // It has been told by now.
            peers[place].isUntold = false
            dropLink(place, now: now)
        case .ready:
            if let heard = peers[place].lastHeard, now >= heard + timing.electionTimeout {
                // Half open, or the other side hangs: a new connection will tell.
                dropLink(place, now: now)
            } else if peers[place].reader.heldCount > 0,
                now >= peers[place].frameSince + timing.handshakeTimeout
            {
                // Perhaps its length came in wrong, and nobody will ever send that much.
                dropLink(place, now: now)
            } else if now >= peers[place].nextBeat {
                sendBeat(place, now: now)
            }
        }
        if peers[place].isAlive, let heard = peers[place].lastHeard,
            now >= heard + timing.electionTimeout
        {
            peerDied(place, now: now)
        }
    }

    /// The node with the lower id dials.
    private func isToDial(_ place: Int) -> Bool {
        configuration.node < peers[place].node && isIntroduced
            && (!peers[place].hasLeft || isToBeTold(peers[place]))
    }

    /// It has left the cluster, and may not know.
    private func isToBeTold(_ peer: Peer) -> Bool {
        peer.isUntold && !peer.address.isEmpty && !hasLeftCluster
    }

    mutating func updateNodeDeadline() {
        var deadline = Instant.never
        if !joining.isDone, isIntroduced { deadline = joining.nextTry }
        deadline = min(deadline, diskDeadline)
        for (place, peer) in peers.enumerated() {
            switch peer.link {
            case .down:
                if isToDial(place) { deadline = min(deadline, peer.nextDial) }
            case .dialling, .greeting:
                deadline = min(deadline, peer.linkSince + timing.handshakeTimeout)
            case .ready: deadline = min(deadline, peer.nextBeat)
            }
            if peer.isAlive, let heard = peer.lastHeard {
                deadline = min(deadline, heard + timing.electionTimeout)
            }
        }
        for stranger in strangers {
            deadline = min(deadline, stranger.since + timing.handshakeTimeout)
        }
        nodeDeadline = min(deadline, snapshotDeadline)
    }

    private mutating func sendBeat(_ place: Int, now: Instant) {
        peers[place].nextBeat = now + timing.beatInterval
        peers[place].beatSequence += 1
        peers[place].beatTimes[Int(peers[place].beatSequence % 16)] = now
        var out = FieldWriter(reserve(NodeMessage.Beat.size, to: place), .beat)
        out.put(peers[place].beatSequence)
        out.put(peers[place].lastBeatHeard)
        out.put(UInt32(clamping: groupsLed))
        out.put(UInt32(clamping: groups.count - freeSlots.count))
        out.put(bootRecord.leaseMilliseconds)
        out.put(UInt8(isBurdened ? 1 : 0))
    }

    /// A beat binds its receiver, and its echo says since when the sender is bound.
    mutating func onBeat(_ place: Int, _ beat: NodeMessage.Beat, now: Instant) {
        peers[place].lastBeatHeard = beat.sequence
        peers[place].groupsLed = Int(beat.groupsLed)
        peers[place].groups = Int(beat.groups)
        peers[place].isBurdened = beat.isBurdened
        if timing.leaseDuration > .zero {
            peers[place].promisedUntil = now + .milliseconds(UInt64(bootRecord.leaseMilliseconds))
        }
        let sequence = peers[place].beatSequence
        // The promise was made when the beat came there, and that was after it was sent here.
        guard beat.leaseMilliseconds > 0, beat.echo > 0, beat.echo <= sequence,
            sequence - beat.echo < 16
        else { return }
        let sent = peers[place].beatTimes[Int(beat.echo % 16)]
        let until = sent + configuration.leaseUse(of: beat.leaseMilliseconds)
        peers[place].supportedUntil = max(peers[place].supportedUntil, until)
    }

    /// What this node has promised to the leader's node holds, whoever wants a vote.
    mutating func keepPromise(_ slot: Int) {
        guard groups[slot].raft.isLeaderSupported,
            let place = peerPlace(of: groups[slot].raft.leader)
        else { return }
        groups[slot].raft.holdVotes(until: peers[place].promisedUntil)
    }

    /// What this node has promised the leader's node holds on.
    mutating func suspectLeader(of slot: Int, after delay: Nanoseconds, now: Instant) {
        let leader = groups[slot].raft.leader
        let promised = peerPlace(of: leader).map { peers[$0].promisedUntil } ?? .zero
        groups[slot].raft.leaderSuspected(now: now, after: delay, promisedUntil: promised)
        touch(slot)
    }

    /// Nothing was heard of the node for an election timeout.
    private mutating func peerDied(_ place: Int, now: Instant) {
        let node = peers[place].node
        peers[place].isAlive = false
        effects.notices.append(.peerAlive(node, false))
        for slot in groups.indices where isLive[slot] {
            if groups[slot].raft.isLeader {
                groups[slot].raft.checkQuorum(
                    alive: aliveMembers(of: slot), now: now, effects: &raftEffects)
                if !groups[slot].raft.isLeader { rare.leadersResigned += 1 }
                absorb(slot, now: now)
            } else if groups[slot].raft.leader == node {
                suspectLeader(of: slot, after: .zero, now: now)
            }
        }
    }

    func aliveMembers(of slot: Int) -> MemberSet {
        var alive = MemberSet()
        let members = groups[slot].raft.membership.members
        // Who is damaged says nothing that counts.
        let damaged = groups[slot].damagedMembers
        for position in members.indices
        where peers.contains(where: { $0.node == members[position].node && $0.isAlive })
            && !damaged.contains(members[position])
        {
            alive.insert(position)
        }
        return alive
    }

    // MARK: Dialling

    private mutating func dial(_ place: Int, now: Instant) {
        let connection = ConnectionID(rawValue: nextConnection)
        nextConnection += 2
        peers[place].connection = connection
        peers[place].link = .dialling
        peers[place].linkSince = now
        effects.connects.append((connection, peers[place].address))
    }

    mutating func connected(_ connection: ConnectionID, now: Instant) {
        joinConnected(connection)
        if bulkConnected(connection, now: now) { return }
        guard !isFenced, let place = peerPlace(of: connection),
            case .dialling = peers[place].link
        else { return }
        peers[place].link = .greeting
        peers[place].linkSince = now
        sendHello(place)
        updateNodeDeadline()
    }

    private mutating func sendHello(_ place: Int) {
        let hello = Hello(
            versions: Hello.versions, clusterID: configuration.clusterID,
            node: configuration.node, expected: peers[place].node, boot: boot,
            store: bootRecord.store, lives: bootRecord.lives, known: peers[place].identity,
            address: configuration.address, info: info
        ).encoded()
        let target = reserve(hello.count, to: place)
        hello.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        peers[place].writer?.seal(.hello, format: wire)
    }

    /// Has peers know something else of this node (`EngineConfiguration.info`): those that are
    /// connected are told at once. Throws `configuration` for more than 256 bytes.
    public mutating func setInfo(_ info: String) throws(KraftError) {
        guard info.utf8.count <= Hello.infoLimit else {
            throw KraftError(.configuration, "info: must have at most \(Hello.infoLimit) bytes")
        }
        guard info != self.info else { return }
        self.info = info
        var writer = ByteWriter()
        writer.write(MessageTag.info.rawValue)
        writer.writeString(info)
        for place in peers.indices where peers[place].isReady { send(writer, to: place) }
    }

    // MARK: Accepting

    mutating func accepted(_ connection: ConnectionID, now: Instant) {
        guard !isFenced else {
            effects.closes.append(connection)
            return
        }
        // An honest hello comes within a round trip: who has been silent longest must go.
        if strangers.count >= configuration.limits.pendingHandshakes {
            effects.closes.append(strangers.removeFirst().connection)
        }
        strangers.append(Stranger(connection: connection, since: now))
        updateNodeDeadline()
    }

    /// The first frame of an inbound connection: who is it?
    private mutating func greeted(
        _ connection: ConnectionID, _ kind: FrameKind, _ body: UnsafeRawBufferPointer,
        now: Instant
    ) {
        // Before this life is on the disk nobody may count on it.
        guard isIntroduced else {
            effects.closes.append(connection)
            return
        }
        if kind == .join { return joinAsked(connection, body, now: now) }
        guard kind == .hello, let hello = Hello.decode(body) else {
            refuse(connection, peer: .none, "its first frame is not a hello", tell: false)
            return
        }
        if hello.isBulk { return bulkAccepted(connection, hello, now: now) }
        var objection = hello.objection(
            node: configuration.node, clusterID: configuration.clusterID,
            isPeer: { node in
                peers.contains { $0.node == node && (!$0.hasLeft || isToBeTold($0)) }
                    || isWaitingToJoin
            })
        if objection == nil, let place = peerPlace(of: hello.node) {
            objection = peers[place].identity.objection(hello)
            if objection != nil { rare.identitiesRefused += 1 }
        }
        if objection == nil,
            !hello.known.isOurs(
                store: bootRecord.store, lives: boots, oldest: oldestLife,
                newest: bootRecord.lives)
        {
            objection = PeerIdentity.olderCopy(configuration.node)
            rare.identitiesRefused += 1
        }
        if let objection {
            refuse(connection, peer: hello.node, objection, tell: true)
            return
        }
        if peerPlace(of: hello.node) == nil { meet(hello, now: now) }
        guard let place = peerPlace(of: hello.node) else { return }
        guard hello.node < configuration.node else {
            refuse(
                connection, peer: hello.node,
                "the node with the lower id dials: \(configuration.node)", tell: true)
            return
        }
        if peers[place].isReady {
            let isSilent =
                now >= (peers[place].lastHeard ?? .zero)
                + Nanoseconds(3 * timing.beatInterval.rawValue)
            guard isSilent || peers[place].boot == hello.boot else {
                refuse(
                    connection, peer: hello.node,
                    "another process is connected as node \(hello.node)", tell: true)
                return
            }
            rare.connectionsReplaced += 1
            dropLink(place, now: now)
        }
        peers[place].connection = connection
        peers[place].linkSince = now
        sendHello(place)
        linkReady(place, hello, now: now)
    }

    /// A new node that knows nobody is called by the cluster that it was taken into.
    private var isWaitingToJoin: Bool {
        peers.isEmpty && !hasLeftCluster && groups.count == freeSlots.count
    }

    private mutating func meet(_ hello: Hello, now: Instant) {
        onRoster(
            [RosterEntry(node: hello.node, address: hello.address, generation: 0)], now: now)
    }

    /// Closes an inbound connection, after telling it why if that may help somebody.
    mutating func refuse(
        _ connection: ConnectionID, peer: NodeID, _ reason: String, tell: Bool
    ) {
        counters.handshakesRefused += 1
        if tell {
            sendFrame(.refusal, Array(reason.utf8.prefix(512)), on: connection)
        }
        effects.closes.append(connection)
        effects.notices.append(
            .connectionRefused(connection, peer: peer, reason: reason))
    }

    // MARK: Up and down

    private mutating func linkReady(_ place: Int, _ hello: Hello, now: Instant) {
        let node = peers[place].node
        peers[place].linkSince = now
        peers[place].link = .ready
        peers[place].boot = hello.boot
        peers[place].info = hello.info
        peers[place].ownAddress = hello.address
        peers[place].newIdentity = PeerIdentity(
            store: hello.store, lives: hello.lives, boot: hello.boot)
        joining.isDone = true
        peers[place].dialPause = timing.reconnectMinimum
        peers[place].nextBeat = now
        peers[place].lastBeatHeard = 0
        heard(place, now: now)
        sendRoster(to: place)
        effects.notices.append(.peerConnected(node))
        forgetDamages(of: node)
        tellDamages(to: place)
        for slot in groups.indices where isLive[slot] && groups[slot].raft.isLeader {
            groups[slot].raft.peerConnected(node)
            touch(slot)
        }
        touchWaiting()
        fetchesReady(from: node, now: now)
        updateNodeDeadline()
    }

    private mutating func heard(_ place: Int, now: Instant) {
        peers[place].lastHeard = now
        if !peers[place].isAlive {
            peers[place].isAlive = true
            effects.notices.append(.peerAlive(peers[place].node, true))
        }
    }

    /// Closes the connection from this side.
    mutating func dropLink(_ place: Int, now: Instant) {
        effects.closes.append(peers[place].connection)
        linkLost(place, now: now)
    }

    mutating func closed(_ connection: ConnectionID, now: Instant) {
        strangers.removeAll { $0.connection == connection }
        joinClosed(connection, now: now)
        bulkClosed(connection, now: now)
        if let place = peerPlace(of: connection) { linkLost(place, now: now) }
        updateNodeDeadline()
    }

    private mutating func linkLost(_ place: Int, now: Instant) {
        let node = peers[place].node
        let wasReady = peers[place].isReady
        let dialPause = peers[place].dialPause
        peers[place].link = .down
        peers[place].reader = FrameReader()
        peers[place].writer = nil
        peers[place].queued.removeAll()
        peers[place].queuedBytes = 0
        peers[place].supportedUntil = .zero
        peers[place].isBurdened = false
        peers[place].newIdentity = nil
        dropBulk(place, now: now)
        // Who has left only asks now and then whether it was taken in again; and it is only told now and
        // then that it has left.
        let pause = hasLeftCluster || peers[place].hasLeft ? .seconds(10) : dialPause
        let jitter = Nanoseconds(dice.next() % (pause.rawValue / 2 + 1))
        peers[place].nextDial = now + pause + jitter
        peers[place].dialPause = Nanoseconds(
            min(pause.rawValue * 2, timing.reconnectMaximum.rawValue))
        updateNodeDeadline()
        guard wasReady else { return }
        effects.notices.append(.peerDisconnected(node))
        forwardsLost(place, now: now)
        for slot in groups.indices where isLive[slot] {
            questionsLost(to: node, slot)
            changesLost(to: node, slot)
            if groups[slot].raft.isLeader {
                groups[slot].raft.peerDisconnected(node)
                touch(slot)
            } else if groups[slot].raft.leader == node {
                suspectLeader(of: slot, after: linkGrace, now: now)
            }
        }
    }

    // MARK: Bytes

    mutating func received(
        _ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        guard !isFenced else { return }
        counters.bytesReceived += UInt64(bytes.count)
        if joinReceived(connection, bytes, now: now) { return }
        if bulkReceived(connection, bytes, now: now) { return }
        if let place = peerPlace(of: connection) {
            receivedFromPeer(place, connection, bytes, now: now)
        } else if let place = strangers.firstIndex(where: { $0.connection == connection }) {
            receivedFromStranger(place, bytes, now: now)
        }
    }

    private mutating func receivedFromPeer(
        _ place: Int, _ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        // Part of a frame is a sign of life too: a large one may take long.
        if peers[place].isReady { heard(place, now: now) }
        var reader = FrameReader()
        swap(&reader, &peers[place].reader)
        if reader.heldCount == 0 { peers[place].frameSince = now }
        do throws(FrameReader.Bad) {
            try reader.receive(bytes, format: wire) { kind, body in
                peers[place].frameSince = now
                onFrame(place, kind, body, now: now)
                return isCurrent(connection, at: place)
            }
            if isCurrent(connection, at: place) { peers[place].reader = reader }
        } catch {
            badFrame(place, error.reason, now: now)
        }
    }

    private func isCurrent(_ connection: ConnectionID, at place: Int) -> Bool {
        if case .down = peers[place].link { return false }
        return peers[place].connection == connection && !isFenced
    }

    private mutating func receivedFromStranger(
        _ place: Int, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        var stranger = strangers.remove(at: place)
        let format = wire
        var rest: [UInt8] = []
        var first: (FrameKind, [UInt8])?
        do throws(FrameReader.Bad) {
            // A hello is small, and nobody may send anything before it is answered.
            try stranger.reader.receive(bytes, format: format) { kind, body in
                first = (kind, Array(body.prefix(4_096)))
                return false
            }
            if stranger.reader.heldCount > 4_096, first == nil {
                throw FrameReader.Bad(reason: "its first frame is too long")
            }
        } catch {
            counters.badFrames += 1
            refuse(stranger.connection, peer: .none, error.reason, tell: false)
            return
        }
        guard let (kind, body) = first else {
            strangers.append(stranger)
            return
        }
        rest = stranger.reader.takeHeld()
        body.withUnsafeBytes { greeted(stranger.connection, kind, $0, now: now) }
        if !rest.isEmpty {
            rest.withUnsafeBytes { received(stranger.connection, $0, now: now) }
        }
    }

    private mutating func onFrame(
        _ place: Int, _ kind: FrameKind, _ body: UnsafeRawBufferPointer, now: Instant
    ) {
        counters.framesReceived += 1
        switch (peers[place].link, kind) {
        case (.greeting, .hello):
            guard let hello = Hello.decode(body) else {
                return badFrame(place, "its hello is malformed", now: now)
            }
            var objection = hello.objection(
                node: configuration.node, clusterID: configuration.clusterID,
                isPeer: { _ in true })
            if hello.node != peers[place].node, objection == nil {
                objection = "dialled node \(peers[place].node), but node \(hello.node) answered"
            }
            if objection == nil {
                objection = peers[place].identity.objection(hello)
                if !hello.known.isOurs(
                    store: bootRecord.store, lives: boots, oldest: oldestLife,
                    newest: bootRecord.lives)
                {
                    objection = PeerIdentity.olderCopy(configuration.node)
                }
                if objection != nil { rare.identitiesRefused += 1 }
            }
            if let objection { return linkRefused(place, objection, now: now) }
            linkReady(place, hello, now: now)
        case (.greeting, .refusal):
            let text = body.prefix(512).map { (0x20...0x7E).contains($0) ? $0 : 0x2E }
            linkRefused(place, "refused: " + String(decoding: text, as: UTF8.self), now: now)
        case (.ready, .messages):
            heard(place, now: now)
            if let identity = peers[place].newIdentity { note(identity, at: place) }
            onMessages(place, body, now: now)
        default: badFrame(place, "a frame out of turn", now: now)
        }
    }

    private mutating func linkRefused(_ place: Int, _ reason: String, now: Instant) {
        counters.handshakesRefused += 1
        let peer = peers[place]
        effects.notices.append(
            .connectionRefused(peer.connection, peer: peer.node, reason: reason))
        dropLink(place, now: now)
    }

    mutating func badFrame(_ place: Int, _ reason: String, now: Instant) {
        counters.badFrames += 1
        let peer = peers[place]
        effects.notices.append(
            .connectionRefused(peer.connection, peer: peer.node, reason: reason))
        dropLink(place, now: now)
    }

    // MARK: Sending

    /// Room for one message to a peer, in the frame of this turn.
    mutating func reserve(_ count: Int, to place: Int) -> UnsafeMutableRawPointer {
        if peers[place].writer == nil {
            let block = sparePool.popLast() ?? Block(capacity: 32 << 10)
            block.count = 0
            peers[place].writer = FrameWriter(headerSize: wire.headerSize, block: block)
        }
        guard let target = peers[place].writer?.reserve(count, format: wire) else {
            preconditionFailure("no writer")
        }
        return target
    }

    /// Whether entries may still be queued for a peer.
    func hasRoom(_ place: Int) -> Bool {
        peers[place].queuedBytes + (peers[place].writer?.byteCount ?? 0)
            < configuration.limits.peerQueueBytes
    }

    /// Gives the turn's frames to the driver: one block a peer.
    mutating func finishSends() {
        for place in peers.indices {
            guard var writer = peers[place].writer else { continue }
            peers[place].writer = nil
            writer.seal(.messages, format: wire)
            guard !writer.isEmpty else { continue }
            counters.framesSent += 1
            counters.bytesSent += UInt64(writer.byteCount)
            peers[place].queued.append(writer.block)
            peers[place].queuedBytes += writer.byteCount
            effects.sends.append((peers[place].connection, writer.block))
        }
        finishBulkSends()
    }

    mutating func sent(_ connection: ConnectionID, _ count: Int, now: Instant) {
        if bulkSent(connection, now: now) { return }
        guard let place = peerPlace(of: connection),
            let block = peers[place].queued.popFirst()
        else { return }
        let wasFull = !hasRoom(place)
        peers[place].queuedBytes -= block.count
        if block.capacity <= 1 << 20, sparePool.count < 8 { sparePool.append(block) }
        if wasFull, hasRoom(place) {
            for slot in groups.indices where isLive[slot] && groups[slot].raft.isLeader {
                touch(slot)
            }
        }
    }
}
