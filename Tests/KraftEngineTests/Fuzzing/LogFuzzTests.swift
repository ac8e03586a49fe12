import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Fuzz: the log's records, segments, recovery")
struct LogFuzzTests {
    /// A log of so many writes, of one entry each.
    private static func logged(_ count: UInt64) -> LogUnderTest? {
        guard var test = try? LogUnderTest() else { return nil }
        test.createGroup()
        test.write()
        for index in 1...count {
            test.addEntry(index, size: 900)
            test.write()
        }
        return test
    }

    @Test("recovery of a spoilt log ends, whatever stands there")
    func anything() throws {
        let test = try #require(LogFuzzTests.logged(150))
        let numbers = test.memory.segments.keys.sorted()
        #expect(numbers.count > 3)
        WireSamples.rounds(600).run { mutator in
            var memory = test.memory
            let number = mutator.random.pick(numbers)
            switch mutator.random.below(6) {
            case 0: memory.segments[number] = nil
            case 1: memory.segments[number] = memory.segments[mutator.random.pick(numbers)]
            default:
                guard var bytes = memory.segments[number] else { return }
                mutator.mutate(&bytes, others: [memory.segments[numbers[0]] ?? []])
                memory.segments[number] = bytes
            }
            _ = try? LogUnderTest.recover(memory)
        }
    }

    @Test("damage at one place is found, or costs nothing")
    func damageAtOnePlace() throws {
        let test = try #require(LogFuzzTests.logged(40))
        try WireSamples.rounds(1_500).run { mutator in
            var memory = test.memory
            guard let write = mutator.random.element(test.writes),
                var bytes = memory.segments[write.segment]
            else { return }
            let width = mutator.random.number(in: 1...64)
            let place = write.offset + mutator.random.below(write.count - width)
            var part = Array(bytes[place..<(place + width)])
            mutator.mutate(&part)
            // A whole sector of zeros may never have been written.
            if part.allSatisfy({ $0 == 0 }) { return }
            // The same length: a disk doesn't move what stands behind.
            part = Array((part + [UInt8](repeating: 0, count: width)).prefix(width))
            bytes.replaceSubrange(place..<(place + width), with: part)
            memory.segments[write.segment] = bytes
            guard let log = try? LogUnderTest.recover(memory) else {
                throw FuzzFinding("it is refused", mutator.seed)
            }
            let last = log.groups.first?.terms.lastIndex.rawValue ?? 0
            if last < 40, log.damages.isEmpty || log.groups.first?.isDamaged == false {
                throw FuzzFinding("entries are gone without a word", mutator.seed)
            }
        }
    }

    @Test("records with sound checksums and senseless fields never trap recovery")
    func senselessRecords() throws {
        let numbers: [UInt64] = [0, 1, 2, 3, 4, 5, 100, 1 << 31, 1 << 62, 1 << 63, .max - 1, .max]
        let kinds: [RecordKind] = [
            .entries, .entries, .entries, .hardState, .groupCreated, .groupRemoved, .boot, .roster,
            .identity, .rewritten, .rewritten, .checkpoint, .checkpoint, .nodeLists, .logStart,
        ]
        try WireSamples.rounds(4_000).run { mutator in
            guard var test = try? LogUnderTest() else { return }
            if mutator.random.chance(900) { test.createGroup() }
            for index in 1...3 as ClosedRange<UInt64> where mutator.random.chance(700) {
                test.addEntry(index, size: 10)
            }
            for _ in 0..<mutator.random.number(in: 1...4) {
                let kind = mutator.random.pick(kinds)
                var payload = LogFuzzTests.payload(of: kind)
                if mutator.random.chance(700) { mutator.mutate(&payload) }
                test.add(
                    kind, payload, index: mutator.random.pick(numbers),
                    term: mutator.random.pick(numbers),
                    count: Int(mutator.random.pick(0, 1, 2, 3, 4, 1 << 20, 1 << 32, 1 << 62)))
            }
            test.write()
            guard let log = try? LogUnderTest.recover(test.memory) else { return }
            for group in log.groups { try start(group, mutator.seed) }
        }
    }

