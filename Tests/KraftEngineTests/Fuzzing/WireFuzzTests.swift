import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Fuzz: frames, messages, handshake")
struct WireFuzzTests {
    private let format = StandardWireFormat()

    @Test("of a spoilt stream only whole frames are taken, as they were sent")
    func streams() throws {
        let kinds: [FrameKind] = [.messages, .messages, .hello, .refusal]
        try WireSamples.rounds(20_000).run { mutator in
            var sent: Set<[UInt8]> = []
            var stream: [UInt8] = []
            for _ in 0..<mutator.random.number(in: 1...6) {
                let kind = mutator.random.pick(kinds)
                let body = mutator.random.pick(WireSamples.messages)
                sent.insert(WireSamples.frame(kind, body))
                stream += WireSamples.frame(kind, body)
            }
            mutator.mutate(&stream, others: [stream])
            try receive(stream, in: &mutator, sent)
        }
    }

    private func receive(
        _ stream: [UInt8], in mutator: inout ByteMutator, _ sent: Set<[UInt8]>
    ) throws(FuzzFinding) {
        var reader = FrameReader()
        var frames: [[UInt8]] = []
        var offset = 0
        var isBad = false
        while offset < stream.count, !isBad {
            let size = min(stream.count - offset, mutator.random.number(in: 1...80))
            stream[offset..<(offset + size)].withUnsafeBytes { bytes in
                do throws(FrameReader.Bad) {
                    try reader.receive(bytes, format: format) { kind, body in
                        frames.append(WireSamples.frame(kind, Array(body)))
                        return true
                    }
                } catch { isBad = true }
            }
            offset += size
            if reader.heldCount > offset {
                throw FuzzFinding("more is held than came", mutator.seed)
            }
        }
        if !frames.allSatisfy(sent.contains) {
            throw FuzzFinding("a frame that nobody sent", mutator.seed)
        }
    }

    @Test("a spoilt message is refused, or says exactly what its bytes say")
    func messages() throws {
        try WireSamples.rounds(300_000).run { mutator in
            var bytes = mutator.random.pick(WireSamples.messages)
            mutator.mutate(&bytes, others: WireSamples.messages)
            try bytes.withUnsafeBytes { buffer in
                var reader = ByteReader(buffer)
                while reader.remaining > 0 {
                    let start = buffer.count - reader.remaining
                    guard let message = try? WireMessage.read(from: &reader) else { return }
                    let end = buffer.count - reader.remaining
                    let used = UnsafeRawBufferPointer(rebasing: buffer[start..<end])
                    try check(message, used, mutator.seed)
                }
            }
        }
    }

    private func check(
        _ message: IncomingMessage, _ bytes: UnsafeRawBufferPointer, _ seed: UInt64
    ) throws {
        if WireSamples.bytes(of: message) != Array(bytes) {
            throw FuzzFinding("\(message) was read from other bytes", seed)
        }
        guard case .raft(_, let message, let entries) = message else { return }
        // What sums are made of must leave room for them.
        if message.term.rawValue >= ByteReader.numberLimit {
            throw FuzzFinding("an enormous term", seed)
        }
        if case .append(let append) = message, append.count > entries.count {
            throw FuzzFinding("more entries than bytes", seed)
        }
    }

    @Test("a spoilt hello is refused, or says exactly what its bytes say")
    func hello() throws {
        let sound = WireSamples.hello.encoded()
        try WireSamples.rounds(100_000).run { mutator in
            var bytes = sound
            mutator.mutate(&bytes, others: [sound])
            guard let hello = bytes.withUnsafeBytes({ Hello.decode($0) }) else { return }
            // What a later version adds stands behind.
            if !bytes.starts(with: hello.encoded()) {
                throw FuzzFinding("another hello", mutator.seed)
            }
            if hello.clusterID.utf8.count > Hello.clusterIDLimit
                || hello.info.utf8.count > Hello.infoLimit
            {
                throw FuzzFinding("a hello beyond its limits", mutator.seed)
            }
            let objection = hello.objection(node: 2, clusterID: "cluster", isPeer: { $0 == 1 })
            if let objection, objection.utf8.count > 512 || !objection.utf8.allSatisfy({ $0 < 127 })
            {
                throw FuzzFinding("an objection that isn't for a log", mutator.seed)
            }
        }
    }

}
