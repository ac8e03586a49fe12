import KraftRouting
import RaftCore

@testable import KraftEngine

/// A log with several groups that is written, compacted, moved on and given back at random, beside
/// a plain model of what it says.
struct LogLife {
    struct Entry: Hashable {
        var term: UInt64
        var tag: UInt64
    }

    struct ModelGroup: Hashable {
        var base: UInt64 = 0
        var baseTerm: UInt64 = 0
        /// Behind `base`.
        var entries: [Entry] = []
        var term: UInt64 = 0
        var vote: UInt64 = 0

        var last: UInt64 { base + UInt64(entries.count) }
        var lastTerm: UInt64 { entries.last?.term ?? baseTerm }
    }

    typealias Model = [UInt64: ModelGroup]

    /// What the engine keeps of a group besides.
    private struct Side {
        var index = EntryIndex()
        var metadataAt = LogPosition(rawValue: 0)
        var hardStateAt = LogPosition(rawValue: 0)
        var oldest: UInt64 {
            let records = min(metadataAt, hardStateAt).segment
            return min(records, index.oldestSegment ?? records)
        }
    }

    static let limits: EngineConfiguration.LogLimits = {
        var limits = EngineConfiguration.LogLimits()
        limits.segmentSizeBytes = 64 << 10
        limits.cacheSizeBytes = 64 << 10
        return limits
    }()
    static let names = (0..<6).compactMap { GroupName("group-\($0)") }

    var memory: LogMemory
    private var log: SharedLog
    var model: Model = [:]
    private var sides: [UInt64: Side] = [:]
    private var dice: Dice
    private var nextTag: UInt64 = 1
    /// The model after the last record of each batch.
    private(set) var history: [UInt64: Model] = [:]
    private var startBatch: UInt64?
    private(set) var released = 0
    private(set) var rewritten = 0

    init(seed: UInt64) throws {
        dice = Dice(seed: seed)
        memory = LogMemory()
        log = try LogLife.open(&memory, seed: dice.next()).log
    }

    static func open(
        _ memory: inout LogMemory, seed: UInt64
    ) throws -> (log: SharedLog, recovered: RecoveredLog) {
        let recovered = try LogRecovery.recover(
            &memory, node: 1, clusterID: "life", limits: limits, seed: seed)
        let log = SharedLog(
            recovered: recovered, node: 1, clusterID: "life",
            life: .init(number: (recovered.lists.lives.last?.number ?? 0) + 1, boot: seed),
            limits: limits, seed: seed ^ 1)
        return (log, recovered)
    }

    /// Begins another life with what a crash left.
    mutating func restart(with left: LogMemory, as model: Model) throws -> RecoveredLog {
        memory = left
        let (log, recovered) = try LogLife.open(&memory, seed: dice.next())
        self.log = log
        self.model = model
        sides = [:]
        for group in recovered.groups {
            sides[group.id.rawValue] = Side(
                index: group.index, metadataAt: group.metadataAt, hardStateAt: group.hardStateAt)
        }
        startBatch = nil
        history = [recovered.nextSequence - 1: model]
        return recovered
    }

    var completed: UInt64 { log.completed }

    /// What the log must say when it ends before batch `next`.
    func model(before next: UInt64) -> Model {
        history.filter { $0.key < next }.max { $0.key < $1.key }?.value ?? [:]
    }

    // MARK: Steps

    mutating func step() {
        let id = 1 + dice.next() % UInt64(LogLife.names.count)
        guard let group = model[id] else { return create(id) }
        switch dice.next() % 40 {
        case 0: remove(id)
        case 1...3: vote(id, group)
        case 4...5: compact(id, group)
        case 6: reset(id, group)
        case 7...8: append(id, group, truncating: true)
        case 9...24: append(id, group, truncating: false)
        default: reclaim()
        }
    }

