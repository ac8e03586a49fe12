import KraftRouting
import RaftCore

/// What a node finds in its log when it starts.
struct RecoveredLog {
    var firstSegment: UInt64
    /// Of the segments from `firstSegment` on, the prepared spare included.
    var nonces: [UInt64] = []
    var sizes: [Int] = []
    /// Of the first batch in each of them; 0 where there is none.
    var firstSequences: [UInt64] = []
    /// Where the next batch goes.
    var end: LogPosition
    /// 0 while it isn't known: the log is read from its middle.
    var nextSequence: UInt64 = 1
    var groups: [RecoveredGroup] = []
    /// What it says of the node itself.
    var lists = NodeLists()
    /// Of the data folder: random, made with it.
    var store: UInt64 = 0
    /// The first segment that counts, and the first batch from there on; older ones are leftovers.
    var start: UInt64 = 1
    var startSequence: UInt64 = 1
    /// Segments before `start` that are still there.
    var leftovers: [UInt64] = []
    /// The newest segments, within the cache's budget.
    var blocks: [SharedLog.CachedBlock] = []
    /// A write at the end was not whole: it was never acknowledged, and was dropped.
    var isTailTorn = false
    /// What was written last is lost: nothing in the log is known to be the last word.
    var isEndLost = false
    /// Where something is lost that may have been acknowledged. All groups that it may concern are
    /// marked; groups of which nothing else is left may be among what is lost.
    var damages: [LogDamage] = []
}

/// Something in a log that isn't what was written there.
public struct LogDamage: Hashable, Sendable {
    public var segment: UInt64
    /// From where on, at the earliest.
    public var offset: Int
    /// For a human.
    public var reason: String
}

/// Where the next batch of a log goes.
package struct LogMark: Hashable, Sendable {
    var position: LogPosition
    var nextSequence: UInt64
    package var segment: UInt64 { position.segment }
}

/// One group as the log describes it.
struct RecoveredGroup {
    var id: GroupID
    var name: GroupName
    var incarnation: UInt64
    var replica: ReplicaID
    var isWitness = false
    /// The members before the first entry.
    var base: Membership
    /// Ascending; the first is what held before the first entry that is there, or was committed later.
    var configurations: [Raft.Configuration]
    var hardState = HardState()
    var terms = LogTerms()
    var index = EntryIndex()
    /// Holds the state up to some entry at or behind `terms.base`.
    var snapshot: SnapshotReference?
    /// The records that say whose the group is, and what its term and vote are.
    var metadataAt = LogPosition(rawValue: 0)
    var hardStateAt = LogPosition(rawValue: 0)
    /// It may have forgotten entries or votes that it had acknowledged. What is here of it was there
    /// once, but may not be the last word.
    var isDamaged = false
    /// Its own records say so, whatever becomes of the place that shows it.
    var isMarkedDamaged = false
}

/// Reads a whole log, batch by batch, and tells a torn tail from damage.
///
/// A torn tail is the last write, when the crash came before its sync ended: nobody was told of
/// it. A batch of a **later** write behind a broken one proves that the broken one had been synced,
/// and so perhaps acknowledged. Where there is none, the sectors tell: see `SectorSums`.
///
/// Damage doesn't end the reading: what comes behind says which groups there are, and what they may
/// not forget. Entries behind damage aren't believed.
struct LogRecovery {
    /// What stands behind a segment's last good batch.
    private struct Rest {
        var segment: UInt64
        var offset: Int
        var kind: Kind
        /// `known`: damage that was noted already.
        enum Kind: Hashable {
            case nothing, torn, known
            case rotten(String)
        }
    }

    /// The end of what could be read of the last write; it may have begun before what is in `block`.
    private struct LastWrite {
        var sequence: UInt64
        var start: LogPosition
        var batches: [(offset: Int, byteCount: Int)]
        var block: Block?
    }

    private(set) var log: RecoveredLog
    /// In the order of their beginning.
    var groups: [RecoveringGroup?] = []
    var places: [GroupID: Int] = [:]  // ordered: looked up only
    private var rests: [Rest] = []
    /// The damage before the next batch is known: that its sequence is too great is no news.
    private var isGapKnown = false
    private var newestPrepared: UInt64 = 0
    /// The records before where it begins are known to somebody else.
    private(set) var beginsInMiddle = false
    private var lastWrite: LastWrite?
    /// Files with other numbers aren't ours.
    private static let segmentRange: Range<UInt64> = 1..<(1 << 31)
    /// More segments are never missing between two; what stands behind is none of this log.
    private static let gapLimit: UInt64 = 1 << 16
    /// What each record adds, for whoever wants to see the entries themselves.
    typealias Visitor = (RecordHeader, UnsafeRawBufferPointer) -> Void

