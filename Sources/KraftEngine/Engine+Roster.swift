import RaftCore

/// Which nodes there are: joining, leaving, and how all nodes come to know of it.
///
/// The roster is gossip: each node keeps the newest word on every other in its log and passes it on
/// when a connection is made and when it learns something. It decides who is dialled and let in;
/// who votes in a group is that group's own affair.
extension Engine {
    /// Takes a node into the cluster: all nodes will dial it or let it in. `token` completes when
    /// this node has written it down. A node that left may come back, under another address and
    /// with another data folder too.
    ///
    /// Throws `conflict` when a node of this id is a member at another address, `bad_request` for
    /// an id or address that can't be.
    public mutating func join(
        _ node: NodeID, address: String, token: RequestToken, now: Instant
    ) throws(KraftError) {
        guard !isFenced else { throw KraftError(.unavailable, "the node is fenced") }
        guard !node.isNone else { throw KraftError(.badRequest, "node_id: 0 is not a node id") }
        guard (1...RosterEntry.addressLimit).contains(address.utf8.count) else {
            throw KraftError(
                .badRequest, "addr: must have 1 to \(RosterEntry.addressLimit) bytes")
        }
        if let objection = objection(toJoining: node, address: address, store: nil) {
            throw KraftError(.conflict, objection)
        }
        if node == configuration.node || peerPlace(of: node).map({ !peers[$0].hasLeft }) == true {
            // A member already.
            complete(.local(token), .done(index: .zero, replyStart: 0, replyCount: 0))
            return
        }
        durableTokens.append((admit(node, address: address, now: now), token))
    }

    /// Takes a node out of the cluster: it is neither dialled nor let in any more. Its replicas
    /// should have been removed from their groups before; what they hold counts as long as they are
    /// members. `token` completes when this node has written it down.
    ///
    /// Throws `not_found` for a node that isn't a member.
    public mutating func leave(
        _ node: NodeID, token: RequestToken, now: Instant
    ) throws(KraftError) {
        guard !isFenced else { throw KraftError(.unavailable, "the node is fenced") }
        var entry: RosterEntry
        if node == configuration.node {
            entry = ownEntry
        } else if let place = peerPlace(of: node), !peers[place].hasLeft {
            entry = self.entry(of: place)
        } else {
            throw KraftError(.notFound, "node \(node) is not a member")
        }
        guard entry.generation < RosterEntry.generationLimit else {
            throw KraftError(.conflict, "node \(node) has joined and left too often")
        }
        entry.generation += 1
        entry.hasLeft = true
        let batch = learn(entry, now: now) ?? log.collecting
        tellRoster([entry])
        durableTokens.append((batch, token))
    }

    private func objection(
        toJoining node: NodeID, address: String, store: UInt64?
    ) -> String? {
        if node == configuration.node {
            return address == configuration.address && store == nil && !hasLeftCluster
                ? nil : "node \(node) is this node"
        }
        guard let place = peerPlace(of: node) else {
            return peers.count < RosterEntry.countLimit ? nil : "the cluster is full"
        }
        guard peers[place].generation < RosterEntry.generationLimit else {
            return "node \(node) has joined and left too often"
        }
        guard !peers[place].hasLeft else { return nil }
        let known = peers[place].identity.store
        if let store, known != 0, known != store {
            return "node \(node) is a member with another data folder; let it leave first"
        }
        // It may call from elsewhere than was announced; another announcement is another node.
        let isSame = store != nil || address == peers[place].address
        return isSame || address == peers[place].ownAddress
            ? nil : "node \(node) is a member at \(peers[place].address)"
    }

    private mutating func admit(_ node: NodeID, address: String, now: Instant) -> UInt64 {
        let known = peerPlace(of: node).map { peers[$0].generation } ?? 0
        let entry = RosterEntry(node: node, address: address, generation: known + 1)
        let batch = learn(entry, now: now) ?? log.collecting
        tellRoster([entry])
        return batch
    }

    // MARK: Knowing

    private var ownEntry: RosterEntry {
        RosterEntry(
            node: configuration.node, address: configuration.address,
            generation: ownGeneration, hasLeft: hasLeftCluster)
    }

    private func entry(of place: Int) -> RosterEntry {
        let peer = peers[place]
        let address =
            peer.generation == 0 && !peer.ownAddress.isEmpty ? peer.ownAddress : peer.address
        return RosterEntry(
            node: peer.node, address: address, generation: peer.generation, hasLeft: peer.hasLeft)
    }

    /// All that this node knows, itself included.
    private var roster: [RosterEntry] { [ownEntry] + peers.indices.map { entry(of: $0) } }

    mutating func restoreRoster(_ recovered: RecoveredLog, now: Instant) {
        for entry in recovered.lists.roster { take(entry, now: now) }
        for neighbour in recovered.lists.neighbours {
            guard let place = peerPlace(of: neighbour.node) else { continue }
            peers[place].identity = neighbour.identity
        }
        // Who knows others asks the seeds only if none of those can be reached.
        if !peers.isEmpty { joining.nextTry = now + .seconds(5) }
    }