    private static func payload(of kind: RecordKind) -> [UInt8] {
        var writer = ByteWriter()
        switch kind {
        case .entries: return WireSamples.entries
        case .hardState: return []
        case .groupCreated, .groupRemoved: return WireSamples.record?.encoded ?? []
        case .boot:
            BootRecord(
                store: 7, lives: 3, leaseMilliseconds: 500, earlierLeaseMilliseconds: 400, boot: 9
            ).encode(into: &writer)
        case .roster: WireSamples.roster[0].encode(into: &writer)
        case .identity: PeerIdentity(store: 7, lives: 3, boot: 9).encode(into: &writer)
        case .rewritten: return WireSamples.entries
        case .checkpoint: WireSamples.checkpoint?.encode(into: &writer)
        case .nodeLists: WireSamples.nodeLists.encode(into: &writer)
        case .logStart: return []
        }
        return writer.bytes
    }

    /// What was believed must be good enough to live with.
    private func start(_ group: RecoveredGroup, _ seed: UInt64) throws {
        var raft = Raft(
            replica: Replica(1, group.replica), configurations: group.configurations,
            hardState: group.hardState, log: group.terms, options: .init(), seed: 1, now: .zero)
        var effects = RaftEffects()
        raft.tick(now: .zero + .seconds(10), effects: &effects)
        for index in group.index.runs.flatMap({ [$0.first, $0.last] }) {
            if group.terms.term(at: index) == nil {
                throw FuzzFinding("an entry without a term", seed)
            }
        }
    }

    @Test("headers with spoilt fields are refused, or come back as they were")
    func headers() throws {
        let segment = SegmentHeader(
            number: 3, nonce: 77, sizeBytes: 128 << 10, node: 1, store: 5, clusterID: "cluster"
        ).encoded()
        try WireSamples.rounds(30_000).run { mutator in
            var fields = Array(segment[..<68])
            mutator.mutate(&fields)
            var bytes = fields + [UInt8](repeating: 0, count: LogFormat.blockSize)
            bytes.removeLast(bytes.count - (LogFormat.blockSize - 8))
            let checksum = bytes.withUnsafeBytes { LogFormat.checksum($0, seed: 0) }
            withUnsafeBytes(of: checksum.littleEndian) { bytes += $0 }
            guard let header = bytes.withUnsafeBytes({ SegmentHeader.decode($0) }) else { return }
            let again = SegmentHeader.decode(header.encoded())
            if again != header { throw FuzzFinding("another segment header", mutator.seed) }
            if header.clusterID.utf8.count > 128 {
                throw FuzzFinding("a long cluster id", mutator.seed)
            }
        }
    }

    @Test("a spoilt group record is refused, or says what its bytes say")
    func groupRecords() throws {
        let sound = try #require(WireSamples.record?.encoded)
        try WireSamples.rounds(200_000).run { mutator in
            var bytes = sound
            mutator.mutate(&bytes, others: [sound])
            let record = bytes.withUnsafeBytes {
                var reader = ByteReader($0)
                return try? GroupRecord(from: &reader)
            }
            guard let record else { return }
            if !bytes.starts(with: record.encoded) {
                throw FuzzFinding("another record", mutator.seed)
            }
        }
    }

    @Test("a spoilt membership is refused, or is one that changes may lead to")
    func memberships() throws {
        let sound = try #require(WireSamples.membership?.encoded)
        try WireSamples.rounds(200_000).run { mutator in
            var bytes = sound
            mutator.mutate(&bytes, others: [sound])
            let membership = bytes.withUnsafeBytes { try? Membership.decode($0) }
            guard let membership else { return }
            if membership.encoded != bytes { throw FuzzFinding("another one", mutator.seed) }
            try checkLife(of: membership, mutator.seed)
        }
    }

