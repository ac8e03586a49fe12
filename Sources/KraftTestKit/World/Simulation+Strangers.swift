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
    /// A sound hello of a member, then garbage.
    case impostor
}

/// What a stranger does at one moment.
enum StrangerStep {
    case dial
    case send([UInt8])
    case hangUp
}

/// Which handshake a stranger needs.
struct StrangerHello: Hashable {
    var clusterID: String
    var node: NodeID
    var target: NodeID
}

extension Simulation {
    /// Somebody who isn't a node connects to one, and behaves badly there. What it costs must be
    /// its own connection, no more.
    public func meetStranger(_ conduct: StrangerConduct, at node: NodeID) {
        let target = nodes[position(of: node)]
        guard target.isUp else { return }
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
            var frame = [UInt8](repeating: 0, count: StandardWireFormat().headerSize) + randomBytes(64)
            frame.withUnsafeMutableBytes { StandardWireFormat().seal($0, kind: .messages) }
            return [frame]
        case .otherCluster, .wrongNode, .unknownNode: return [hello]
        case .impostor: return [hello, randomBytes(200)]
        }
    }

    private func randomBytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: networkRandom.next()) }
    }

    /// A hello as a real engine would send it, so that it keeps up with the handshake's format.
    private func helloBytes(of conduct: StrangerConduct, to target: NodeID) -> [UInt8] {
        // Only a node with a lower id dials; below the lowest there is none.
        let member = NodeID(max(1, target.rawValue - 1))
        let key =
            switch conduct {
            case .otherCluster: StrangerHello(clusterID: "another", node: member, target: target)
            case .wrongNode:
                StrangerHello(clusterID: clusterID, node: member, target: NodeID(77))
            case .unknownNode:
                StrangerHello(clusterID: clusterID, node: NodeID(76), target: target)
            default: StrangerHello(clusterID: clusterID, node: member, target: target)
            }
        if let bytes = strangerHellos[key] { return bytes }
        let bytes = forgeHello(key)
        strangerHellos[key] = bytes
        return bytes
    }

    /// Lets an engine of its own dial, and takes down what it says first.
    private func forgeHello(_ hello: StrangerHello) -> [UInt8] {
        let node = hello.node < hello.target ? hello.node : NodeID(hello.target.rawValue - 1)
        guard !node.isNone else { return randomBytes(40) }
        let target = EngineConfiguration.Peer(node: hello.target, address: "target")
        var configuration = EngineConfiguration(
            node: node, clusterID: hello.clusterID, peers: [target])
        configuration.log.segmentSizeBytes = 64 << 10
        configuration.limits.commandSizeBytes = 4 << 10
        var directory = SimulatedDisk(random: SeededRandom(seed: 1))
        let start = Instant(nanoseconds: 1_000_000_000)
        guard
            var engine = try? Engine(
                configuration, directory: &directory, boot: 99, seed: 99, now: start)
        else { return randomBytes(40) }
        // Before its first write is durable it speaks to nobody.
        engine.endTurn(now: start)
        while engine.nextApply() != nil {}
        let writes = engine.effects.logWrites.map(\.id)
        engine.effects.removeAll()
        for write in writes { engine.step(.logWritten(write), now: start) }
        engine.step(.tick, now: start)
        engine.endTurn(now: start)
        while engine.nextApply() != nil {}
        guard let connection = engine.effects.connects.first?.connection else {
            return randomBytes(40)
        }
        engine.effects.removeAll()
        engine.step(.connected(connection), now: start)
        engine.endTurn(now: start)
        while engine.nextApply() != nil {}
        return engine.effects.sends.first.map { Array($0.block.bytes) } ?? randomBytes(40)
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