    /// - `sequence`: of the first batch, if it is known where the log doesn't begin with segment 1.
    init(firstSegment: UInt64, sequence: UInt64 = 0) {
        log = RecoveredLog(
            firstSegment: firstSegment,
            end: LogPosition(segment: firstSegment, offset: LogFormat.blockSize))
        if firstSegment > 1 { log.nextSequence = sequence }
    }

    /// For whoever follows a log that ended at `end` when it was read last.
    init(behind end: LogMark) {
        self.init(firstSegment: end.position.segment)
        log.end = end.position
        log.nextSequence = end.nextSequence
        beginsInMiddle = true
    }

    mutating func change(_ body: (inout RecoveredLog) -> Void) { body(&log) }

    // MARK: A folder

    /// Recovers from `directory`; a new log is begun where there is none.
    ///
    /// Throws what the directory throws, `conflict` for another node's log, `storage` for a log of
    /// another version.
    static func recover(
        _ directory: inout some LogDirectory, node: NodeID, clusterID: String,
        limits: EngineConfiguration.LogLimits, seed: UInt64
    ) throws(KraftError) -> RecoveredLog {
        var dice = Dice(seed: seed)
        var numbers = try directory.segmentNumbers().filter { segmentRange.contains($0) }
        if numbers.isEmpty {
            let store = max(1, dice.next())
            try directory.prepare(
                .make(
                    number: 1, nonce: dice.next(), sizeBytes: limits.segmentSizeBytes, node: node,
                    store: store, clusterID: clusterID))
            numbers = [1]
        }
        try directory.sync()
        let owner = (node, clusterID)
        var recovery = try read(
            LogRecovery(firstSegment: numbers[0]), numbers, &directory, owner, limits)
        if let again = recovery.anew {
            recovery = try read(again, numbers, &directory, owner, limits)
        }
        let isEndLost = recovery.judgeEnd()
        recovery.log.isEndLost = isEndLost
        recovery.settle()
        try recovery.writeLastAgain(&directory)
        recovery.trimBlocks()
        if recovery.log.store == 0 { recovery.log.store = max(1, dice.next()) }
        // So that it shows that something is lost, however often the log is read.
        if isEndLost { recovery.log.nextSequence += 1 }
        if isEndLost || recovery.log.isTailTorn {
            try recovery.leaveTail(
                &directory, limits: limits, node: node, clusterID: clusterID, dice: &dice)
        }
        return recovery.log
    }

    private static func read(
        _ beginning: LogRecovery, _ numbers: [UInt64], _ directory: inout some LogDirectory,
        _ owner: (node: NodeID, clusterID: String), _ limits: EngineConfiguration.LogLimits
    ) throws(KraftError) -> LogRecovery {
        var recovery = beginning
        recovery.log.leftovers = numbers.filter { $0 < recovery.log.firstSegment }
        for number in numbers where number >= recovery.log.firstSegment {
            let next = recovery.log.firstSegment + UInt64(recovery.log.nonces.count)
            guard number < next + gapLimit else {
                recovery.lose(next, 0, "segments up to \(number) are missing")
                break
            }
            let block = try directory.load(segment: number)
            try recovery.checkOwner(
                of: block.bytes, number, node: owner.node, clusterID: owner.clusterID)
            recovery.read(block.bytes, number) { _, _ in }
            if recovery.log.end.segment == number { recovery.lastWrite?.block = block }
            recovery.keep(block, number, budget: limits.cacheSizeBytes)
        }
        return recovery
    }

    /// A log says itself where it begins. When that isn't how it was read: how it must be read anew.
    var anew: LogRecovery? {
        if log.start < log.firstSegment {
            var again = LogRecovery(firstSegment: log.firstSegment)
            let reason =
                "the log begins with segment \(log.firstSegment), and should with \(log.start)"
            again.note(LogDamage(segment: log.start, offset: 0, reason: reason))
            return again
        }
        // What stands in segments that were given back counts no more, whatever it is.
        let first = log.firstSegment == 1 ? 1 : log.firstSequences.first { $0 > 0 } ?? 0
        guard log.start > log.firstSegment || first != log.startSequence else { return nil }
        return LogRecovery(firstSegment: log.start, sequence: log.startSequence)
    }

