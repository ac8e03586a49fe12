import CXXHash
import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("The wire: frames and messages")
struct WireTests {
    private let format = StandardWireFormat()

    private func frame(
        _ messages: [Message], entries: [UInt8] = [],
        _ envelope: RaftEnvelope = RaftEnvelope(group: GroupID(9))
    ) -> [UInt8] {
        var writer = FrameWriter(headerSize: format.headerSize, block: Block(capacity: 64))
        for message in messages {
            let size = WireMessage.size(message, envelope)
            let target = writer.reserve(size + entries.count, format: format)
            WireMessage.write(message, envelope, entriesCount: entries.count, to: target)
            for (place, byte) in entries.enumerated() {
                target.storeBytes(of: byte, toByteOffset: size + place, as: UInt8.self)
            }
        }
        writer.seal(.messages, format: format)
        return Array(writer.block.bytes)
    }

    private static let samples: [Message] = [
        .append(
            .init(
                term: Term(5), previous: .init(index: LogIndex(8), term: Term(4)),
                entriesTerm: Term(5), count: 0, commit: LogIndex(7))),
        .appendReply(
            .init(
                term: Term(5), index: LogIndex(8), isRejected: true,
                hint: .init(index: LogIndex(3), term: Term(2)))),
        .heartbeat(.init(term: Term(5), commit: LogIndex(8), readSequence: 77)),
        .heartbeatReply(.init(term: Term(6), readSequence: 77)),
        .vote(
            .init(
                term: Term(6), last: .init(index: LogIndex(8), term: Term(5)), isPreVote: true,
                isTransfer: false)),
        .vote(.init(term: Term(6), last: .start, isPreVote: false, isTransfer: true)),
        .voteReply(.init(term: Term(6), isPreVote: false, isGranted: true)),
        .timeoutNow(.init(term: Term(6))),
        .vote(
            .init(
                term: Term(6), last: .start, isPreVote: true, isTransfer: false, isForced: true)),
        .resigned(.init(term: Term(6))),
        .removed(
            .init(term: Term(6), committed: .init(index: LogIndex(12), term: Term(4)))),
    ]

    private static let later = ReplicaID(added: .init(index: LogIndex(40), term: Term(3)))

    @Test("every message comes back as it was sent", arguments: samples.indices)
    func roundTrip(_ place: Int) throws {
        let message = WireTests.samples[place]
        for (from, to) in [(ReplicaID.initial, .initial), (.initial, WireTests.later)] {
            try roundTrip(message, RaftEnvelope(group: GroupID(9), from: from, to: to))
        }
    }

    private func roundTrip(_ message: Message, _ envelope: RaftEnvelope) throws {
        var reader = FrameReader()
        var received: [Message] = []
        try frame([message, message], envelope).withUnsafeBytes { bytes in
            try reader.receive(bytes, format: format) { kind, body in
                #expect(kind == .messages)
                var fields = ByteReader(body)
                while fields.remaining > 0 {
                    guard
                        case .raft(let found, let message, _)? =
                            try? WireMessage.read(from: &fields)
                    else { return false }
                    #expect(found.group == envelope.group)
                    #expect(found.from == envelope.from)
                    #expect(found.to == envelope.to)
                    received.append(message)
                }
                return true
            }
        }
        #expect(received == [message, message])
    }

    @Test("frames come whole, in whatever portions the stream arrives")
    func portions() throws {
        var stream: [UInt8] = []
        for message in WireTests.samples { stream += frame([message]) }
        var dice = Dice(seed: 3)
        for _ in 0..<200 {
            var reader = FrameReader()
            var count = 0
            var offset = 0
            while offset < stream.count {
                let size = min(stream.count - offset, 1 + Int(dice.next() % 40))
                try stream[offset..<(offset + size)].withUnsafeBytes { bytes in
                    try reader.receive(bytes, format: format) { _, _ in
                        count += 1
                        return true
                    }
                }
                offset += size
            }
            #expect(count == WireTests.samples.count)
            #expect(reader.heldCount == 0)
        }
    }

