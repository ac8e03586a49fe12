import KraftRouting
import RaftCore

/// The node's one write-ahead log, as far as it is memory: records of all groups are collected in
/// batches, a batch is one aligned write and one sync, and recent bytes stay readable.
///
/// While one write is under way the next batches collect. What is in a batch counts as durable
/// only when `completed` has reached the batch's sequence.
struct SharedLog {
    /// Bytes of the log that are in memory: what `block` holds stands at `start` and behind.
    struct CachedBlock {
        var start: LogPosition
        var block: Block
    }

    private struct Batch {
        var sequence: UInt64
        var block: Block
        /// Where the batch starts in its block.
        var blockOffset: Int
        var position: LogPosition
        var recordCount: UInt32 = 0
        /// Header and records, unpadded.
        var byteCount = LogFormat.batchHeaderSize
        var paddedCount: Int { SectorSums.paddedCount(for: byteCount) }
    }

    private struct Write {
        var id: LogWrite.ID
        var lastSequence: UInt64
        var start: LogPosition
        var end: LogPosition
        /// Of the records, without headers and padding of batches.
        var recordBytes: Int
        /// Kept so that it can be given once more, if there was no space for it.
        var order: LogWrite
        var isToRepeat = false
    }

    private let identity: (node: NodeID, clusterID: String, store: UInt64)
    private let life: NodeLists.Life
    private let limits: EngineConfiguration.LogLimits
    let blockSizeBytes: Int

    /// Nonces of the segments from `firstSegment` on, prepared or still to be.
    private var nonces: [UInt64]
    /// Sizes of the same segments: of those of an earlier configuration too.
    private var sizes: [Int]
    /// Of the first batch in each of them; 0 where there is none.
    private var firstSequences: [UInt64]
    private(set) var firstSegment: UInt64
    private var preparedUpTo: UInt64
    private var askedUpTo: UInt64
    private var dice: Dice

    private var blocks: [CachedBlock] = []
    private var cachedBytes = 0
    private var spare: [Block] = []
    private static let spareLimit = 8
    /// Where the next batch starts.
    private var end: LogPosition
    private var open: Batch?
    private var closed: [Batch] = []
    private var underWay: Write?
    private var nextWriteID: LogWrite.ID = 1
    private(set) var nextSequence: UInt64
    /// All batches up to this one are durable.
    private(set) var completed: UInt64
    /// Where they end in the segment that was written last.
    private var durableEnd: LogPosition

    private(set) var readBack: LogReadBack
    /// Segments that were given back: files to make new segments of, and such as must go.
    private var recyclable: [UInt64] = []
    private var removable: [UInt64] = []
    private static let recyclableLimit = 2

    init(
        recovered: RecoveredLog, node: NodeID, clusterID: String, life: NodeLists.Life,
        limits: EngineConfiguration.LogLimits, seed: UInt64
    ) {
        identity = (node, clusterID, recovered.store)
        self.life = life
        self.limits = limits
        blockSizeBytes = min(1 << 20, LogFormat.roundUp(limits.segmentSizeBytes / 8, to: 4_096))
        nonces = recovered.nonces
        sizes = recovered.sizes
        firstSequences = recovered.firstSequences
        firstSegment = recovered.firstSegment
        preparedUpTo = recovered.firstSegment + UInt64(recovered.nonces.count) - 1
        askedUpTo = preparedUpTo
        dice = Dice(seed: seed)
        end = recovered.end
        durableEnd = recovered.end
        nextSequence = recovered.nextSequence
        completed = recovered.nextSequence - 1
        readBack = LogReadBack()
        removable = recovered.leftovers
        blocks = recovered.blocks
        cachedBytes = blocks.reduce(0) { $0 + $1.block.capacity }
    }

    // MARK: Writing

    /// The batch that the next record goes into; what waits for that record waits for this.
    var collecting: UInt64 { open?.sequence ?? nextSequence }
    var isWriteUnderWay: Bool { underWay != nil }
    /// Bytes that aren't durable yet.
    private(set) var waitingBytes = 0
    /// Of all records of this life.
    private(set) var appendedBytes: UInt64 = 0