    private func checkOwner(
        of bytes: UnsafeRawBufferPointer, _ number: UInt64, node: NodeID, clusterID: String
    ) throws(KraftError) {
        guard let header = SegmentHeader.decode(bytes) else {
            guard let version = SegmentHeader.version(bytes), version != LogFormat.version else {
                return
            }
            throw KraftError(
                .storage,
                "log segment \(number): it has version \(version) of the format, this program "
                    + "reads version \(LogFormat.version)")
        }
        guard header.node == node else {
            throw KraftError(
                .conflict, "the data folder belongs to node \(header.node), not to node \(node)")
        }
        guard header.clusterID == clusterID else {
            throw KraftError(
                .conflict,
                "the data folder belongs to cluster '\(header.clusterID)', not to '\(clusterID)'")
        }
    }

    /// An earlier life may have ended because the sync of its last write failed. The system then
    /// takes the bytes for written and goes on to show them, so that a sync alone would promise
    /// what isn't so: they are written once more first. Of a write that was durable, nothing changes;
    /// of one that was not whole, what counts is made whole.
    private func writeLastAgain(_ directory: inout some LogDirectory) throws(KraftError) {
        guard let write = lastWrite, let block = write.block,
            write.start.segment == log.end.segment,
            let nonce = log.nonces.indices.contains(place(of: log.end.segment))
                ? log.nonces[place(of: log.end.segment)] : nil
        else { return }
        for batch in write.batches {
            SectorSums.seal(
                block.base + batch.offset, byteCount: batch.byteCount, nonce: nonce,
                offset: batch.offset)
        }
        try directory.rewrite(
            segment: log.end.segment, offset: write.start.offset,
            block.bytes(write.start.offset..<log.end.offset))
        try directory.sync()
    }

    private func place(of segment: UInt64) -> Int { Int(segment - log.firstSegment) }

    private mutating func keep(_ block: Block, _ number: UInt64, budget: Int) {
        log.blocks.append(
            .init(start: LogPosition(segment: number, offset: 0), block: block))
        var total = log.blocks.reduce(0) { $0 + $1.block.capacity }
        while total > budget, let first = log.blocks.first {
            total -= first.block.capacity
            log.blocks.removeFirst()
        }
    }

    /// In memory the log ends where it ends: what stands behind in the files is not part of it.
    private mutating func trimBlocks() {
        log.blocks.removeAll { $0.start.segment > log.end.segment }
        guard let last = log.blocks.last, last.start.segment == log.end.segment else { return }
        let block = Block(capacity: log.end.offset)
        block.load { target in
            let source = UnsafeRawBufferPointer(
                start: last.block.base, count: min(target.count, last.block.count))
            target.copyMemory(from: source)
            return source.count
        }
        log.blocks[log.blocks.count - 1].block = block
    }

    /// Behind the last batch there may be nothing, what is left of one torn write, or damage. Says
    /// whether something is lost there that no later batch gives away.
    mutating func judgeEnd() -> Bool {
        if newestPrepared > log.firstSegment + UInt64(log.nonces.count) - 1 {
            note(
                LogDamage(
                    segment: log.firstSegment + UInt64(log.nonces.count), offset: 0,
                    reason: "segments up to \(newestPrepared) are missing"))
        }
        for rest in rests where rest.segment >= log.end.segment {
            switch rest.kind {
            case .nothing, .known: break
            case .torn: log.isTailTorn = true
            case .rotten(let reason):
                note(LogDamage(segment: rest.segment, offset: rest.offset, reason: reason))
            }
        }
        // A segment without a header can't be written on.
        return log.nextSequence == 0
            || !log.damages.isEmpty && log.nonces[place(of: log.end.segment)] == 0
            || log.damages.contains {
                LogPosition(segment: $0.segment, offset: $0.offset) >= log.end
            }
    }

