import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Fuzz: nodes that are sent anything")
struct EngineFuzzTests {
    private static func led() throws -> ByteCluster {
        let cluster = try ByteCluster(3)
        let isLed = cluster.run(atMost: .seconds(5)) {
            cluster.leader != nil && cluster.link(0, 1) != nil && cluster.link(0, 2) != nil
                && cluster.link(1, 2) != nil
        }
        try #require(isLed)
        return cluster
    }

    @Test("spoilt bytes cost their own connection, and nobody else anything (I15)")
    func spoiltConnection() throws {
        let cluster = try EngineFuzzTests.led()
        var command: UInt64 = 1
        try WireSamples.rounds(1_500).run { mutator in
            let sound = cluster.link(0, 1)
            let refusals = cluster.nodes[0].refusals.count
            // What 3 sends to 1 is spoilt until 1 has had enough of it.
            var isSpoilt = false
            var dice = mutator
            cluster.tamper = { from, to, bytes in
                guard from == 3, to == 1, !isSpoilt else { return }
                isSpoilt = true
                dice.mutate(&bytes)
                if bytes.isEmpty { bytes = [0] }
                // So much is never part of a frame that is still to come.
                bytes += [UInt8](repeating: 0xA5, count: FrameWriter.softLimit * 4)
            }
            let isRefused = cluster.run(atMost: .seconds(3)) {
                isSpoilt && cluster.nodes[0].refusals.count > refusals
            }
            cluster.tamper = nil
            let leader = cluster.leader ?? 0
            let isWritten = cluster.write(command, on: leader == 2 ? 0 : leader)
            command += 1
            if !isWritten { throw FuzzFinding("the others don't go on", mutator.seed) }
            if cluster.link(0, 1) != sound {
                throw FuzzFinding("another connection was closed", mutator.seed)
            }
            if !isRefused { throw FuzzFinding("spoilt bytes were not refused", mutator.seed) }
        }
        // And the one that was spoilt is back.
        let isInStep = cluster.run(atMost: .seconds(5)) {
            cluster.nodes.allSatisfy { $0.machine.digest() == cluster.nodes[0].machine.digest() }
        }
        #expect(isInStep)
        #expect(cluster.nodes[2].machine.ids.count == Int(command) - 1)
    }

    @Test("strangers that say anything are sent away, and keep nobody from his work")
    func strangers() throws {
        let cluster = try EngineFuzzTests.led()
        let hello = Hello(
            versions: Hello.versions, clusterID: "fuzz", node: 1, expected: 2, boot: 9, store: 4,
            lives: 1, address: "1"
        ).encoded()
        let samples = [
            WireSamples.frame(.hello, hello),
            WireSamples.frame(.hello, WireSamples.hello.encoded()),
            WireSamples.frame(.messages, WireSamples.messages[0]),
            WireSamples.frame(.refusal, Array("no".utf8)), WireSamples.frame(.join, hello),
            Array("GET / HTTP/1.1\r\n\r\n".utf8),
        ]
        var command: UInt64 = 1
        try WireSamples.rounds(2_000).run { mutator in
            let link = cluster.connect(to: mutator.random.below(3))
            for _ in 0..<mutator.random.number(in: 1...3) {
                var bytes = mutator.random.pick(samples)
                if mutator.random.chance(900) { mutator.mutate(&bytes, others: samples) }
                cluster.send(bytes, on: link)
            }
            guard mutator.seed % 10 == 0 else { return }
            let isWritten = cluster.write(command, on: cluster.leader ?? 0)
            command += 1
            if !isWritten { throw FuzzFinding("nobody writes any more", mutator.seed) }
        }
        cluster.run(.seconds(10))
        let open = cluster.links.filter { $0.isOpen && $0.ends.contains { $0.node == nil } }
        #expect(open.isEmpty, "who never says hello is sent away")
    }

    @Test("messages with sound checksums and senseless content never trap a node")
    func senselessMessages() throws {
        try WireSamples.rounds(600).run { mutator in
            let cluster = try EngineFuzzTests.led()
            var dice = mutator
            var left = 40
            cluster.tamper = { from, to, bytes in
                guard from == 3 || to == 3, left > 0, dice.random.chance(300) else { return }
                left -= 1
                bytes = EngineFuzzTests.senseless(bytes, &dice)
            }
            for command in 0..<6 as Range<UInt64> {
                _ = cluster.propose(command, on: dice.random.below(3))
                cluster.run(.milliseconds(400))
            }
        }
    }

    /// A block of whole frames, with messages spoilt, and sealed again.
    private static func senseless(_ bytes: [UInt8], _ mutator: inout ByteMutator) -> [UInt8] {
        var spoilt: [UInt8] = []
        var reader = FrameReader()
        bytes.withUnsafeBytes { buffer in
            try? reader.receive(buffer, format: StandardWireFormat()) { kind, body in
                var body = Array(body)
                if kind == .messages {
                    mutator.mutate(&body, others: WireSamples.messages)
                    if mutator.random.chance(300) { body += mutator.random.pick(messages) }
                }
                spoilt += WireSamples.frame(kind, body)
                return true
            }
        }
        return spoilt
    }

    /// Samples for the group that the cluster has.
    private static let messages: [[UInt8]] = {
        guard let name = ByteCluster.groupName, let base = Membership(voters: [1, 2, 3]) else {
            return []
        }
        let group = Engine.groupID(
            .init(name: name, incarnation: 1, replica: .initial, base: base))
        return WireSamples.raft.map { sample in
            sample.entries.withUnsafeBytes {
                WireSamples.bytes(of: sample.0, entries: $0, .init(group: group))
            }
        }
    }()
}
