import KraftRouting
import RaftCore

@testable import KraftEngine
@testable import KraftTestKit

/// A step of a node's disk, or of what waits for it; before each of them the power may fail.
enum LifeStep: Int, CaseIterable {
    case cacheWrite, syncWrite, tellWrite
    case nameSegment, recycleSegment, syncSegmentFolder, tellSegment, removeSegment
    case writeCapture, nameCapture, syncCaptureFolder, tellCapture
    case writeChunk, tellChunk, writeLastChunk, nameInstalled, syncInstalledFolder, tellInstalled
    case removeSnapshot, readSnapshot, restore, readLog
}

/// One process of a `CrashableCluster`: an engine, its machines, and what its disk is still to do. It
/// does one thing at a time, and says before each what comes.
final class CrashableNode {
    enum Step {
        case cache(LogWrite)
        case sync(LogWrite)
        case written(LogWrite)
        case name(SegmentPreparation)
        case syncFolder(UInt64)
        case prepared(UInt64)
        case capture(SnapshotName, [UInt8])
        case chunk(SnapshotWrite)
        case nameSnapshot(SnapshotName, SnapshotWrite.ID?)
        case syncSnapshots(SnapshotName, SnapshotWrite.ID?)
        case captured(SnapshotName)
        case chunkWritten(SnapshotWrite.ID, isLast: Bool)
        case readSnapshot(SnapshotRead)
        case restore(SnapshotRestore)
        case readLog(LogRead)

        var kind: LifeStep {
            switch self {
            case .cache: .cacheWrite
            case .sync: .syncWrite
            case .written: .tellWrite
            case .name(let preparation):
                preparation.recycles == nil ? .nameSegment : .recycleSegment
            case .syncFolder: .syncSegmentFolder
            case .prepared: .tellSegment
            case .capture: .writeCapture
            case .chunk(let write): write.isLast ? .writeLastChunk : .writeChunk
            case .nameSnapshot(_, let id): id == nil ? .nameCapture : .nameInstalled
            case .syncSnapshots(_, let id): id == nil ? .syncCaptureFolder : .syncInstalledFolder
            case .captured: .tellCapture
            case .chunkWritten(_, let isLast): isLast ? .tellInstalled : .tellChunk
            case .readSnapshot: .readSnapshot
            case .restore: .restore
            case .readLog: .readLog
            }
        }
    }

    /// What the engine wants of the world beyond its disk.
    struct Outgoing {
        var connects: [(connection: ConnectionID, address: String)] = []
        var closes: [ConnectionID] = []
        var sends: [(connection: ConnectionID, bytes: [UInt8])] = []
        var completions: [Completion] = []
        var notices: [Notice] = []
    }

    let id: NodeID
    let disk: SimulatedDisk
    var engine: Engine
    /// By slot.
    private(set) var machines: [Int: AuditLog] = [:]
    /// In the order in which they were given; any may be done next.
    private(set) var steps: [Step] = []
    /// The kinds of records in the write that is under way.
    private(set) var recordsUnderWay: [RecordKind] = []
    var outgoing = Outgoing()
    /// Called before each step of the disk.
    var onStep: ((LifeStep) throws -> Void)?
    /// A machine has applied something, or was restored.
    var onApplied: ((GroupID, [UInt64]) throws -> Void)?
    /// The most segments at once, since it started.
    private(set) var mostSegments = 0

    init(
        id: NodeID, disk: SimulatedDisk, configuration: EngineConfiguration, boot: UInt64,
        now: Instant
    ) throws(KraftError) {
        self.id = id
        self.disk = disk
        var directory = disk
        engine = try Engine(
            configuration, directory: &directory, boot: boot, seed: boot &* 0x9E37_79B9, now: now)
    }

    func addMachine(_ slot: GroupSlot) { machines[slot.rawValue] = AuditLog() }
    func removeMachine(_ slot: GroupSlot) { machines[slot.rawValue] = nil }
    func ids(_ slot: GroupSlot) -> [UInt64] { machines[slot.rawValue]?.ids ?? [] }

    // MARK: Turns

    func step(_ event: Event, now: Instant) throws {
        engine.step(event, now: now)
        try turn(now)
    }

    func turn(_ now: Instant) throws {
        engine.endTurn(now: now)
        while let work = engine.nextApply() {
            var replies = ReplyBuffer()
            machines[work.slot.rawValue]?.apply(work.batch, replies: &replies)
            try onApplied?(engine.id(of: work.slot), ids(work.slot))
            engine.applied(work, replies: replies, now: now)
        }
        var effects = Effects()
        swap(&effects, &engine.effects)
        outgoing.connects += effects.connects
        outgoing.closes += effects.closes
        outgoing.sends += effects.sends.map { ($0.connection, Array($0.block.bytes)) }
        outgoing.completions += effects.completions
        outgoing.notices += effects.notices
        try order(effects)
    }

    private func order(_ effects: borrowing Effects) throws {
        for capture in effects.snapshotCaptures {
            guard let machine = machines[capture.slot.rawValue] else { continue }
            steps.append(.capture(capture.name, SnapshotFile.bytes(of: machine, capture)))
        }
        for name in effects.snapshotRemovals {
            try onStep?(.removeSnapshot)
            disk.removeSnapshot(name)
        }
        for number in effects.segmentRemovals {
            try onStep?(.removeSegment)
            disk.remove(number)
        }
        for write in effects.logWrites {
            recordsUnderWay = CrashableNode.records(in: write)
            steps.append(.cache(write))
        }
        steps += effects.segmentPreparations.map { .name($0) }
        steps += effects.logReads.map { .readLog($0) }
        steps += effects.snapshotWrites.map { .chunk($0) }
        steps += effects.snapshotReads.map { .readSnapshot($0) }
        steps += effects.snapshotRestores.map { .restore($0) }
        mostSegments = max(mostSegments, engine.logStatus.segmentCount)
    }