    /// Adds a record whose payload `fill` writes; returns where the record stands and the batch
    /// that it is in.
    mutating func append(
        _ header: RecordHeader, _ fill: (UnsafeMutableRawPointer) -> Void
    ) -> (position: LogPosition, batch: UInt64) {
        let size = LogFormat.recordSize(payload: header.payloadCount)
        openBatch(for: size)
        guard var batch = open else { preconditionFailure("no batch is open") }
        open = nil
        let blockOffset = batch.blockOffset + batch.byteCount
        let target = batch.block.base + blockOffset
        let position = batch.position + batch.byteCount
        fill(target + LogFormat.recordHeaderSize)
        header.encode(to: target, nonce: nonce(of: position.segment), offset: position.offset)
        let unpadded = LogFormat.recordHeaderSize + header.payloadCount
        (target + unpadded).initializeMemory(as: UInt8.self, repeating: 0, count: size - unpadded)
        batch.byteCount += size
        waitingBytes += size
        appendedBytes += UInt64(size)
        batch.recordCount += 1
        batch.block.count = batch.blockOffset + batch.byteCount
        let sequence = batch.sequence
        open = batch
        return (position, sequence)
    }

    /// Has the next records, of `byteCount` bytes with their headers and padding, go into one batch:
    /// all of them count, or none.
    mutating func gather(_ byteCount: Int) { openBatch(for: byteCount) }

    /// Makes sure that a batch is open with room for `size` more bytes.
    private mutating func openBatch(for size: Int) {
        if let batch = open {
            let used = batch.byteCount + size
            let padded = SectorSums.paddedCount(for: used)
            let fitsBlock = batch.blockOffset + padded <= batch.block.capacity
            let fitsSegment =
                batch.position.offset + padded <= self.size(of: batch.position.segment)
            if fitsBlock, fitsSegment { return }
            closeBatch()
        }
        let need = SectorSums.paddedCount(for: LogFormat.batchHeaderSize + size)
        precondition(
            LogFormat.blockSize + need <= limits.segmentSizeBytes, "a record beyond a segment")
        var isFresh = blocks.isEmpty
        while end.offset + need > self.size(of: end.segment) {
            end = LogPosition(segment: end.segment + 1, offset: LogFormat.blockSize)
            chooseNonce(of: end.segment)
            isFresh = true
        }
        if let last = blocks.last {
            // Recovered segments are only read.
            let isRecovered = last.start.offset < LogFormat.blockSize
            isFresh = isFresh || isRecovered || last.block.capacity - last.block.count < need
        }
        if isFresh {
            let block = takeBlock(need)
            blocks.append(CachedBlock(start: end, block: block))
            cachedBytes += block.capacity
        }
        let current = blocks[blocks.count - 1]
        let blockOffset = current.block.count
        precondition(current.start + blockOffset == end, "blocks and log out of step")
        let segment = Int(end.segment - firstSegment)
        if firstSequences[segment] == 0 { firstSequences[segment] = nextSequence }
        current.block.count = blockOffset + LogFormat.batchHeaderSize
        open = Batch(
            sequence: nextSequence, block: current.block, blockOffset: blockOffset, position: end)
        nextSequence += 1
    }

    /// Fresh memory costs a page fault for each 4 KiB: blocks that nobody reads any more serve again.
    private mutating func takeBlock(_ need: Int) -> Block {
        if need <= blockSizeBytes, let spare = spare.popLast() {
            spare.count = 0
            return spare
        }
        return Block(capacity: max(blockSizeBytes, need))
    }

    private mutating func closeBatch() {
        guard let batch = open else { return }
        open = nil
        batch.block.count = batch.blockOffset + batch.paddedCount
        end = batch.position + batch.paddedCount
        closed.append(batch)
    }

    /// The next write, if none is under way and there is something to write into a segment that
    /// is prepared.
    mutating func takeWrite() -> LogWrite? {
        if let write = underWay {
            guard write.isToRepeat else { return nil }
            underWay?.isToRepeat = false
            return write.order
        }
        closeBatch()
        guard let first = closed.first, first.position.segment <= preparedUpTo else { return nil }
        var pieces: [LogWrite.Piece] = []
        var byteCount = 0
        var recordBytes = 0
        var taken = 0
        for batch in closed {
            let isNext = batch.position == first.position + byteCount
            guard isNext, byteCount + batch.paddedCount <= limits.batchSizeBytes || taken == 0
            else { break }
            seal(batch, writeSequence: first.sequence)
            let range = batch.blockOffset..<(batch.blockOffset + batch.paddedCount)
            if let last = pieces.last, last.block === batch.block {
                pieces[pieces.count - 1].range = last.range.lowerBound..<range.upperBound
            } else {
                pieces.append(.init(block: batch.block, range: range))
            }
            byteCount += batch.paddedCount
            recordBytes += batch.byteCount - LogFormat.batchHeaderSize
            taken += 1
        }
        let order = LogWrite(
            id: nextWriteID, segment: first.position.segment, offset: first.position.offset,
            pieces: pieces)
        nextWriteID += 1
        underWay = Write(
            id: order.id, lastSequence: closed[taken - 1].sequence, start: first.position,
            end: first.position + byteCount, recordBytes: recordBytes, order: order)
        closed.removeFirst(taken)
        return order
    }

