import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

@Suite("Backups: one group's snapshot becomes another's")
struct TranscoderTests {
    private static let target = SnapshotName(
        group: GroupID(77), position: EntryPosition(index: LogIndex(2_009), term: Term(5)),
        nonce: 99)

    private static func owner() throws -> SnapshotOwner {
        SnapshotOwner(
            name: try #require(GroupName("other")), incarnation: 8, epoch: Epoch(3),
            configuration: .init(
                index: LogIndex(2_000), membership: try #require(Membership(voters: [4]))))
    }

    /// Feeds bytes in portions; nil if they are refused.
    private func transcode(
        _ bytes: [UInt8], _ mutator: inout ByteMutator
    ) throws -> (transcoder: SnapshotTranscoder, output: [UInt8])? {
        var transcoder = SnapshotTranscoder(
            into: TranscoderTests.target, owner: try TranscoderTests.owner())
        var writer = ByteWriter()
        var offset = 0
        while offset < bytes.count {
            let size = min(bytes.count - offset, mutator.random.number(in: 1...200))
            var isRefused = false
            bytes[offset..<(offset + size)].withUnsafeBytes { part in
                do throws(SnapshotDecoder.Damage) {
                    try transcoder.receive(part, into: &writer)
                } catch { isRefused = true }
            }
            if isRefused { return nil }
            offset += size
        }
        return (transcoder, writer.bytes)
    }

    @Test("machine's state and sessions stay, whose it is changes; in whatever portions")
    func content() throws {
        try WireSamples.rounds(300).run { mutator in
            let sample = mutator.random.pick(SnapshotSample.all)
            let (transcoder, output) = try #require(try transcode(sample.file, &mutator))
            #expect(transcoder.isWhole && transcoder.source == sample.name)
            #expect(transcoder.byteCount == UInt64(output.count))
            var pieces: [[UInt8]] = []
            var scan = SnapshotScan()
            try output.withUnsafeBytes { bytes in
                try scan.receive(bytes) { item in
                    if case .piece(let piece) = item { pieces.append(Array(piece)) }
                }
            }
            #expect(scan.isWhole && scan.name == TranscoderTests.target)
            #expect(pieces == sample.pieces)
            #expect(try scan.owner() == (try TranscoderTests.owner()))
            let before = try sample.state.withUnsafeBytes {
                try EngineState.decode($0, at: sample.name.position)
            }
            var (old, new) = (ByteWriter(), ByteWriter())
            before.sessions?.encode(into: &old)
            try scan.state().sessions?.encode(into: &new)
            #expect(old.bytes == new.bytes)
        }
    }

    @Test("a new owner without an epoch keeps the state's")
    func epoch() throws {
        var owner = try TranscoderTests.owner()
        owner.epoch = nil
        var transcoder = SnapshotTranscoder(into: TranscoderTests.target, owner: owner)
        var writer = ByteWriter()
        try SnapshotSample.all[1].file.withUnsafeBytes { try transcoder.receive($0, into: &writer) }
        var scan = SnapshotScan()
        try writer.bytes.withUnsafeBytes { try scan.receive($0) }
        #expect(try scan.owner().epoch == Epoch(7))
    }

    @Test("a backup with a flipped bit anywhere is refused")
    func everyBit() throws {
        for sample in SnapshotSample.all {
            for place in 0..<(8 * sample.file.count) {
                var bytes = sample.file
                bytes[place / 8] ^= 1 << UInt8(place % 8)
                var mutator = ByteMutator(seed: UInt64(place))
                let result = try transcode(bytes, &mutator)
                #expect(result?.transcoder.isWhole != true, "bit \(place)")
            }
        }
    }

    @Test("a spoilt backup is refused, or is the very same")
    func spoilt() throws {
        let files = SnapshotSample.all.map(\.file)
        try WireSamples.rounds(30_000).run { mutator in
            let sample = mutator.random.pick(SnapshotSample.all)
            var bytes = sample.file
            mutator.mutate(&bytes, others: files)
            let result = try transcode(bytes, &mutator)
            let isSound = result?.transcoder.isWhole == true
            if isSound != files.contains(bytes) {
                throw FuzzFinding(
                    isSound ? "a spoilt file is believed" : "a sound file is refused", mutator.seed)
            }
        }
    }

    @Test("a checksum that runs is the one of the whole")
    func checksum() {
        var mutator = ByteMutator(seed: 1)
        let bytes = SnapshotSample.all[2].file
        var running = RunningChecksum()
        var offset = 0
        while offset < bytes.count {
            let size = min(bytes.count - offset, mutator.random.number(in: 1...100))
            bytes[offset..<(offset + size)].withUnsafeBytes { running.add($0) }
            offset += size
        }
        #expect(running.value == RunningChecksum.of(bytes))
    }
}
