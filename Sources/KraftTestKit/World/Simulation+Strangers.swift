import KraftEngine
import RaftCore

/// What somebody who isn't a node of the cluster does at a peer port (I15).
public enum StrangerConduct: CaseIterable, Sendable {
    /// Bytes that start no frame.
    case garbage
    /// Nothing at all, until the node has enough of it.
    case silence
    /// A sound hello, cut somewhere, then the end.
    case truncatedHello
    /// A header that announces more than anybody may send.
    case enormousLength
    /// A sound header, and a body that isn't what was sealed.
    case wrongChecksum
    /// A hello, byte for byte, slowly.
    case slowHello
    /// The hello of a node of another cluster.
    case otherCluster
    /// The hello of a node that looks for another one.
    case wrongNode
    /// The hello of a node that nobody knows.
    case unknownNode
    /// Messages before any hello.
    case messagesFirst
    /// A sound hello of a member that is known, then garbage.
    case impostor
}

/// What a stranger does at one moment.
enum StrangerStep {
    case dial
    case send([UInt8])
    case hangUp
}

extension Simulation {
    /// Somebody who isn't a node connects to one, and behaves badly there. What it costs must be
    /// its own connection, no more.
    public func meetStranger(_ conduct: StrangerConduct, at node: NodeID) {
        let target = nodes[position(of: node)]
        guard target.isUp else { return }
        var conduct = conduct
        let member = NodeID(max(1, node.rawValue - 1))
        // A node believes the first that comes under a number; only later does it know better.
        if conduct == .impostor,
            !peers(of: node).contains(where: { $0.node == member && $0.isConnected })
        {
            conduct = .garbage
        }
        pastCoverage.count(.strangers)
        note("a stranger comes to node \(node): \(conduct)")
        let id = ConnectionID(rawValue: target.nextInboundID)
        target.nextInboundID += 2
        target.strangers.append(id)
        var time: UInt64 = 0
        func plan(_ step: StrangerStep, _ delay: ClosedRange<UInt64> = 100_000...20_000_000) {
            time += networkRandom.number(in: delay)
            schedule(
                .node(.stranger(step, id), node: target.position, life: target.life), after: time)
        }
        plan(.dial)
        for bytes in portions(of: conduct, target: target) { plan(.send(bytes)) }
        if conduct != .silence { plan(.hangUp, 1_000_000...3_000_000_000) }
    }

    private func portions(
        of conduct: StrangerConduct, target: SimulatedNode<Machine>
    ) -> [[UInt8]] {
        let hello = helloBytes(of: conduct, to: target.id)
        switch conduct {
        case .silence: return []
        case .garbage:
            return (0..<1 + networkRandom.below(4)).map { _ in
                randomBytes(1 + networkRandom.below(2_000))
            }
        case .truncatedHello: return [Array(hello.prefix(1 + networkRandom.below(hello.count - 1)))]
        case .enormousLength:
            var bytes = hello
            bytes.replaceSubrange(4..<8, with: [0xFF, 0xFF, 0xFF, 0x7F])
            return [bytes]
        case .wrongChecksum:
            var bytes = hello
            bytes[bytes.count - 1] ^= 0x40
            return [bytes]
        case .slowHello: return hello.prefix(24).map { [$0] }
        case .messagesFirst:
            var frame =
                [UInt8](repeating: 0, count: StandardWireFormat().headerSize) + randomBytes(64)
            frame.withUnsafeMutableBytes { StandardWireFormat().seal($0, kind: .messages) }
            return [frame]
        case .otherCluster, .wrongNode, .unknownNode: return [hello]
        case .impostor: return [hello, randomBytes(200)]
        }
    }

    private func randomBytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: networkRandom.next()) }
    }

    /// A hello as a real engine would send it, so that it keeps up with the handshake's format; only
    /// who speaks to whom is written over.
    private func helloBytes(of conduct: StrangerConduct, to target: NodeID) -> [UInt8] {
        let cluster = conduct == .otherCluster ? "another" : clusterID
        var bytes = strangerHellos[cluster] ?? forgeHello(of: cluster)
        strangerHellos[cluster] = bytes
        let member = NodeID(max(1, target.rawValue - 1))
        let speaker = conduct == .unknownNode ? NodeID(76) : member
        let expected = conduct == .wrongNode ? NodeID(77) : target
        let format = StandardWireFormat()
        bytes.withUnsafeMutableBytes { frame in
            // The body begins with magic and versions, 4 bytes each; then these two.
            let body = format.headerSize + 8
            guard frame.count >= body + 8 else { return }
            frame.storeBytes(of: speaker.rawValue.littleEndian, toByteOffset: body, as: UInt32.self)
            frame.storeBytes(
                of: expected.rawValue.littleEndian, toByteOffset: body + 4, as: UInt32.self)
            format.seal(frame, kind: .hello)
        }
        return bytes
    }

    /// Lets an engine of its own dial, and takes down what it says first.
    private func forgeHello(of cluster: String) -> [UInt8] {
        var configuration = EngineConfiguration(
            node: 1, clusterID: cluster,
            peers: [EngineConfiguration.Peer(node: 2, address: "target")])
        configuration.log.segmentSizeBytes = 64 << 10
        configuration.limits.commandSizeBytes = 4 << 10
        var directory = SimulatedDisk(random: SeededRandom(seed: 1))
        let start = Instant(nanoseconds: 1_000_000_000)
        guard
            var engine = try? Engine(
                configuration, directory: &directory, boot: 99, seed: 99, now: start)
        else { preconditionFailure("an engine that can't start") }
        func turn() {
            engine.endTurn(now: start)
            while engine.nextApply() != nil {}
        }
        // Before its first write is durable it speaks to nobody.
        turn()
        let writes = engine.effects.logWrites.map(\.id)
        engine.effects.removeAll()
        for write in writes { engine.step(.logWritten(write), now: start) }
        engine.step(.tick, now: start)
        turn()
        guard let connection = engine.effects.connects.first?.connection else {
            preconditionFailure("an engine that doesn't dial")
        }
        engine.effects.removeAll()
        engine.step(.connected(connection), now: start)
        turn()
        guard let hello = engine.effects.sends.first else {
            preconditionFailure("an engine that doesn't introduce itself")
        }
        return Array(hello.block.bytes)
    }

    /// What a stranger does reaches the node. Says whether the engine was told anything.
    func meet(
        _ step: StrangerStep, _ id: ConnectionID, _ node: SimulatedNode<Machine>, _ box: EngineBox
    ) -> Bool {
        guard node.strangers.contains(id) else { return false }
        let now = instant(node)
        switch step {
        case .dial: box.engine.step(.accepted(id), now: now)
        case .send(let bytes):
            badStreams += 1
            bytes.withUnsafeBytes { box.engine.step(.received(id, $0), now: now) }
        case .hangUp:
            node.strangers.removeAll { $0 == id }
            node.closedInTurn.append(id)
            box.engine.step(.closed(id), now: now)
        }
        return true
    }
}
