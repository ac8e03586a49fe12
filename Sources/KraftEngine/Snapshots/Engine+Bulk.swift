import DequeModule
import KraftRouting
import RaftCore

/// The second connection of a pair of nodes, for the bytes of snapshots, so that nothing else ever
/// waits behind them. It is made when it is needed, by the node that dials the first one, and goes
/// with that one, or when it hasn't been used for a while.
struct BulkLink {
    enum State { case down, dialling, greeting, ready }

    var state = State.down
    var connection = ConnectionID(rawValue: 0)
    var since: Instant = .zero
    var lastUse: Instant = .zero
    var nextDial: Instant = .zero
    var reader = FrameReader()
    var writer: FrameWriter?
    var queued = Deque<Block>()
    var queuedBytes = 0

    var isReady: Bool { state == .ready }
}

extension Engine {
    private static let bulkIdleTimeout = Nanoseconds.seconds(30)

    private func bulkPlace(of connection: ConnectionID) -> Int? {
        peers.firstIndex { $0.bulk.state != .down && $0.bulk.connection == connection }
    }

    /// Dials, if it's this node's to dial; the other side does it when it is asked for something, or
    /// asks.
    mutating func openBulk(_ place: Int, now: Instant) {
        guard peers[place].bulk.state == .down, peers[place].isReady,
            configuration.node < peers[place].node
        else { return }
        guard now >= peers[place].bulk.nextDial else { return updateNodeDeadline() }
        let connection = ConnectionID(rawValue: nextConnection)
        nextConnection += 2
        peers[place].bulk.connection = connection
        peers[place].bulk.state = .dialling
        peers[place].bulk.since = now
        peers[place].bulk.nextDial = now + .milliseconds(250)
        effects.connects.append((connection, peers[place].address))
        updateNodeDeadline()
    }

    /// True if the connection is one of these.
    mutating func bulkConnected(_ connection: ConnectionID, now: Instant) -> Bool {
        guard let place = bulkPlace(of: connection) else { return false }
        guard peers[place].bulk.state == .dialling else { return true }
        peers[place].bulk.state = .greeting
        peers[place].bulk.since = now
        sendBulkHello(place)
        return true
    }