    /// Writes down and acts on news; returns the batch, or nil if it isn't news.
    private mutating func learn(_ entry: RosterEntry, now: Instant) -> UInt64? {
        if entry.node == configuration.node {
            guard entry.generation > ownGeneration else { return nil }
        } else if let place = peerPlace(of: entry.node) {
            // What this node was configured with holds until the cluster says something newer.
            guard entry.generation > 0, entry.isNews(to: self.entry(of: place)) else {
                return nil
            }
        } else {
            guard peers.count < RosterEntry.countLimit else { return nil }
        }
        take(entry, now: now)
        updateNodeDeadline()
        return writeRecord(.roster, entry)
    }

    private mutating func take(_ entry: RosterEntry, now: Instant) {
        if entry.node == configuration.node {
            ownGeneration = entry.generation
            hasLeftCluster = entry.hasLeft
            if entry.hasLeft { effects.notices.append(.leftCluster) }
            return
        }
        guard let place = peerPlace(of: entry.node) else {
            var peer = Peer(
                .init(node: entry.node, address: entry.address), now: now,
                pause: configuration.timing.reconnectMinimum)
            peer.generation = entry.generation
            peer.hasLeft = entry.hasLeft
            peer.isUntold = entry.hasLeft
            peers.append(peer)
            effects.notices.append(.rosterChanged(entry.node, hasLeft: entry.hasLeft))
            return
        }
        let isBack = peers[place].hasLeft && !entry.hasLeft
        let isMoved = peers[place].address != entry.address
        peers[place].generation = entry.generation
        // Who was given up for lost may be reached where it was configured.
        if !entry.address.isEmpty || !entry.hasLeft { peers[place].address = entry.address }
        peers[place].hasLeft = entry.hasLeft
        peers[place].isUntold = entry.hasLeft && !peers[place].isReady
        // As long as a group counts on what that node held, it may only come back with it.
        if isBack, !isMemberSomewhere(entry.node) { peers[place].identity = PeerIdentity() }
        if isBack || isMoved { peers[place].nextDial = now }
        effects.notices.append(.rosterChanged(entry.node, hasLeft: entry.hasLeft))
    }

    private func isMemberSomewhere(_ node: NodeID) -> Bool {
        groups.indices.contains { slot in
            isLive[slot]
                && groups[slot].raft.configurations.contains {
                    $0.membership.position(of: node) != nil
                }
        }
    }

    /// Passes news on to everybody that can be reached; who left is told last of all.
    private mutating func tellRoster(_ entries: [RosterEntry]) {
        for place in peers.indices where peers[place].isReady { sendRoster(entries, to: place) }
    }

    /// Tells a peer all: one that joined may know nobody but who called it.
    mutating func sendRoster(to place: Int) { sendRoster(roster, to: place) }

    private mutating func sendRoster(_ entries: [RosterEntry], to place: Int) {
        guard !entries.isEmpty else { return }
        var writer = ByteWriter()
        writer.write(MessageTag.roster.rawValue)
        RosterEntry.writeAll(entries, into: &writer)
        send(writer, to: place)
    }

    mutating func onRoster(_ entries: [RosterEntry], now: Instant) {
        let news = entries.filter { learn($0, now: now) != nil }
        if !news.isEmpty { tellRoster(news) }
    }

    /// All that the log says of the node itself.
    var nodeLists: NodeLists {
        var lists = NodeLists()
        lists.boot = bootRecord
        lists.isForgetful = isForgetful
        lists.lives = boots.map { NodeLists.Life(number: $0.key, boot: $0.value) }
            .sorted { $0.number < $1.number }
            .suffix(NodeLists.lifeLimit)
        if ownGeneration > 0 { lists.roster.append(ownEntry) }
        for place in peers.indices {
            let peer = peers[place]
            // What this node was configured with needs no other word than that.
            let isConfigured = configuration.peers.contains { $0.node == peer.node }
            if peer.generation > 0 || !isConfigured { lists.roster.append(entry(of: place)) }
            guard peer.identity.store != 0 else { continue }
            lists.neighbours.append(.init(node: peer.node, identity: peer.identity))
        }
        lists.tombstones = tombstones.map { .init(name: $0.key, incarnation: $0.value) }
            .sorted { $0.name.string < $1.name.string }
        lists.formers = formerReplicas.map { .init(group: $0.key, replica: $0.value) }
            .sorted { $0.group.rawValue < $1.group.rawValue }
        return lists
    }

    // MARK: Joining

    /// Asks the seeds, one after the other, to be let in.
    mutating func tickJoining(now: Instant) {
        guard !joining.isDone, now >= joining.nextTry, isIntroduced else { return }
        if joining.connection != nil { endJoining(now: now) }
        let seed = joining.seeds[joining.next % joining.seeds.count]
        joining.next += 1
        let connection = ConnectionID(rawValue: nextConnection)
        nextConnection += 2
        joining.connection = connection
        joining.reader = FrameReader()
        joining.nextTry = now + configuration.timing.handshakeTimeout
        effects.connects.append((connection, seed))
    }

