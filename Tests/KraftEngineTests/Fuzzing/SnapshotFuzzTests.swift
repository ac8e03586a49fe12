import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

/// Snapshots' files as they should be, and what they hold.
struct SnapshotSample {
    let name: SnapshotName
    let state: [UInt8]
    let pieces: [[UInt8]]
    let file: [UInt8]

    init(nonce: UInt64, pieces: [[UInt8]], sessions: SessionTable? = nil) {
        name = SnapshotName(
            group: WireSamples.group, position: EntryPosition(index: LogIndex(9), term: Term(2)),
            nonce: nonce)
        self.pieces = pieces
        var writer = ByteWriter()
        if let group = GroupName("g"), let members = WireSamples.membership {
            EngineState(
                name: group, incarnation: 3, epoch: Epoch(7),
                configuration: .init(index: LogIndex(4), membership: members), sessions: sessions
            ).encode(into: &writer)
        }
        state = writer.bytes
        var encoder = SnapshotEncoder(name: name)
        var out = ByteWriter()
        encoder.begin(engineState: state, into: &out)
        for piece in pieces { piece.withUnsafeBytes { encoder.piece($0, into: &out) } }
        encoder.end(into: &out)
        file = out.bytes
    }

    static let all = [
        SnapshotSample(nonce: 1, pieces: [], sessions: sessions),
        SnapshotSample(nonce: 2, pieces: [[1, 2, 3]]),
        SnapshotSample(
            nonce: 3, pieces: (0..<5).map { [UInt8](repeating: UInt8($0), count: 40 * $0) },
            sessions: sessions),
    ]

    static let sessions: SessionTable = {
        var table = SessionTable()
        _ = table.advance(to: 100)
        _ = table.open(SessionID(5), ttl: 60_000, at: LogIndex(2))
        _ = table.open(SessionID(6), ttl: 1_000, at: LogIndex(3))
        for sequence in UInt64(1)...3 {
            let tag = SessionTag(session: SessionID(5), sequence: sequence)
            let ticket = table.record(tag, at: LogIndex(3 + sequence))
            [UInt8](repeating: 9, count: Int(sequence)).withUnsafeBytes {
                table.finish(ticket, reply: sequence == 2 ? nil : $0)
            }
        }
        table.close(SessionID(6))
        return table
    }()
}

@Suite("Fuzz: snapshots")
struct SnapshotFuzzTests {
    @Test("a snapshot comes out of its file as it went in, in whatever portions")
    func portions() throws {
        try WireSamples.rounds(2_000).run { mutator in
            let sample = mutator.random.pick(SnapshotSample.all)
            var stream = SnapshotStream(sample.name)
            guard try feed(sample.file, to: &stream, &mutator), stream.isWhole else {
                throw FuzzFinding("a sound file is refused", mutator.seed)
            }
            if stream.engineState != sample.state {
                throw FuzzFinding("another engine state", mutator.seed)
            }
        }
    }

    @Test("a spoilt file is refused, or is the very same")
    func files() throws {
        let files = SnapshotSample.all.map(\.file)
        try WireSamples.rounds(100_000).run { mutator in
            let sample = mutator.random.pick(SnapshotSample.all)
            var bytes = sample.file
            mutator.mutate(&bytes, others: files)
            var stream = SnapshotStream(sample.name)
            let isSound = try feed(bytes, to: &stream, &mutator) && stream.isWhole
            if isSound != (bytes == sample.file) {
                throw FuzzFinding(
                    isSound ? "a spoilt file is believed" : "a sound file is refused", mutator.seed)
            }
        }
    }

    private func feed(
        _ bytes: [UInt8], to stream: inout SnapshotStream, _ mutator: inout ByteMutator
    ) throws -> Bool {
        var offset = 0
        while offset < bytes.count {
            let size = min(bytes.count - offset, mutator.random.number(in: 1...200))
            var isRefused = false
            bytes[offset..<(offset + size)].withUnsafeBytes { part in
                do throws(SnapshotDecoder.Damage) {
                    try stream.receive(part)
                } catch { isRefused = true }
            }
            if isRefused { return false }
            offset += size
        }
        return true
    }

    @Test("a spoilt engine state is refused, or says exactly what its bytes say")
    func engineStates() throws {
        let states = SnapshotSample.all.map(\.state)
        let position = EntryPosition(index: LogIndex(9), term: Term(2))
        try WireSamples.rounds(100_000).run { mutator in
            var bytes = mutator.random.pick(states)
            mutator.mutate(&bytes, others: states)
            let state = bytes.withUnsafeBytes { try? EngineState.decode($0, at: position) }
            guard let state else { return }
            var writer = ByteWriter()
            state.encode(into: &writer)
            if writer.bytes != bytes {
                throw FuzzFinding("it was read from other bytes", mutator.seed)
            }
            if state.configuration.index > position.index {
                throw FuzzFinding("members of a later entry", mutator.seed)
            }
        }
    }

    @Test("names of files are exactly those that are written")
    func names() {
        let name = SnapshotSample.all[0].name
        #expect(SnapshotName(fileName: name.fileName) == name)
        for other in ["", ".snap", name.fileName + ".snap", "x" + name.fileName] {
            #expect(SnapshotName(fileName: other) == nil)
        }
    }
}