    private mutating func sendBulkHello(_ place: Int) {
        var hello = Hello(
            versions: Hello.versions, clusterID: configuration.clusterID,
            node: configuration.node, expected: peers[place].node, boot: boot,
            store: bootRecord.store, lives: bootRecord.lives, known: peers[place].identity,
            address: configuration.address)
        hello.isBulk = true
        let bytes = hello.encoded()
        let target = reserveBulk(bytes.count, to: place)
        bytes.withUnsafeBytes { target.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        peers[place].bulk.writer?.seal(.hello, format: wire)
    }

    /// A second connection of a node that this one talks with already. Whoever it is said so in the
    /// first one's hello, which was checked.
    mutating func bulkAccepted(_ connection: ConnectionID, _ hello: Hello, now: Instant) {
        guard let place = peerPlace(of: hello.node), peers[place].isReady,
            peers[place].boot == hello.boot, hello.node < configuration.node,
            hello.expected == configuration.node, hello.clusterID == configuration.clusterID,
            !hasLeftCluster
        else {
            effects.closes.append(connection)
            return
        }
        if peers[place].bulk.state != .down {
            effects.closes.append(peers[place].bulk.connection)
            bulkLost(place, now: now)
        }
        peers[place].bulk.connection = connection
        peers[place].bulk.since = now
        sendBulkHello(place)
        bulkReady(place, now: now)
    }

    private mutating func bulkReady(_ place: Int, now: Instant) {
        peers[place].bulk.state = .ready
        peers[place].bulk.lastUse = now
        fetchesReady(from: peers[place].node, now: now)
        serveOn(now: now)
    }

    mutating func bulkClosed(_ connection: ConnectionID, now: Instant) {
        if let place = bulkPlace(of: connection) { bulkLost(place, now: now) }
    }

    /// Closes it from this side.
    mutating func dropBulk(_ place: Int, now: Instant) {
        guard peers[place].bulk.state != .down else { return }
        effects.closes.append(peers[place].bulk.connection)
        bulkLost(place, now: now)
    }

    private mutating func bulkLost(_ place: Int, now: Instant) {
        let nextDial = max(peers[place].bulk.nextDial, now + .milliseconds(20))
        peers[place].bulk = BulkLink()
        peers[place].bulk.nextDial = nextDial
        fetchesLost(from: peers[place].node, now: now)
        servesLost(to: peers[place].node)
        updateNodeDeadline()
    }

    // MARK: Bytes

    /// True if the connection is one of these.
    mutating func bulkReceived(
        _ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) -> Bool {
        guard let place = bulkPlace(of: connection) else { return false }
        peers[place].bulk.lastUse = now
        var reader = FrameReader()
        swap(&reader, &peers[place].bulk.reader)
        do throws(FrameReader.Bad) {
            var isGood = true
            try reader.receive(bytes, format: wire) { kind, body in
                isGood = onBulkFrame(place, kind, body, now: now)
                return isGood && bulkPlace(of: connection) == place && !isFenced
            }
            guard bulkPlace(of: connection) == place else { return true }
            peers[place].bulk.reader = reader
            if !isGood { badBulk(place, "a frame out of turn on a bulk connection", now: now) }
        } catch {
            badBulk(place, error.reason, now: now)
        }
        return true
    }

    private mutating func badBulk(_ place: Int, _ reason: String, now: Instant) {
        counters.badFrames += 1
        effects.notices.append(
            .connectionRefused(
                peers[place].bulk.connection, peer: peers[place].node, reason: reason))
        dropBulk(place, now: now)
    }

    private mutating func onBulkFrame(
        _ place: Int, _ kind: FrameKind, _ body: UnsafeRawBufferPointer, now: Instant
    ) -> Bool {
        counters.framesReceived += 1
        switch (peers[place].bulk.state, kind) {
        case (.greeting, .hello):
            guard let hello = Hello.decode(body), hello.node == peers[place].node,
                hello.boot == peers[place].boot, hello.isBulk
            else { return false }
            bulkReady(place, now: now)
            return true
        case (.ready, .messages):
            var reader = ByteReader(body)
            while reader.remaining > 0 {
                guard let message = try? WireMessage.read(from: &reader),
                    case .chunk(let name, let offset, let bytes) = message
                else { return false }
                onChunk(place, name, offset, bytes, now: now)
                guard peers[place].bulk.isReady else { return true }
            }
            return true
        default: return false
        }
    }

    /// Room for one message to a peer on its bulk connection.
    mutating func reserveBulk(_ count: Int, to place: Int) -> UnsafeMutableRawPointer {
        if peers[place].bulk.writer == nil {
            let block = Block(capacity: max(32 << 10, count + 64))
            peers[place].bulk.writer = FrameWriter(headerSize: wire.headerSize, block: block)
        }
        guard let target = peers[place].bulk.writer?.reserve(count, format: wire) else {
            preconditionFailure("no writer")
        }
        return target
    }

    mutating func finishBulkSends() {
        for place in peers.indices {
            guard var writer = peers[place].bulk.writer else { continue }
            peers[place].bulk.writer = nil
            writer.seal(.messages, format: wire)
            guard !writer.isEmpty else { continue }
            counters.framesSent += 1
            counters.bytesSent += UInt64(writer.byteCount)
            peers[place].bulk.queued.append(writer.block)
            peers[place].bulk.queuedBytes += writer.byteCount
            effects.sends.append((peers[place].bulk.connection, writer.block))
        }
    }

    /// True if the connection is one of these.
    mutating func bulkSent(_ connection: ConnectionID, now: Instant) -> Bool {
        guard let place = bulkPlace(of: connection) else { return false }
        guard let block = peers[place].bulk.queued.popFirst() else { return true }
        peers[place].bulk.queuedBytes -= block.count
        peers[place].bulk.lastUse = now
        serveOn(now: now)
        return true
    }

    // MARK: Time

    mutating func tickBulk(now: Instant) {
        for place in peers.indices {
            switch peers[place].bulk.state {
            case .down:
                if isBulkWanted(place), now >= peers[place].bulk.nextDial {
                    openBulk(place, now: now)
                }
            case .dialling, .greeting:
                if now >= peers[place].bulk.since + configuration.timing.handshakeTimeout {
                    dropBulk(place, now: now)
                }
            case .ready:
                if now >= peers[place].bulk.lastUse + Engine.bulkIdleTimeout {
                    dropBulk(place, now: now)
                }
            }
        }
    }

    private func isBulkWanted(_ place: Int) -> Bool {
        guard peers[place].isReady, configuration.node < peers[place].node else { return false }
        return fetchesSnapshot(from: peers[place].node) || sendsSnapshot(to: peers[place].node)
    }

    var bulkDeadline: Instant {
        var deadline = Instant.never
        for (place, peer) in peers.enumerated() {
            switch peer.bulk.state {
            case .down:
                if isBulkWanted(place) { deadline = min(deadline, peer.bulk.nextDial) }
            case .dialling, .greeting:
                deadline = min(deadline, peer.bulk.since + configuration.timing.handshakeTimeout)
            case .ready: deadline = min(deadline, peer.bulk.lastUse + Engine.bulkIdleTimeout)
            }
        }
        return deadline
    }
}
