import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Session entries and their way between nodes")
struct SessionEntryTests {
    private static let tag = SessionTag(session: SessionID(0xABCD), sequence: 42)

    private static let changes: [SessionChange] = [
        .open(SessionID(1), ttlMilliseconds: 60_000),
        .open(SessionID(.max), ttlMilliseconds: 1),
        .touch([SessionID(1)]),
        .touch((1...1_024).map { SessionID($0) }),
        .close(SessionID(3)),
    ]

    private static let unsound: [SessionChange] = [
        .open(SessionID(0), ttlMilliseconds: 60_000),
        .open(SessionID(1), ttlMilliseconds: 0),
        .open(SessionID(1), ttlMilliseconds: 86_400_001),
        .touch([]),
        .touch([SessionID(0)]),
        .touch((1...1_025).map { SessionID($0) }),
        .close(SessionID(0)),
    ]

    private func payload(_ change: SessionChange) -> [UInt8] {
        var writer = ByteWriter()
        SessionEntry.write(change, into: &writer)
        return writer.bytes
    }

    private func payload(_ tag: SessionTag, route: UInt64 = 0, _ command: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        command.withUnsafeBytes { SessionEntry.write(tag, route: route, $0, into: &writer) }
        return writer.bytes
    }

    private func run(_ kind: UInt8, _ payload: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(payload.count))
        writer.write(kind)
        writer.write(raw: payload)
        return writer.bytes
    }

    private func isWellFormed(_ run: [UInt8]) -> Bool {
        run.withUnsafeBytes { EntryRun.isWellFormed($0, count: 1) }
    }

    @Test("a change comes back as it was written")
    func changes() {
        for change in SessionEntryTests.changes {
            let bytes = payload(change)
            #expect(bytes.withUnsafeBytes { SessionEntry.change($0) } == change)
            #expect(isWellFormed(run(5, bytes)))
            #expect(!isWellFormed(run(5, Array(bytes.dropLast()))))
            #expect(!isWellFormed(run(5, bytes + [0])))
        }
        for change in SessionEntryTests.unsound { #expect(!isWellFormed(run(5, payload(change)))) }
    }

    @Test("a command comes back with its tag and route, empty or not")
    func commands() throws {
        for command in [[], [1, 2, 3]] as [[UInt8]] {
            let bytes = payload(SessionEntryTests.tag, route: 7, command)
            try bytes.withUnsafeBytes { buffer in
                let read = try #require(SessionEntry.command(buffer))
                #expect(read.tag == SessionEntryTests.tag)
                #expect(read.route == 7)
                #expect(read.stamp == 0)
                #expect(Array(read.bytes) == command)
            }
            #expect(isWellFormed(run(6, bytes)))
        }
        #expect(!isWellFormed(run(6, Array(payload(SessionEntryTests.tag, []).dropLast()))))
        for tag in [
            SessionTag(session: SessionID(0), sequence: 1),
            SessionTag(session: SessionID(1), sequence: 0),
            SessionTag(session: SessionID(1), sequence: 1 << 62),
        ] { #expect(!isWellFormed(run(6, payload(tag, [1])))) }
    }

    /// A forwarded proposal as `docs/wire-format.md` describes it.
    private func proposal(_ kind: UInt8, _ payload: [UInt8], route: UInt64 = 0) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(MessageTag.proposal.rawValue)
        writer.write(UInt64(77))
        writer.write(UInt64(9))
        writer.write(UInt64(1_000_000))
        writer.write(route)
        writer.write(kind)
        writer.writeBlob(payload)
        return writer.bytes
    }

    private func read(_ bytes: [UInt8]) -> (NodeMessage.ForwardedProposal, [UInt8])? {
        bytes.withUnsafeBytes { buffer in
            var reader = ByteReader(buffer)
            guard
                case .proposal(let header, let command)? = try? WireMessage.read(from: &reader),
                reader.remaining == 0
            else { return nil }
            return (header, Array(command))
        }
    }

    @Test("a forwarded proposal says of what kind it is, and others aren't taken")
    func forwarded() throws {
        let plain = try #require(read(proposal(1, [1, 2], route: 5)))
        #expect(plain.0.kind == .command && plain.0.route == 5 && plain.1 == [1, 2])
        let command = payload(SessionEntryTests.tag, [9])
        let tagged = try #require(read(proposal(6, command)))
        #expect(tagged.0.kind == .sessionCommand && tagged.1 == command)
        let change = payload(.touch([SessionID(4)]))
        #expect(read(proposal(5, change))?.0.kind == .session)
        #expect(read(proposal(6, command, route: 5)) == nil, "a second route")
        #expect(read(proposal(6, Array(command.prefix(31)))) == nil)
        #expect(read(proposal(5, [])) == nil)
        for kind in [UInt8(0), 2, 3, 4, 7, 255] {
            #expect(read(proposal(kind, command)) == nil, "kind \(kind)")
        }
    }

    @Test("mutated entries and proposals are refused or taken, never trapped on")
    func fuzz() {
        var dice = Dice(seed: 5)
        let samples: [(UInt8, [UInt8])] =
            SessionEntryTests.changes.map { (5, payload($0)) } + [
                (6, payload(SessionEntryTests.tag, [])),
                (6, payload(SessionEntryTests.tag, route: 3, [1, 2, 3])),
            ]
        var taken = 0
        for _ in 0..<20_000 {
            let (kind, payload) = samples[Int(dice.next() % UInt64(samples.count))]
            var bytes = dice.next() % 2 == 0 ? run(kind, payload) : proposal(kind, payload)
            for _ in 0...dice.next() % 3 where !bytes.isEmpty {
                let place = Int(dice.next() % UInt64(min(bytes.count, 80)))
                switch dice.next() % 4 {
                case 0: bytes.removeLast(bytes.count - place)
                case 1: bytes.insert(UInt8(truncatingIfNeeded: dice.next()), at: place)
                default: bytes[place] = UInt8(truncatingIfNeeded: dice.next())
                }
            }
            if isWellFormed(bytes) { taken += 1 }
            if read(bytes) != nil { taken += 1 }
        }
        #expect(taken > 100)
    }
}