    private mutating func endJoining(now: Instant) {
        if let connection = joining.connection { effects.closes.append(connection) }
        joining.connection = nil
        joining.nextTry = now + configuration.timing.reconnectMaximum
        updateNodeDeadline()
    }

    mutating func joinConnected(_ connection: ConnectionID) {
        guard joining.connection == connection else { return }
        var hello = Hello(
            versions: Hello.versions, clusterID: configuration.clusterID,
            node: configuration.node, expected: .none, boot: boot, store: bootRecord.store,
            lives: bootRecord.lives, address: configuration.address)
        hello.info = info
        sendFrame(.join, hello.encoded(), on: connection)
    }

    mutating func joinClosed(_ connection: ConnectionID, now: Instant) {
        guard joining.connection == connection else { return }
        joining.connection = nil
        joining.nextTry = now + configuration.timing.reconnectMaximum
    }

    /// The seed's answer: the roster, or why not.
    mutating func joinReceived(
        _ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) -> Bool {
        guard joining.connection == connection else { return false }
        var answer: (FrameKind, [UInt8])?
        do throws(FrameReader.Bad) {
            try joining.reader.receive(bytes, format: wire) { kind, body in
                answer = (kind, Array(body))
                return false
            }
        } catch {
            endJoining(now: now)
            return true
        }
        guard let (kind, body) = answer else { return true }
        endJoining(now: now)
        let entries: [RosterEntry]? = body.withUnsafeBytes { bytes in
            guard kind == .roster else { return nil }
            var reader = ByteReader(bytes)
            return try? RosterEntry.readAll(from: &reader)
        }
        guard let entries, !entries.isEmpty else {
            let text = body.prefix(512).map { (0x20...0x7E).contains($0) ? $0 : 0x2E }
            effects.notices.append(
                .connectionRefused(
                    connection, peer: .none,
                    reason: "joining: " + String(decoding: text, as: UTF8.self)))
            return true
        }
        joining.nextTry = now + .seconds(5)
        for entry in entries { _ = learn(entry, now: now) }
        updateNodeDeadline()
        return true
    }

    /// A stranger asks to be let in.
    mutating func joinAsked(
        _ connection: ConnectionID, _ body: UnsafeRawBufferPointer, now: Instant
    ) {
        guard let hello = Hello.decode(body) else {
            return refuse(connection, peer: .none, "a malformed join", tell: false)
        }
        var objection = hello.objection(
            node: configuration.node, clusterID: configuration.clusterID, expected: NodeID.none,
            isPeer: { _ in true })
        if objection == nil {
            objection =
                hasLeftCluster
                ? "this node has left the cluster itself"
                : self.objection(
                    toJoining: hello.node, address: hello.address, store: hello.store)
        }
        if objection == nil, !(1...RosterEntry.addressLimit).contains(hello.address.utf8.count) {
            objection = "it doesn't say where it can be reached"
        }
        if let objection { return refuse(connection, peer: hello.node, objection, tell: true) }
        var batch = log.completed
        if peerPlace(of: hello.node).map({ peers[$0].hasLeft }) ?? true {
            batch = admit(hello.node, address: hello.address, now: now)
        }
        joinAnswers.append((batch, connection))
        if joinAnswers.count > configuration.limits.pendingHandshakes {
            effects.closes.append(joinAnswers.removeFirst().connection)
        }
        answerJoins()
    }

    /// A node that was told that it is in must be known here after a crash, too.
    mutating func answerJoins() {
        while let first = joinAnswers.first, first.batch <= log.completed {
            joinAnswers.removeFirst()
            var writer = ByteWriter()
            RosterEntry.writeAll(roster, into: &writer)
            sendFrame(.roster, writer.bytes, on: first.connection)
            effects.closes.append(first.connection)
        }
    }

    /// One frame of its own, for connections that aren't a peer's.
    mutating func sendFrame(_ kind: FrameKind, _ body: [UInt8], on connection: ConnectionID) {
        var writer = FrameWriter(
            headerSize: wire.headerSize, block: Block(capacity: body.count + 64))
        let target = writer.reserve(body.count, format: wire)
        body.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress {
                target.copyMemory(from: source, byteCount: bytes.count)
            }
        }
        writer.seal(kind, format: wire)
        effects.sends.append((connection, writer.block))
    }

    // MARK: Who is who

    /// Writes down by what a peer will be known again.
    mutating func note(_ identity: PeerIdentity, at place: Int) {
        peers[place].newIdentity = nil
        guard identity != peers[place].identity else { return }
        peers[place].identity = identity
        _ = writeRecord(.identity, identity, about: peers[place].node)
    }
}

/// A node that knows nobody yet, and how far it has come with that.
struct Joining {
    let seeds: [String]
    var isDone: Bool
    var next = 0
    var nextTry: Instant
    var connection: ConnectionID?
    var reader = FrameReader()

    init(seeds: [String], now: Instant) {
        self.seeds = seeds
        isDone = seeds.isEmpty
        nextTry = now
    }
}