    @Test("a flipped bit anywhere in a frame is refused, in its header before the body is there")
    func flippedBits() {
        let sound = frame([WireTests.samples[0]])
        for bit in 0..<(sound.count * 8) {
            var bytes = sound
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            let isInHeader = bit / 8 < format.headerSize
            var frames = 0
            var reader = FrameReader()
            #expect(throws: FrameReader.Bad.self, "bit \(bit)") {
                let part = isInHeader ? bytes.prefix(format.headerSize) : bytes[...]
                try part.withUnsafeBytes { buffer in
                    try reader.receive(buffer, format: format) { _, _ in
                        frames += 1
                        return true
                    }
                }
            }
            #expect(frames == 0)
        }
    }

    @Test("an enormous length is refused before anything is kept for it")
    func enormous() {
        var bytes = frame([WireTests.samples[0]])
        for place in 4..<8 { bytes[place] = 0xFF }
        // As if that had been sent.
        let check = bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress, 16) }
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: check).littleEndian) {
            bytes.replaceSubrange(16..<20, with: $0)
        }
        var reader = FrameReader()
        #expect(throws: FrameReader.Bad.self) {
            try bytes.withUnsafeBytes { buffer in
                try reader.receive(buffer, format: format) { _, _ in true }
            }
        }
    }

    @Test("malformed messages are refused, never trapped on")
    func fuzz() {
        var dice = Dice(seed: 11)
        for _ in 0..<20_000 {
            let sample = WireTests.samples[Int(dice.next() % UInt64(WireTests.samples.count))]
            var body = Array(frame([sample]).dropFirst(format.headerSize))
            for _ in 0..<(1 + dice.next() % 6) where !body.isEmpty {
                let place = Int(dice.next() % UInt64(body.count))
                switch dice.next() % 3 {
                case 0: body[place] = UInt8(truncatingIfNeeded: dice.next())
                case 1: body.removeLast(body.count - place)
                default: body.insert(UInt8(truncatingIfNeeded: dice.next()), at: place)
                }
            }
            body.withUnsafeBytes { buffer in
                var fields = ByteReader(buffer)
                while fields.remaining > 0 {
                    if (try? WireMessage.read(from: &fields)) == nil { break }
                }
            }
        }
    }

    @Test("entries that don't fill their message exactly are refused")
    func badEntries() {
        let entry: [UInt8] = [3, 0, 0, 0, 1, 65, 66, 67]
        func isAccepted(_ entries: [UInt8], count: Int) -> Bool {
            let append = Message.append(
                .init(
                    term: Term(5), previous: .init(index: LogIndex(8), term: Term(4)),
                    entriesTerm: Term(5), count: count, commit: LogIndex(7)))
            let body = Array(frame([append], entries: entries).dropFirst(format.headerSize))
            return body.withUnsafeBytes { buffer in
                var fields = ByteReader(buffer)
                return (try? WireMessage.read(from: &fields)) != nil
            }
        }
        #expect(isAccepted(entry, count: 1))
        #expect(isAccepted(entry + entry, count: 2))
        #expect(!isAccepted(entry, count: 2))
        #expect(!isAccepted(entry + [0], count: 1))
        #expect(!isAccepted(Array(entry.dropLast()), count: 1))
        #expect(!isAccepted([3, 0, 0, 0, 99, 65, 66, 67], count: 1), "an unknown kind")
        #expect(!isAccepted([0xFF, 0xFF, 0xFF, 0xFF, 1], count: 1))
        #expect(!isAccepted([3, 0, 0, 0, 2, 65, 66, 67], count: 1), "a route without its epoch")
    }

    @Test("a hello is checked for version, cluster, identity and whom it looks for")
    func hello() throws {
        let hello = Hello(versions: 1...1, clusterID: "c", node: 1, expected: 2, boot: 3)
        let decoded = try #require(hello.encoded().withUnsafeBytes { Hello.decode($0) })
        #expect(decoded == hello)
        func objection(_ change: (inout Hello) -> Void) -> String? {
            var changed = hello
            change(&changed)
            return changed.objection(node: 2, clusterID: "c", isPeer: { $0 == 1 || $0 == 3 })
        }
        #expect(objection { _ in } == nil)
        #expect(objection { $0.versions = 2...3 } != nil)
        #expect(objection { $0.clusterID = "other" } != nil)
        #expect(objection { $0.node = 2 } != nil)
        #expect(objection { $0.node = 9 } != nil)
        #expect(objection { $0.expected = 3 } != nil)
    }
}
