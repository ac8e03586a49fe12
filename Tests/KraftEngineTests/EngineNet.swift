import RaftCore

@testable import KraftEngine

/// Engines with a log in memory each, and byte streams that lose nothing: for what concerns nodes
/// rather than groups. Time moves in steps of a millisecond.
struct EngineNet {
    /// Engines can't be copied, so each lives in an object.
    private final class Node {
        var engine: Engine
        var links: [ConnectionID: (peer: NodeID, theirs: ConnectionID)] = [:]
        var nextInbound: UInt64 = 1

        init(_ engine: consuming Engine) { self.engine = engine }
    }

    private var running: [NodeID: Node] = [:]
    private var folders: [NodeID: LogMemory] = [:]
    private var lives: UInt64 = 0
    private(set) var now = Instant(nanoseconds: 1_000_000)
    private(set) var completed: Set<RequestToken> = []

    // MARK: Nodes

    mutating func start(_ node: NodeID, peers: [NodeID] = [], seeds: [String] = []) throws {
        lives += 1
        var configuration = EngineConfiguration(
            node: node, clusterID: "net",
            peers: peers.map { .init(node: $0, address: "node-\($0)") })
        configuration.address = "node-\(node)"
        configuration.seeds = seeds
        configuration.log.segmentSizeBytes = 64 << 10
        configuration.limits.commandSizeBytes = 8 << 10
        var folder = folders[node] ?? LogMemory()
        let engine = try Engine(
            configuration, directory: &folder, boot: lives, seed: lives, now: now)
        folders[node] = folder
        running[node] = Node(engine)
    }

    mutating func stop(_ node: NodeID) {
        guard let stopped = running.removeValue(forKey: node) else { return }
        for (_, link) in stopped.links { lost(link.theirs, at: link.peer) }
    }

    mutating func wipe(_ node: NodeID) {
        stop(node)
        folders[node] = nil
    }

    func folder(of node: NodeID) -> LogMemory { folders[node] ?? LogMemory() }
    mutating func setFolder(of node: NodeID, _ folder: LogMemory) { folders[node] = folder }

    func peers(of node: NodeID) -> [PeerStatus] {
        running[node]?.engine.peerStatus(now: now) ?? []
    }

    mutating func act(
        _ node: NodeID, _ body: (inout Engine, Instant) throws(KraftError) -> Void
    ) throws(KraftError) {
        guard let running = running[node] else { return }
        try body(&running.engine, now)
    }

    /// A stranger's first frame, on a connection of its own.
    mutating func speak(to node: NodeID, _ kind: FrameKind, _ body: [UInt8]) {
        guard let target = running[node] else { return }
        let connection = ConnectionID(rawValue: target.nextInbound)
        target.nextInbound += 2
        let format = StandardWireFormat()
        var writer = FrameWriter(
            headerSize: format.headerSize, block: Block(capacity: body.count + 64))
        let place = writer.reserve(body.count, format: format)
        for (offset, byte) in body.enumerated() {
            place.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
        }
        writer.seal(kind, format: format)
        target.engine.step(.accepted(connection), now: now)
        target.engine.step(.received(connection, writer.block.bytes), now: now)
    }

    // MARK: Time

    mutating func run(for span: Nanoseconds) {
        let end = now + span
        while now < end {
            now = now + .milliseconds(1)
            for node in running.keys.sorted() { turn(node) }
        }
    }

    private mutating func turn(_ id: NodeID) {
        guard let node = running[id] else { return }
        if node.engine.nextWakeUp <= now { node.engine.step(.tick, now: now) }
        for _ in 0..<100 {
            node.engine.endTurn(now: now)
            while node.engine.nextApply() != nil {}
            var effects = Effects()
            swap(&effects, &node.engine.effects)
            if !carryOut(effects, of: id, node) { return }
        }
    }

    /// True if something came of it at once.
    private mutating func carryOut(
        _ effects: borrowing Effects, of id: NodeID, _ node: Node
    ) -> Bool {
        var isNews = false
        for preparation in effects.segmentPreparations {
            try? folders[id]?.prepare(preparation)
            node.engine.step(.segmentPrepared(number: preparation.number), now: now)
            isNews = true
        }
        for write in effects.logWrites {
            folders[id]?.carryOut(write)
            node.engine.step(.logWritten(write.id), now: now)
            isNews = true
        }
        for (connection, address) in effects.connects { dial(connection, address, id, node) }
        for (connection, block) in effects.sends {
            guard let link = node.links[connection] else { continue }
            node.engine.step(.sent(connection, byteCount: block.count), now: now)
            guard let peer = running[link.peer] else { continue }
            peer.engine.step(.received(link.theirs, block.bytes), now: now)
        }
        for connection in effects.closes {
            guard let link = node.links.removeValue(forKey: connection) else { continue }
            lost(link.theirs, at: link.peer)
        }
        for completion in effects.completions { completed.insert(completion.token) }
        return isNews
    }

    private mutating func dial(
        _ connection: ConnectionID, _ address: String, _ id: NodeID, _ node: Node
    ) {
        let target = running.first { "node-\($0.key)" == address }
        guard let target else {
            node.engine.step(.closed(connection), now: now)
            return
        }
        let theirs = ConnectionID(rawValue: target.value.nextInbound)
        target.value.nextInbound += 2
        node.links[connection] = (target.key, theirs)
        target.value.links[theirs] = (id, connection)
        target.value.engine.step(.accepted(theirs), now: now)
        node.engine.step(.connected(connection), now: now)
    }

    private func lost(_ connection: ConnectionID, at node: NodeID) {
        guard let node = running[node], node.links.removeValue(forKey: connection) != nil else {
            return
        }
        node.engine.step(.closed(connection), now: now)
    }
}