    /// A write failed before anything was synced, so that nobody can have come to rely on it:
    /// `takeWrite` gives it once more. False for one that isn't under way.
    mutating func repeatWrite(_ id: LogWrite.ID) -> Bool {
        guard let write = underWay, write.id == id, !write.isToRepeat else { return false }
        underWay?.isToRepeat = true
        return true
    }

    private func seal(_ batch: Batch, writeSequence: UInt64) {
        let header = BatchHeader(
            recordCount: batch.recordCount, byteCount: UInt64(batch.byteCount),
            sequence: batch.sequence, writeSequence: writeSequence, prepared: preparedUpTo,
            life: life)
        let base = batch.block.base + batch.blockOffset
        let nonce = nonce(of: batch.position.segment)
        header.encode(to: base, nonce: nonce, offset: batch.position.offset)
        SectorSums.seal(
            base, byteCount: batch.byteCount, nonce: nonce, offset: batch.position.offset)
    }

    /// A write and its sync ended well. False for a write that isn't under way.
    mutating func written(_ id: LogWrite.ID) -> Bool {
        guard let write = underWay, write.id == id else { return false }
        underWay = nil
        completed = write.lastSequence
        durableEnd = write.end
        waitingBytes -= write.recordBytes
        return true
    }

    // MARK: Segments

    private func nonce(of segment: UInt64) -> UInt64 { nonces[Int(segment - firstSegment)] }
    private func size(of segment: UInt64) -> Int { sizes[Int(segment - firstSegment)] }

    /// Chosen before the segment is prepared, so that records for it can be sealed meanwhile.
    private mutating func chooseNonce(of segment: UInt64) {
        while nonces.count <= Int(segment - firstSegment) {
            nonces.append(dice.next())
            sizes.append(limits.segmentSizeBytes)
            firstSequences.append(0)
        }
    }

    /// The next segment to prepare: one is always kept ahead of the one that is being filled.
    mutating func takePreparation() -> SegmentPreparation? {
        // One at a time, so that a crash can't leave a gap.
        guard askedUpTo <= end.segment, askedUpTo == preparedUpTo else { return nil }
        askedUpTo += 1
        chooseNonce(of: askedUpTo)
        var preparation = SegmentPreparation.make(
            number: askedUpTo, nonce: nonce(of: askedUpTo), sizeBytes: limits.segmentSizeBytes,
            node: identity.node, store: identity.store, clusterID: identity.clusterID)
        preparation.recycles = recyclable.popLast()
        preparation.isUrgent = end.segment > preparedUpTo
        return preparation
    }

    mutating func segmentPrepared(_ number: UInt64) {
        if number == preparedUpTo + 1, number <= askedUpTo { preparedUpTo = number }
    }

    /// The segment isn't there; `takePreparation` asks for it once more.
    mutating func preparationFailed(_ number: UInt64) {
        if number == askedUpTo, number > preparedUpTo { askedUpTo = number - 1 }
    }

    /// A write can't begin before a segment is prepared.
    var isWaitingForSegment: Bool {
        guard underWay == nil, let first = closed.first?.position ?? open?.position else {
            return false
        }
        return first.segment > preparedUpTo
    }

    /// The segment behind the one that is being filled is prepared.
    var isSegmentAhead: Bool { preparedUpTo > end.segment }
    /// A segment can be prepared without any space.
    var canRecycle: Bool { !recyclable.isEmpty }
    /// A write waits to be given once more.
    var isWriteToRepeat: Bool { underWay?.isToRepeat ?? false }

    /// What prepared segments can still take, behind all that was collected.
    var roomBytes: Int {
        let start = open.map { $0.position + $0.paddedCount } ?? end
        guard start.segment <= preparedUpTo else { return 0 }
        return (start.segment...preparedUpTo).reduce(-start.offset) { $0 + size(of: $1) }
    }

    // MARK: Giving back

    /// How many segments hold records that count.
    var usedSegments: Int { Int(end.segment - firstSegment) + 1 }

    var status: LogStatus {
        var status = LogStatus()
        status.segmentCount = usedSegments
        let prepared = sizes.prefix(Int(preparedUpTo - firstSegment) + 1)
        status.sizeBytes =
            prepared.reduce(0, +) + recyclable.count * limits.segmentSizeBytes
        return status
    }

    /// Whether all that stands in a segment is durable, and nobody reads there.
    func isAtRest(_ segment: UInt64) -> Bool {
        segment < durableEnd.segment && !readBack.isReading(segment)
    }