    // MARK: The disk

    /// Does one of the steps that wait.
    func perform(_ place: Int, now: Instant) throws {
        let step = steps.remove(at: place)
        try onStep?(step.kind)
        switch step {
        case .cache(let write):
            guard
                disk.cache(
                    .init(offset: write.offset, bytes: CrashableNode.bytes(of: write)),
                    segment: write.segment)
            else { throw LifeFinding("a write outside of segment \(write.segment)") }
            steps.append(.sync(write))
        case .sync(let write):
            disk.sync(segment: write.segment)
            steps.append(.written(write))
        case .written(let write):
            recordsUnderWay = []
            try self.step(.logWritten(write.id), now: now)
        case .name(let preparation):
            guard disk.add(preparation, isEntryDurable: false) else {
                throw LifeFinding("segment \(preparation.number) exists")
            }
            steps.append(.syncFolder(preparation.number))
        case .syncFolder(let number):
            disk.syncEntry(segment: number)
            steps.append(.prepared(number))
        case .prepared(let number):
            try self.step(.segmentPrepared(number: number), now: now)
        case .readLog(let read):
            let bytes = disk.read(segment: read.segment, offset: read.offset, count: read.count)
            guard let bytes else { throw LifeFinding("reads segment \(read.segment)") }
            try bytes.withUnsafeBytes { try self.step(.logRead(read.id, $0), now: now) }
        default: try performSnapshot(step, now: now)
        }
    }

    private func performSnapshot(_ step: Step, now: Instant) throws {
        switch step {
        case .capture(let name, let bytes):
            _ = disk.write(bytes, of: name, at: 0)
            steps.append(.nameSnapshot(name, nil))
        case .chunk(let write):
            guard disk.write(write.bytes, of: write.name, at: write.offset) else {
                throw LifeFinding("a gap in a snapshot")
            }
            steps.append(
                write.isLast
                    ? .nameSnapshot(write.name, write.id) : .chunkWritten(write.id, isLast: false))
        case .nameSnapshot(let name, let id):
            disk.nameSnapshot(name)
            steps.append(.syncSnapshots(name, id))
        case .syncSnapshots(let name, let id):
            disk.syncSnapshotEntries()
            steps.append(id.map { .chunkWritten($0, isLast: true) } ?? .captured(name))
        case .captured(let name):
            let count = disk.snapshot(name)?.bytes.count ?? 0
            try self.step(.snapshotCaptured(name, byteCount: UInt64(count)), now: now)
        case .chunkWritten(let id, _): try self.step(.snapshotWritten(id), now: now)
        case .readSnapshot(let read):
            let bytes = disk.snapshot(read.name)?.bytes ?? []
            let end = min(bytes.count, read.offset + read.count)
            let part = Array(bytes[min(read.offset, end)..<end])
            try part.withUnsafeBytes { try self.step(.snapshotRead(read.id, $0), now: now) }
        case .restore(let restore): try perform(restore, now: now)
        default: break
        }
    }

    private func perform(_ restore: SnapshotRestore, now: Instant) throws {
        // The group may be gone meanwhile.
        guard machines[restore.slot.rawValue] != nil,
            engine.slot(of: restore.name.group) == restore.slot
        else { return }
        var machine = AuditLog()
        let state: [UInt8]
        do {
            let bytes = disk.snapshot(restore.name)?.bytes ?? []
            state = try SnapshotFile.restore(&machine, bytes, restore.name)
        } catch {
            return try step(
                .restoreFailed(restore.slot, restore.name, reason: "\(error)"), now: now)
        }
        machines[restore.slot.rawValue] = machine
        try onApplied?(restore.name.group, machine.ids)
        try state.withUnsafeBytes {
            try step(.restored(restore.slot, restore.name, $0), now: now)
        }
    }

    private static func bytes(of write: LogWrite) -> [UInt8] {
        var bytes: [UInt8] = []
        for piece in write.pieces { bytes.append(contentsOf: piece.block.bytes(piece.range)) }
        return bytes
    }

    /// The kinds of the records in a write, each once.
    private static func records(in write: LogWrite) -> [RecordKind] {
        let bytes = bytes(of: write)
        var kinds: [RecordKind] = []
        bytes.withUnsafeBytes { bytes in
            func load<T: FixedWidthInteger>(_ offset: Int, as: T.Type) -> T {
                T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
            }
            var batch = 0
            while batch < bytes.count {
                var offset = batch + LogFormat.batchHeaderSize
                for _ in 0..<load(batch + 12, as: UInt32.self) {
                    let kind = RecordKind(rawValue: bytes[offset + 12])
                    if let kind, !kinds.contains(kind) { kinds.append(kind) }
                    offset += LogFormat.recordSize(payload: Int(load(offset + 8, as: UInt32.self)))
                }
                batch += SectorSums.paddedCount(for: Int(load(batch + 16, as: UInt64.self)))
            }
        }
        return kinds
    }
}

/// What a life shows that must not be.
struct LifeFinding: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}