    /// What is left of a torn write could one day pass for part of the log, so the log goes on in
    /// a segment that holds nothing, behind all that hold something.
    private mutating func leaveTail(
        _ directory: inout some LogDirectory, limits: EngineConfiguration.LogLimits, node: NodeID,
        clusterID: String, dice: inout Dice
    ) throws(KraftError) {
        var used = rests.last { $0.kind != .nothing }?.segment ?? log.end.segment
        for damage in log.damages { used = max(used, damage.segment) }
        let present = log.firstSegment + UInt64(log.nonces.count)
        let next = min(max(log.end.segment, used) + 1, present)
        if place(of: next) >= log.nonces.count {
            let nonce = dice.next()
            try directory.prepare(
                .make(
                    number: next, nonce: nonce, sizeBytes: limits.segmentSizeBytes, node: node,
                    store: log.store, clusterID: clusterID))
            log.nonces.append(nonce)
            log.sizes.append(limits.segmentSizeBytes)
            log.firstSequences.append(0)
        }
        log.end = LogPosition(segment: next, offset: LogFormat.blockSize)
    }

    // MARK: Segments

    /// Takes in the batches behind those that it has seen, of the segment that the log ends in or of
    /// the one behind; for whoever follows a log as it grows. Says whether there were any.
    mutating func readOn(
        _ number: UInt64, _ bytes: UnsafeRawBufferPointer, visit: Visitor
    ) throws(KraftError) -> Bool {
        guard let header = SegmentHeader.decode(bytes), header.number == number else {
            throw KraftError(.storage, "log segment \(number): its header is damaged")
        }
        let isSame = number == log.end.segment
        var offset = isSame ? log.end.offset : LogFormat.blockSize
        let start = offset
        while let size = readBatch(bytes, number, offset, nonce: header.nonce, visit: visit) {
            offset += size
            log.end = LogPosition(segment: number, offset: offset)
        }
        if let damage = log.damages.first {
            throw KraftError(
                .storage,
                "log segment \(damage.segment), offset \(damage.offset): \(damage.reason)")
        }
        return offset > start
    }

    /// Takes in the next segment, whole.
    mutating func read(
        _ bytes: UnsafeRawBufferPointer, _ number: UInt64, visit: Visitor
    ) {
        while log.firstSegment + UInt64(log.nonces.count) < number {
            let missing = log.firstSegment + UInt64(log.nonces.count)
            lose(missing, 0, "the segment is missing")
            addSegment(nonce: 0, size: 0)
        }
        guard let header = SegmentHeader.decode(bytes), header.number == number,
            log.store == 0 || log.store == header.store
        else {
            lose(number, 0, "the segment's header is damaged, or another log's")
            rests.append(Rest(segment: number, offset: 0, kind: .known))
            addSegment(nonce: 0, size: bytes.count)
            return
        }
        log.store = header.store
        addSegment(nonce: header.nonce, size: bytes.count)
        var offset = LogFormat.blockSize
        while true {
            if let size = readBatch(bytes, number, offset, nonce: header.nonce, visit: visit) {
                offset += size
                log.end = LogPosition(segment: number, offset: offset)
            } else if let later = laterWrite(bytes, behind: offset, nonce: header.nonce) {
                lose(
                    number, offset,
                    "batch \(log.nextSequence) is damaged, although a later write stands at "
                        + "offset \(later)")
                offset = later
            } else {
                break
            }
        }
        var kind = rest(bytes, from: offset, nonce: header.nonce)
        if UInt64(bytes.count) != header.sizeBytes {
            lose(
                number, min(offset, bytes.count),
                "the segment has \(bytes.count) bytes, and had \(header.sizeBytes)")
            kind = .known
        }
        rests.append(Rest(segment: number, offset: offset, kind: kind))
    }

    private mutating func addSegment(nonce: UInt64, size: Int) {
        log.nonces.append(nonce)
        log.sizes.append(size)
        log.firstSequences.append(0)
    }

    /// The next place where a batch stands whose write began after all that was expected at `start`
    /// had been synced.
    private func laterWrite(
        _ bytes: UnsafeRawBufferPointer, behind start: Int, nonce: UInt64
    ) -> Int? {
        guard log.nextSequence > 0 else { return nil }
        var offset = start + LogFormat.blockSize
        while offset + LogFormat.batchHeaderSize <= bytes.count {
            if let batch = BatchHeader.decode(bytes, at: offset, nonce: nonce),
                batch.sequence >= log.nextSequence, batch.writeSequence > log.nextSequence
            {
                return offset
            }
            offset += LogFormat.blockSize
        }
        return nil
    }

