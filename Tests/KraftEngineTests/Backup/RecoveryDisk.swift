import KraftRouting
import RaftCore

@testable import KraftEngine

/// A log folder that loses power at its n-th change. Of the write that is cut off a front part of its
/// sectors may be there.
struct RecoveryDisk: LogDirectory {
    var memory: LogMemory
    /// Changes that are still carried out; negative: all of them.
    var budget: Int
    /// Of the change that isn't, so many sectors.
    var sectors: Int
    private(set) var changes = 0
    private(set) var isOff = false

    init(_ memory: LogMemory, budget: Int = -1, sectors: Int = 0) {
        (self.memory, self.budget, self.sectors) = (memory, budget, sectors)
    }

    private mutating func spend() throws(KraftError) -> Bool {
        if isOff { throw KraftError(.storage, "the power is off") }
        changes += 1
        guard budget >= 0 else { return true }
        budget -= 1
        isOff = budget < 0
        return !isOff
    }

    mutating func segmentNumbers() throws(KraftError) -> [UInt64] {
        try memory.segmentNumbers()
    }
    mutating func load(segment number: UInt64) throws(KraftError) -> Block {
        try memory.load(segment: number)
    }
    mutating func snapshotNames() throws(KraftError) -> [SnapshotName] { [] }

    mutating func prepare(_ segment: SegmentPreparation) throws(KraftError) {
        guard try spend() else { throw KraftError(.storage, "the power goes") }
        try memory.prepare(segment)
    }

    mutating func rewrite(
        segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(KraftError) {
        if try spend() { return try memory.rewrite(segment: number, offset: offset, bytes) }
        let count = min(bytes.count, sectors * SectorSums.sectorSize)
        try memory.rewrite(segment: number, offset: offset, .init(rebasing: bytes[..<count]))
        throw KraftError(.storage, "the power goes")
    }

    mutating func sync() throws(KraftError) {
        if isOff { throw KraftError(.storage, "the power is off") }
    }
}

/// A log of node 1 with groups of nodes 1, 2 and 3, as its replicas have written it.
enum LostLog {
    static let owner = LogReport.Owner(node: 1, clusterID: "lone")
    static let segmentSizeBytes = 128 << 10

    static var limits: EngineConfiguration.LogLimits {
        var limits = EngineConfiguration.LogLimits()
        limits.segmentSizeBytes = segmentSizeBytes
        limits.cacheSizeBytes = 128 << 10
        return limits
    }

    /// Groups `g0`, `g1`, … with `entries` commands each: 100 times the group's number and so on, in
    /// three terms, with memberships between them.
    static func memory(groups: Int, entries: UInt64) throws -> LogMemory {
        var memory = LogMemory()
        let recovered = try LogRecovery.recover(
            &memory, node: owner.node, clusterID: owner.clusterID, limits: limits, seed: 1)
        var log = SharedLog(
            recovered: recovered, node: owner.node, clusterID: owner.clusterID,
            life: .init(number: 1, boot: 7), limits: limits, seed: 2)
        let base = Membership(voters: [1, 2, 3])
        for number in 0..<groups {
            guard let name = GroupName("g\(number)"), let base else { continue }
            let record = GroupRecord(name: name, incarnation: 1, replica: .initial, base: base)
            let id = Engine.groupID(record)
            add(.groupCreated, record.encoded, id, 0, 0, 0, to: &log)
            write(&log, &memory)
            for index in 1...entries {
                let term = 1 + index * 3 / (entries + 1)
                let isChange = index % 40 == 20
                let entry =
                    isChange ? membership(base) : command(UInt64(number) * 1_000_000 + index)
                add(.entries, entry, id, index, term, 1, to: &log)
                if index % 7 == 0 { write(&log, &memory) }
            }
            add(.hardState, [], id, 0, 4, 2, to: &log)
            write(&log, &memory)
        }
        return memory
    }

    static func ids(_ number: Int, entries: UInt64) -> [UInt64] {
        (1...entries).filter { $0 % 40 != 20 }.map { UInt64(number) * 1_000_000 + $0 }
    }

    private static func command(_ id: UInt64) -> [UInt8] {
        var payload = ByteWriter()
        // Imports of the audit log's own coding: id, padding.
        payload.write(id)
        payload.write(UInt32(900))
        payload.write(raw: repeatElement(UInt8(truncatingIfNeeded: id | 1), count: 900))
        return entry(.command, payload.bytes)
    }

    private static func membership(_ membership: Membership) -> [UInt8] {
        var payload = ByteWriter()
        membership.encode(into: &payload)
        return entry(.membership, payload.bytes)
    }

    private static func entry(_ kind: EntryKind, _ payload: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(payload.count))
        writer.write(kind.rawValue)
        writer.write(raw: payload)
        return writer.bytes
    }

    private static func add(
        _ kind: RecordKind, _ payload: [UInt8], _ group: GroupID, _ index: UInt64, _ term: UInt64,
        _ count: Int, to log: inout SharedLog
    ) {
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: group, index: LogIndex(index),
            term: Term(term), count: count)
        _ = log.append(header) { target in
            for (place, byte) in payload.enumerated() {
                target.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
            }
        }
    }

    private static func write(_ log: inout SharedLog, _ memory: inout LogMemory) {
        while true {
            if let preparation = log.takePreparation() {
                try? memory.prepare(preparation)
                log.segmentPrepared(preparation.number)
            }
            guard let write = log.takeWrite() else { return }
            memory.carryOut(write)
            _ = log.written(write.id)
        }
    }
}
