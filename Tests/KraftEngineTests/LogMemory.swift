import KraftRouting
import RaftCore

@testable import KraftEngine

/// A log folder in memory, for tests of the format alone.
struct LogMemory: LogDirectory {
    var segments: [UInt64: [UInt8]] = [:]
    var syncs = 0

    mutating func segmentNumbers() throws(KraftError) -> [UInt64] { segments.keys.sorted() }

    mutating func snapshotNames() throws(KraftError) -> [SnapshotName] { [] }

    mutating func load(segment number: UInt64) throws(KraftError) -> Block {
        let bytes = segments[number] ?? []
        let block = Block(capacity: max(1, bytes.count))
        block.load { target in
            target.copyBytes(from: bytes)
            return bytes.count
        }
        return block
    }

    mutating func prepare(_ segment: SegmentPreparation) throws(KraftError) {
        if let old = segment.recycles { segments[old] = nil }
        segments[segment.number] =
            segment.header
            + [UInt8](repeating: 0, count: segment.sizeBytes - segment.header.count)
    }

    mutating func rewrite(
        segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(KraftError) {
        segments[number]?.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }

    mutating func sync() throws(KraftError) { syncs += 1 }

    mutating func carryOut(_ write: LogWrite) {
        var offset = write.offset
        for piece in write.pieces {
            let bytes = piece.block.bytes(piece.range)
            segments[write.segment]?.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
            offset += bytes.count
        }
    }
}

/// A shared log over `LogMemory`, written by hand.
struct LogUnderTest {
    static let node: NodeID = 1
    static let clusterID = "test"
    var memory = LogMemory()
    var log: SharedLog
    let limits: EngineConfiguration.LogLimits
    /// Places of the writes, in order.
    var writes: [(segment: UInt64, offset: Int, count: Int)] = []

    static var limits: EngineConfiguration.LogLimits {
        var limits = EngineConfiguration.LogLimits()
        limits.segmentSizeBytes = 128 << 10
        limits.cacheSizeBytes = 64 << 10
        return limits
    }

    init(memory: LogMemory = LogMemory(), limits: EngineConfiguration.LogLimits = limits) throws {
        self.memory = memory
        self.limits = limits
        let recovered = try LogRecovery.recover(
            &self.memory, node: LogUnderTest.node, clusterID: LogUnderTest.clusterID,
            limits: limits, seed: 1)
        log = SharedLog(
            recovered: recovered, node: LogUnderTest.node, clusterID: LogUnderTest.clusterID,
            life: .init(number: (recovered.lists.lives.last?.number ?? 0) + 1, boot: 7),
            limits: limits, seed: 2)
    }

    static func recover(_ memory: LogMemory) throws -> RecoveredLog {
        var memory = memory
        return try LogRecovery.recover(
            &memory, node: node, clusterID: clusterID, limits: limits, seed: 3)
    }

    static let group = GroupID(7)

    mutating func createGroup() {
        guard let name = GroupName("g"), let base = Membership(voters: [1]) else { return }
        let payload = GroupRecord(
            name: name, incarnation: 1, replica: .initial, base: base
        ).encoded
        add(.groupCreated, payload, index: 0, term: 0, count: 0)
    }

    mutating func add(
        _ kind: RecordKind, _ payload: [UInt8], index: UInt64, term: UInt64, count: Int
    ) {
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: LogUnderTest.group,
            index: LogIndex(index), term: Term(term), count: count)
        _ = log.append(header) { target in
            for (place, byte) in payload.enumerated() {
                target.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
            }
        }
    }

    /// One entry a call; its payload is `size` bytes of `index`.
    mutating func addEntry(_ index: UInt64, term: UInt64 = 1, size: Int = 100) {
        add(.entries, LogUnderTest.entry(index, size: size), index: index, term: term, count: 1)
    }

    static func entry(_ index: UInt64, size: Int) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(size))
        writer.write(EntryKind.command.rawValue)
        writer.write(raw: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: size))
        return writer.bytes
    }

    /// As `addEntry`, for one that stands further back, too.
    mutating func addRewritten(_ index: UInt64, term: UInt64 = 1, size: Int = 100) {
        add(.rewritten, LogUnderTest.entry(index, size: size), index: index, term: term, count: 1)
    }

    mutating func addCheckpoint(base: UInt64, term: UInt64 = 1, isReset: Bool = false) {
        guard let name = GroupName("g"), let members = Membership(voters: [1]) else { return }
        let position = EntryPosition(index: LogIndex(base), term: Term(base == 0 ? 0 : term))
        let snapshot = SnapshotName(group: LogUnderTest.group, position: position, nonce: 5)
        let checkpoint = Checkpoint(
            record: GroupRecord(name: name, incarnation: 1, replica: .initial, base: members),
            hardState: HardState(term: Term(term), vote: 1), base: position,
            configuration: .init(index: .zero, membership: members),
            snapshot: SnapshotReference(name: snapshot, byteCount: 1), isReset: isReset)
        var writer = ByteWriter()
        checkpoint.encode(into: &writer)
        add(.checkpoint, writer.bytes, index: base, term: term, count: 0)
    }

    /// The log begins with this segment.
    mutating func addStart(_ segment: UInt64) {
        add(.logStart, [], index: segment, term: 0, count: 0)
    }

    /// Writes what has been collected, as one write or, over a segment's end, several.
    mutating func write() {
        while true {
            if let preparation = log.takePreparation() {
                try? memory.prepare(preparation)
                log.segmentPrepared(preparation.number)
            }
            guard let write = log.takeWrite() else { return }
            writes.append((write.segment, write.offset, write.byteCount))
            memory.carryOut(write)
            _ = log.written(write.id)
        }
    }
}