    /// What a segment holds from `start` on, where no good batch stands and no later write. One
    /// broken write may: all that can be judged of it must be torn.
    private func rest(
        _ bytes: UnsafeRawBufferPointer, from start: Int, nonce: UInt64
    ) -> Rest.Kind {
        guard start < bytes.count, let base = bytes.baseAddress else { return .nothing }
        var offset = start
        var isTorn = false
        while offset + LogFormat.blockSize <= bytes.count {
            if let batch = BatchHeader.decode(bytes, at: offset, nonce: nonce) {
                let byteCount = Int(batch.byteCount)
                let verdict = SectorSums.judge(
                    bytes, at: offset, byteCount: byteCount, nonce: nonce)
                // A whole batch stands behind one that is gone.
                let isWhole = verdict == .sound && batch.sequence == log.nextSequence
                guard verdict != .rotten, !isWhole, batch.sequence >= log.nextSequence else {
                    return .rotten("the last write has rotted")
                }
                isTorn = true
                offset += SectorSums.paddedCount(for: byteCount)
                continue
            }
            if offset == start, !SectorSums.isZero(base + offset) {
                return .rotten("the last write has rotted")
            }
            offset += LogFormat.blockSize
        }
        if isTorn { return .torn }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
        return rest.contains { $0 != 0 } ? .torn : .nothing
    }

    /// Takes in the batch at `offset` and returns the space it takes; nil where the log ends, or can't
    /// be believed.
    private mutating func readBatch(
        _ bytes: UnsafeRawBufferPointer, _ number: UInt64, _ offset: Int, nonce: UInt64,
        visit: Visitor
    ) -> Int? {
        guard let batch = BatchHeader.decode(bytes, at: offset, nonce: nonce),
            batch.sequence >= log.nextSequence,
            // A gap is proved by a write that began behind it.
            batch.sequence == log.nextSequence || batch.writeSequence > log.nextSequence,
            // What stands behind something else may be left of a torn write.
            log.nextSequence > 0 || offset == LogFormat.blockSize
        else { return nil }
        let size = SectorSums.paddedCount(for: Int(batch.byteCount))
        guard size <= bytes.count - offset else { return nil }
        let end = offset + Int(batch.byteCount)
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        // First see that all records are sound: a batch counts whole or not at all.
        var records: [(RecordHeader, UnsafeRawBufferPointer, Int)] = []
        var place = offset + LogFormat.batchHeaderSize
        for _ in 0..<batch.recordCount {
            guard
                let record = RecordHeader.decode(whole, at: place, nonce: nonce, offset: place)
            else { return nil }
            records.append((record.header, record.payload, place))
            place += LogFormat.recordSize(payload: record.header.payloadCount)
        }
        guard place == end else { return nil }
        if batch.sequence != log.nextSequence, log.nextSequence > 0, !isGapKnown {
            let rest = rests.last
            lose(
                rest?.segment ?? number, rest?.offset ?? offset,
                "batches \(log.nextSequence) to \(batch.sequence - 1) are missing")
        }
        isGapKnown = false
        let segment = self.place(of: number)
        if log.firstSequences.indices.contains(segment), log.firstSequences[segment] == 0 {
            log.firstSequences[segment] = batch.sequence
        }
        newestPrepared = max(newestPrepared, batch.prepared)
        log.lists.note(batch.life)
        for (header, payload, place) in records {
            take(header, payload, at: LogPosition(segment: number, offset: place))
            visit(header, payload)
        }
        log.nextSequence = batch.sequence + 1
        if lastWrite?.sequence != batch.writeSequence || lastWrite?.start.segment != number {
            lastWrite = LastWrite(
                sequence: batch.writeSequence, start: LogPosition(segment: number, offset: offset),
                batches: [])
        }
        lastWrite?.batches.append((offset, Int(batch.byteCount)))
        return size
    }

    // MARK: Damage

    /// What was expected at a place is gone, and what follows may begin with any sequence.
    private mutating func lose(_ segment: UInt64, _ offset: Int, _ reason: String) {
        note(LogDamage(segment: segment, offset: offset, reason: reason))
        isGapKnown = true
    }

    /// Any group that was there may have lost something in any batch that is lost.
    mutating func note(_ damage: LogDamage) {
        log.damages.append(damage)
        for place in groups.indices { groups[place]?.isDamaged = true }
    }
}