    /// A node that believes it must be able to take the change to its end.
    private func checkLife(of membership: Membership, _ seed: UInt64) throws {
        var raft = Raft(
            replica: membership.members[0],
            configurations: [.init(index: .zero, membership: membership)],
            hardState: HardState(), log: LogTerms(), options: .init(), seed: 1, now: .zero)
        var effects = RaftEffects()
        for _ in 0..<4 {
            raft.tick(now: .zero + .seconds(100), effects: &effects)
            for member in membership.members {
                let term = raft.role == .preCandidate ? raft.term.next : raft.term
                let vote = Message.VoteReply(
                    term: term, isPreVote: raft.role == .preCandidate, isGranted: true)
                raft.step(from: member, .voteReply(vote), now: .zero, effects: &effects)
            }
        }
        for _ in 0..<8 where raft.isLeader {
            raft.persisted(upTo: raft.log.lastIndex, now: .zero, effects: &effects)
            for member in raft.membership.members where raft.isLeader && member != raft.replica {
                let reply = Message.AppendReply(
                    term: raft.term, index: raft.log.lastIndex, isRejected: false, hint: .start)
                raft.step(from: member, .appendReply(reply), now: .zero, effects: &effects)
            }
            raft.flush(now: .zero, effects: &effects)
        }
        if raft.isLeader, raft.membership.goal != nil {
            throw FuzzFinding("a change that never ends", seed)
        }
    }

    @Test("a run of entries is measured within its bytes")
    func entryRuns() throws {
        try WireSamples.rounds(150_000).run { mutator in
            var bytes = WireSamples.entries
            mutator.mutate(&bytes, others: [WireSamples.entries])
            let count = mutator.random.number(in: 0...5)
            try bytes.withUnsafeBytes { run in
                guard let memberships = EntryRun.check(run, count: count) else { return }
                if memberships.contains(where: { $0.offset >= count }) {
                    throw FuzzFinding("a configuration in no entry", mutator.seed)
                }
                if EntryRun.size(run, count: count) != run.count {
                    throw FuzzFinding("entries beyond their bytes", mutator.seed)
                }
                guard count > 0 else { return }
                let limit = mutator.random.below(40)
                let fitting = EntryRun.fitting(run, most: count, limit: limit)
                if fitting.count < 1 || fitting.size > run.count
                    || fitting.count > 1 && fitting.size > limit
                {
                    throw FuzzFinding("more than fits", mutator.seed)
                }
            }
        }
    }

    @Test("what is read back spoilt is found out, never handed on")
    func readBack() throws {
        let count: UInt64 = 60
        try WireSamples.rounds(300).run { mutator in
            guard var test = try? LogUnderTest() else { return }
            test.createGroup()
            test.write()
            var places: [(position: LogPosition, byte: UInt8)] = []
            for index in 1...count {
                let header = RecordHeader(
                    kind: .entries, payloadCount: 2_000, group: LogUnderTest.group,
                    index: LogIndex(index), term: Term(1), count: 1)
                let position = test.log.append(header) { target in
                    target.initializeMemory(
                        as: UInt8.self, repeating: UInt8(index), count: 2_000)
                }.position
                places.append((position, UInt8(index)))
                test.write()
                test.log.trim()
            }
            let (position, byte) = places[mutator.random.below(10)]
            guard let read = test.log.requestRead(at: position, count: 2_000),
                let segment = test.memory.segments[read.segment]
            else { return }
            var bytes = Array(segment[read.offset..<min(segment.count, read.offset + read.count)])
            mutator.mutate(&bytes)
            _ = bytes.withUnsafeBytes { test.log.wasRead(read.id, $0) }
            guard let payload = test.log.payload(at: position, count: 2_000) else { return }
            if !payload.allSatisfy({ $0 == byte }) {
                throw FuzzFinding("spoilt bytes are believed", mutator.seed)
            }
        }
    }
}

extension SegmentHeader {
    fileprivate static func decode(_ bytes: [UInt8]) -> SegmentHeader? {
        bytes.withUnsafeBytes { decode($0) }
    }
}