    private mutating func add(
        _ kind: RecordKind, _ id: UInt64, _ payload: [UInt8], index: UInt64 = 0, term: UInt64 = 0,
        count: Int = 0
    ) -> LogPosition {
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: GroupID(id), index: LogIndex(index),
            term: Term(term), count: count)
        let (position, batch) = log.append(header) { target in
            payload.withUnsafeBytes {
                if let source = $0.baseAddress {
                    target.copyMemory(from: source, byteCount: $0.count)
                }
            }
        }
        lastBatch = batch
        return position
    }
    private var lastBatch: UInt64 = 0

    private mutating func note(_ id: UInt64, _ group: ModelGroup?) {
        model[id] = group
        history[lastBatch] = model
    }

    private func record(_ id: UInt64) -> GroupRecord {
        GroupRecord(
            name: LogLife.names[Int(id) - 1], incarnation: 1, replica: .initial,
            base: Membership(voters: [1, 2, 3])!)
    }

    private mutating func create(_ id: UInt64) {
        let position = add(.groupCreated, id, record(id).encoded)
        sides[id] = Side(metadataAt: position, hardStateAt: position)
        note(id, ModelGroup())
    }

    private mutating func remove(_ id: UInt64) {
        _ = add(.groupRemoved, id, record(id).encoded)
        sides[id] = nil
        note(id, nil)
    }

    private mutating func vote(_ id: UInt64, _ group: ModelGroup) {
        var group = group
        group.term += 1 + dice.next() % 2
        group.vote = dice.next() % 4
        let position = add(.hardState, id, [], term: group.term, count: Int(group.vote))
        sides[id]?.hardStateAt = position
        note(id, group)
    }

    private static func run(_ tags: [UInt64], size: Int) -> [UInt8] {
        var writer = ByteWriter()
        for tag in tags {
            writer.write(UInt32(size))
            writer.write(EntryKind.command.rawValue)
            writer.write(tag)
            writer.write(raw: [UInt8](repeating: UInt8(truncatingIfNeeded: tag), count: size - 8))
        }
        return writer.bytes
    }

    private mutating func append(_ id: UInt64, _ group: ModelGroup, truncating: Bool) {
        var group = group
        if truncating, !group.entries.isEmpty {
            group.entries.removeLast(Int(dice.next() % UInt64(group.entries.count + 1)))
            group.term += 1
        }
        let term = max(group.term, group.lastTerm, 1)
        let count = 1 + Int(dice.next() % 4)
        let tags = (0..<UInt64(count)).map { nextTag + $0 }
        nextTag += UInt64(count)
        let payload = LogLife.run(tags, size: 8 + Int(dice.next() % 3_000))
        let first = group.last + 1
        if group.term < term {
            (group.term, group.vote) = (term, 0)
            let position = add(.hardState, id, [], term: term, count: 0)
            sides[id]?.hardStateAt = position
            var before = model[id] ?? ModelGroup()
            (before.term, before.vote) = (term, 0)
            note(id, before)
        }
        let position = add(.entries, id, payload, index: first, term: term, count: count)
        sides[id]?.index.append(
            first: LogIndex(first), count: count, position: position, payloadCount: payload.count)
        group.entries += tags.map { Entry(term: term, tag: $0) }
        note(id, group)
    }

    private mutating func checkpoint(_ id: UInt64, _ group: ModelGroup, isReset: Bool) {
        let base = EntryPosition(index: LogIndex(group.base), term: Term(group.baseTerm))
        let name = SnapshotName(group: GroupID(id), position: base, nonce: 1)
        let checkpoint = Checkpoint(
            record: record(id), hardState: HardState(
                term: Term(group.term), vote: NodeID(UInt32(group.vote))),
            base: base,
            configuration: .init(index: .zero, membership: Membership(voters: [1, 2, 3])!),
            snapshot: SnapshotReference(name: name, byteCount: 1), isReset: isReset)
        var writer = ByteWriter()
        checkpoint.encode(into: &writer)
        let position = add(.checkpoint, id, writer.bytes)
        sides[id]?.metadataAt = position
        sides[id]?.hardStateAt = position
        note(id, group)
    }

    private mutating func compact(_ id: UInt64, _ group: ModelGroup) {
        var group = group
        let dropped = Int(dice.next() % UInt64(group.entries.count + 1))
        if dropped > 0 {
            group.baseTerm = group.entries[dropped - 1].term
            group.base += UInt64(dropped)
            group.entries.removeFirst(dropped)
            sides[id]?.index.drop(upTo: LogIndex(group.base))
        }
        checkpoint(id, group, isReset: false)
    }

    private mutating func reset(_ id: UInt64, _ group: ModelGroup) {
        var group = group
        group.base = group.last + dice.next() % 100
        group.baseTerm = max(group.lastTerm, 1)
        group.term = max(group.term, group.baseTerm)
        group.entries = []
        sides[id]?.index.removeAll()
        checkpoint(id, group, isReset: true)
    }

    // MARK: Giving back

    private mutating func reclaim() {
        let victim = log.firstSegment
        if let batch = startBatch {
            guard log.completed >= batch, log.isAtRest(victim) else { return }
            startBatch = nil
            log.release(before: victim + 1)
            released += 1
            for number in log.takeRemovals() { memory.segments[number] = nil }
            return
        }
        guard log.usedSegments > 3, log.isAtRest(victim) else { return }
        for (id, group) in model { sides[id]?.index.drop(upTo: LogIndex(group.base)) }
        let pinned = sides.filter { $0.value.oldest <= victim }.keys.sorted()
        guard !pinned.isEmpty else {
            _ = add(.logStart, 0, [], index: victim + 1)
            history[lastBatch] = model
            startBatch = lastBatch
            return
        }
        let id = pinned[Int(dice.next() % UInt64(pinned.count))]
        guard let side = sides[id], let group = model[id] else { return }
        let runs = side.index.runs.filter { $0.segment == victim }
        if runs.isEmpty || dice.next() % 3 == 0 {
            return checkpoint(id, group, isReset: false)
        }
        let run = runs[Int(dice.next() % UInt64(runs.count))]
        let first = max(run.first.rawValue, group.base + 1)
        let entries = group.entries[
            Int(first - group.base - 1)...Int(run.last.rawValue - group.base - 1)]
        guard let payload = LogLife.payload(of: run, in: memory) else { return }
        let tags = LogLife.tags(payload).dropFirst(Int(first - run.first.rawValue))
        precondition(Array(tags.prefix(entries.count)) == entries.map(\.tag), "the model is wrong")
        let bytes = Array(
            payload[
                LogLife.offset(payload, of: Int(first - run.first.rawValue))..<LogLife.offset(
                    payload, of: Int(first - run.first.rawValue) + entries.count)])
        let position = add(
            .rewritten, id, bytes, index: first, term: entries.first?.term ?? 0,
            count: entries.count)
        history[lastBatch] = model
        rewritten += 1
        sides[id]?.index.replace(
            first: LogIndex(first), count: entries.count, position: position,
            payloadCount: bytes.count)
    }

    // MARK: Writing

    /// The next write, if there is one to do; segments are prepared at once.
    mutating func takeWrite() -> LogWrite? {
        while let preparation = log.takePreparation() {
            try? memory.prepare(preparation)
            log.segmentPrepared(preparation.number)
        }
        return log.takeWrite()
    }

    mutating func carryOut(_ write: LogWrite) {
        memory.carryOut(write)
        _ = log.written(write.id)
        log.trim()
    }

    /// What is left when the power fails while `write` is under way: some of its sectors.
    mutating func torn(_ write: LogWrite) -> LogMemory {
        var left = memory
        var offset = write.offset
        let style = dice.next() % 4
        for piece in write.pieces {
            let bytes = Array(piece.block.bytes(piece.range))
            for start in stride(from: 0, to: bytes.count, by: 512) {
                let isKept =
                    switch style {
                    case 0: dice.next() % 2 == 0
                    case 1: dice.next() % 16 != 0
                    case 2: dice.next() % 64 != 0
                    default: start < bytes.count / 2
                    }
                guard isKept else { continue }
                left.segments[write.segment]?.replaceSubrange(
                    (offset + start)..<(offset + start + 512), with: bytes[start..<(start + 512)])
            }
            offset += bytes.count
        }
        return left
    }

    // MARK: Looking

    static func payload(of run: EntryIndex.Run, in memory: LogMemory) -> [UInt8]? {
        guard let segment = memory.segments[run.segment] else { return nil }
        return segment.withUnsafeBytes { bytes -> [UInt8]? in
            guard let header = SegmentHeader.decode(bytes),
                let record = RecordHeader.decode(
                    bytes, at: run.position.offset, nonce: header.nonce,
                    offset: run.position.offset),
                record.payload.count == Int(run.payloadCount), record.header.index == run.first
            else { return nil }
            return Array(record.payload)
        }
    }

    static func offset(_ payload: [UInt8], of entry: Int) -> Int {
        payload.withUnsafeBytes { EntryRun.size($0, count: entry) }
    }

    static func tags(_ payload: [UInt8]) -> [UInt64] {
        payload.withUnsafeBytes { bytes in
            var tags: [UInt64] = []
            var offset = 0
            while offset < bytes.count {
                tags.append(bytes.loadUnaligned(fromByteOffset: offset + 5, as: UInt64.self))
                offset += LogFormat.entryHeaderSize + EntryRun.payloadCount(bytes, at: offset)
            }
            return tags
        }
    }

    /// What a recovered log says, by the bytes in its files.
    static func model(of log: RecoveredLog, in memory: LogMemory) -> Model? {
        var model: Model = [:]
        for group in log.groups {
            var found = ModelGroup(
                base: group.terms.base.index.rawValue, baseTerm: group.terms.base.term.rawValue,
                term: group.hardState.term.rawValue, vote: UInt64(group.hardState.vote.rawValue))
            for run in group.index.runs {
                guard let payload = payload(of: run, in: memory) else { return nil }
                for (offset, tag) in tags(payload).prefix(Int(run.count)).enumerated() {
                    let index = run.first + offset
                    if index <= group.terms.base.index { continue }
                    guard let term = group.terms.term(at: index) else { return nil }
                    found.entries.append(Entry(term: term.rawValue, tag: tag))
                }
            }
            guard found.last == group.terms.lastIndex.rawValue else { return nil }
            model[group.id.rawValue] = found
        }
        return model
    }
}