    /// Adds the record that says that the log begins with `segment`, once it is durable; returns its
    /// batch.
    mutating func appendStart(_ segment: UInt64) -> UInt64 {
        // A segment may hold nothing but what is left of a torn write.
        let sequence = firstSequences[Int(segment - firstSegment)...].first { $0 > 0 }
        let header = RecordHeader(
            kind: .logStart, payloadCount: 0, group: GroupID(0), index: LogIndex(segment),
            term: Term(sequence ?? nextSequence), count: 0)
        return append(header) { _ in }.batch
    }

    /// The log begins with `segment` from now on: that is durable, and nothing before it is needed.
    mutating func release(before segment: UInt64) {
        precondition(segment <= durableEnd.segment, "gives back what is being written")
        while firstSegment < segment {
            let isUsable = sizes[0] == limits.segmentSizeBytes
            if isUsable, recyclable.count < SharedLog.recyclableLimit {
                recyclable.append(firstSegment)
            } else {
                removable.append(firstSegment)
            }
            nonces.removeFirst()
            sizes.removeFirst()
            firstSequences.removeFirst()
            firstSegment += 1
        }
        readBack.forget(before: segment)
        let dropped = blocks.firstIndex { $0.start.segment >= segment } ?? 0
        for block in blocks[..<dropped] { cachedBytes -= block.block.capacity }
        blocks.removeFirst(dropped)
    }

    /// Files of segments that nobody needs.
    mutating func takeRemovals() -> [UInt64] {
        guard !removable.isEmpty else { return [] }
        defer { removable = [] }
        return removable
    }

    // MARK: Reading

    /// The payload of a record, if it is in memory. Valid until the next `trim`.
    func payload(at position: LogPosition, count: Int) -> UnsafeRawBufferPointer? {
        let start = position + LogFormat.recordHeaderSize
        if let bytes = cached(at: start, count: count) { return bytes }
        return readBack.payload(
            at: position, count: count, nonce: nonce(of: position.segment))
    }

    private func cached(at start: LogPosition, count: Int) -> UnsafeRawBufferPointer? {
        guard let first = blocks.first, start >= first.start else { return nil }
        var low = 0
        var high = blocks.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if blocks[middle].start <= start { low = middle } else { high = middle }
        }
        let candidate = blocks[low]
        let offset = start - candidate.start
        guard offset + count <= candidate.block.count else { return nil }
        return UnsafeRawBufferPointer(start: candidate.block.base + offset, count: count)
    }

    /// Asks for a record that isn't in memory (with what follows it, on the chance); nil if that
    /// is on its way already.
    mutating func requestRead(at position: LogPosition, count: Int) -> LogRead? {
        let whole = LogFormat.recordHeaderSize + count
        // What isn't durable yet would be read as it was before, and be taken for damage later.
        let isLast = position.segment == durableEnd.segment
        let end = isLast ? durableEnd.offset : size(of: position.segment)
        guard position.offset + whole <= end else { return nil }
        return readBack.request(at: position, count: whole, most: end - position.offset)
    }

    /// A record that was read back isn't what was written there.
    func isDamaged(at position: LogPosition, count: Int) -> Bool {
        cached(at: position + LogFormat.recordHeaderSize, count: count) == nil
            && readBack.holds(position, count: LogFormat.recordHeaderSize + count)
            && payload(at: position, count: count) == nil
    }

    /// False if the file ended before what had been written there.
    mutating func wasRead(_ id: LogRead.ID, _ bytes: UnsafeRawBufferPointer) -> Bool {
        readBack.wasRead(id, bytes)
    }

    /// Drops the oldest cached blocks beyond the budget, never one that isn't durable yet.
    mutating func trim() {
        guard cachedBytes > limits.cacheSizeBytes else { return }
        let waiting = underWay?.start ?? closed.first?.position ?? open?.position
        var dropped = 0
        while cachedBytes > limits.cacheSizeBytes, dropped < blocks.count - 1 {
            if let waiting, blocks[dropped + 1].start > waiting { break }
            cachedBytes -= blocks[dropped].block.capacity
            if blocks[dropped].block.capacity == blockSizeBytes,
                spare.count < SharedLog.spareLimit,
                isKnownUniquelyReferenced(&blocks[dropped].block)
            {
                spare.append(blocks[dropped].block)
            }
            dropped += 1
        }
        if dropped > 0 { blocks.removeFirst(dropped) }
    }
}

extension SegmentPreparation {
    static func make(
        number: UInt64, nonce: UInt64, sizeBytes: Int, node: NodeID, store: UInt64,
        clusterID: String
    ) -> SegmentPreparation {
        let header = SegmentHeader(
            number: number, nonce: nonce, sizeBytes: UInt64(sizeBytes), node: node, store: store,
            clusterID: clusterID)
        return SegmentPreparation(number: number, sizeBytes: sizeBytes, header: header.encoded())
    }
}
