import KraftRouting
import RaftCore

/// What a node finds in its log when it starts.
struct RecoveredLog {
    var firstSegment: UInt64
    /// Of the segments from `firstSegment` on, the prepared spare included.
    var nonces: [UInt64] = []
    var sizes: [Int] = []
    /// Where the next batch goes.
    var end: LogPosition
    /// 0 while it isn't known: the log is read from its middle.
    var nextSequence: UInt64 = 1
    var groups: [RecoveredGroup] = []
    /// What it says of the node itself.
    var lists = NodeLists()
    /// The first segment that counts; older ones are leftovers.
    var start: UInt64 = 1
    /// Segments before `start` that are still there.
    var leftovers: [UInt64] = []
    /// The newest segments, within the cache's budget.
    var blocks: [SharedLog.CachedBlock] = []
    /// A write at the end was not whole: it was never acknowledged, and was dropped.
    var isTailTorn = false
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
}

/// Reads a whole log, record by record, and tells a torn tail from damage.
///
/// A torn tail is the last write, when the crash came before its sync ended: nobody was told of
/// it. A batch of a **later** write behind a broken one proves that the broken one had been synced,
/// and so perhaps acknowledged: that is damage, and the node refuses to start.
struct LogRecovery {
    private(set) var log: RecoveredLog
    /// In the order of their beginning.
    private var groups: [RecoveringGroup?] = []
    private var places: [GroupID: Int] = [:]  // ordered: looked up only
    /// For each segment, whether nothing stands behind its last good batch.
    private var isRestEmpty: [Bool] = []
    /// Where the last write begins, as far as it is whole, and the segment that holds it.
    private var lastWrite: (sequence: UInt64, start: LogPosition, block: Block?)?
    /// What each record adds, for whoever wants to see the entries themselves.
    typealias Visitor = (RecordHeader, UnsafeRawBufferPointer) -> Void

    init(firstSegment: UInt64) {
        log = RecoveredLog(
            firstSegment: firstSegment,
            end: LogPosition(segment: firstSegment, offset: LogFormat.blockSize))
        if firstSegment > 1 { log.nextSequence = 0 }
    }

    /// Recovers from `directory`; a new log is begun where there is none.
    static func recover(
        _ directory: inout some LogDirectory, node: NodeID, clusterID: String,
        limits: EngineConfiguration.LogLimits, seed: UInt64
    ) throws(KraftError) -> RecoveredLog {
        var dice = Dice(seed: seed)
        var numbers = try directory.segmentNumbers()
        if numbers.isEmpty {
            try directory.prepare(
                .make(
                    number: 1, nonce: dice.next(), sizeBytes: limits.segmentSizeBytes, node: node,
                    clusterID: clusterID))
            numbers = [1]
        }
        try directory.sync()
        var recovery = try read(
            from: numbers[0], numbers, &directory, node: node, clusterID: clusterID, limits: limits)
        if recovery.log.start > numbers[0] {
            // What stands in segments that were given back counts no more, whatever it is.
            recovery = try read(
                from: recovery.log.start, numbers, &directory, node: node, clusterID: clusterID,
                limits: limits)
        }
        guard recovery.log.start == recovery.log.firstSegment else {
            throw damage(recovery.log.start, "it is missing")
        }
        try recovery.settle()
        try recovery.writeLastAgain(&directory)
        recovery.trimBlocks()
        recovery.findTornTail()
        if recovery.log.isTailTorn {
            try recovery.leaveTornTail(
                &directory, limits: limits, node: node, clusterID: clusterID, dice: &dice)
        }
        return recovery.log
    }

    private static func read(
        from first: UInt64, _ numbers: [UInt64], _ directory: inout some LogDirectory, node: NodeID,
        clusterID: String, limits: EngineConfiguration.LogLimits
    ) throws(KraftError) -> LogRecovery {
        var recovery = LogRecovery(firstSegment: first)
        recovery.log.leftovers = numbers.filter { $0 < first }
        for (place, number) in numbers.filter({ $0 >= first }).enumerated() {
            guard number == first + UInt64(place) else {
                throw damage(number, "segment \(first + UInt64(place)) is missing before it")
            }
            let block = try directory.load(segment: number)
            try recovery.checkOwner(of: block.bytes, number, node: node, clusterID: clusterID)
            try recovery.read(block.bytes, number) { _, _ in }
            if recovery.log.end.segment == number { recovery.lastWrite?.block = block }
            recovery.keep(block, number, budget: limits.cacheSizeBytes)
        }
        return recovery
    }

    /// An earlier life may have ended because the sync of its last write failed. The system then
    /// takes the bytes for written and goes on to show them, so that a sync alone would promise
    /// what isn't so: they are written once more first. Of a write that was durable, nothing changes.
    private func writeLastAgain(_ directory: inout some LogDirectory) throws(KraftError) {
        guard let write = lastWrite, let block = write.block,
            write.start.segment == log.end.segment
        else { return }
        try directory.rewrite(
            segment: log.end.segment, offset: write.start.offset,
            block.bytes(write.start.offset..<log.end.offset))
        try directory.sync()
    }

    /// Reads segments that are in memory, for tools and tests.
    static func read(
        _ segments: [(number: UInt64, bytes: UnsafeRawBufferPointer)], visit: Visitor
    ) throws(KraftError) -> RecoveredLog {
        var recovery = LogRecovery(firstSegment: segments.first?.number ?? 1)
        for segment in segments { try recovery.read(segment.bytes, segment.number, visit: visit) }
        try recovery.settle()
        return recovery.log
    }

    /// Takes in the batches behind those that it has seen, of the segment that the log ends in or of
    /// the one behind; for whoever follows a log as it grows. Says whether there were any.
    mutating func readOn(
        _ number: UInt64, _ bytes: UnsafeRawBufferPointer, visit: Visitor
    ) throws(KraftError) -> Bool {
        guard let header = SegmentHeader.decode(bytes), header.number == number else {
            throw LogRecovery.damage(number, "its header is damaged")
        }
        let isSame = number == log.end.segment
        var offset = isSame ? log.end.offset : LogFormat.blockSize
        let start = offset
        while let size = try readBatch(bytes, number, offset, nonce: header.nonce, visit: visit) {
            offset += size
            log.end = LogPosition(segment: number, offset: offset)
        }
        return offset > start
    }

    // MARK: Segments

    private func checkOwner(
        of bytes: UnsafeRawBufferPointer, _ number: UInt64, node: NodeID, clusterID: String
    ) throws(KraftError) {
        guard let header = SegmentHeader.decode(bytes) else { return }
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

    private mutating func read(
        _ bytes: UnsafeRawBufferPointer, _ number: UInt64, visit: Visitor
    ) throws(KraftError) {
        guard let header = SegmentHeader.decode(bytes), header.number == number else {
            throw LogRecovery.damage(number, "its header is damaged")
        }
        guard UInt64(bytes.count) == header.sizeBytes else {
            throw LogRecovery.damage(
                number, "it has \(bytes.count) bytes, and had \(header.sizeBytes)")
        }
        log.nonces.append(header.nonce)
        log.sizes.append(bytes.count)
        var offset = LogFormat.blockSize
        while let size = try readBatch(bytes, number, offset, nonce: header.nonce, visit: visit) {
            offset += size
            log.end = LogPosition(segment: number, offset: offset)
        }
        try checkRest(bytes, number, from: offset, nonce: header.nonce)
    }

    /// Takes in the batch at `offset` and returns the space it takes; nil where the log ends.
    private mutating func readBatch(
        _ bytes: UnsafeRawBufferPointer, _ number: UInt64, _ offset: Int, nonce: UInt64,
        visit: Visitor
    ) throws(KraftError) -> Int? {
        guard let batch = BatchHeader.decode(bytes, at: offset, nonce: nonce),
            batch.sequence == log.nextSequence || log.nextSequence == 0
        else { return nil }
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
        for (header, payload, place) in records {
            let position = LogPosition(segment: number, offset: place)
            try take(header, payload, at: position)
            visit(header, payload)
        }
        log.nextSequence = batch.sequence + 1
        if lastWrite?.sequence != batch.writeSequence {
            lastWrite = (batch.writeSequence, LogPosition(segment: number, offset: offset), nil)
        }
        return LogFormat.roundUp(Int(batch.byteCount), to: LogFormat.blockSize)
    }

    /// Behind the last good batch there may be nothing, or what is left of one torn write.
    private mutating func checkRest(
        _ bytes: UnsafeRawBufferPointer, _ number: UInt64, from start: Int, nonce: UInt64
    ) throws(KraftError) {
        var offset = start
        while offset + LogFormat.batchHeaderSize <= bytes.count {
            if let batch = BatchHeader.decode(bytes, at: offset, nonce: nonce),
                batch.sequence >= log.nextSequence, batch.writeSequence > log.nextSequence
            {
                throw LogRecovery.damage(
                    number,
                    "batch \(log.nextSequence) at offset \(start) is damaged, although a later "
                        + "write stands at offset \(offset)")
            }
            offset += LogFormat.blockSize
        }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[min(start, bytes.count)...])
        isRestEmpty.append(!rest.contains { $0 != 0 })
    }

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
            target.copyMemory(
                from: UnsafeRawBufferPointer(start: last.block.base, count: target.count))
            return target.count
        }
        log.blocks[log.blocks.count - 1].block = block
    }

    /// What is left of a torn write may stand behind the log's end, or at the front of segments
    /// behind it.
    private mutating func findTornTail() {
        let endPlace = Int(log.end.segment - log.firstSegment)
        log.isTailTorn = isRestEmpty[endPlace...].contains(false)
    }

    /// What is left of a torn write could one day pass for part of the log, so the log goes on in
    /// a segment that holds nothing, behind all that hold something.
    private mutating func leaveTornTail(
        _ directory: inout some LogDirectory, limits: EngineConfiguration.LogLimits, node: NodeID,
        clusterID: String, dice: inout Dice
    ) throws(KraftError) {
        let lastUsed = isRestEmpty.lastIndex(of: false) ?? 0
        let next = max(log.end.segment, log.firstSegment + UInt64(lastUsed)) + 1
        if next >= log.firstSegment + UInt64(log.nonces.count) {
            let nonce = dice.next()
            try directory.prepare(
                .make(
                    number: next, nonce: nonce, sizeBytes: limits.segmentSizeBytes, node: node,
                    clusterID: clusterID))
            log.nonces.append(nonce)
            log.sizes.append(limits.segmentSizeBytes)
        }
        log.end = LogPosition(segment: next, offset: LogFormat.blockSize)
    }

    static func damage(_ segment: UInt64, _ reason: String) -> KraftError {
        KraftError(.storage, "log segment \(segment): \(reason)")
    }

    // MARK: Records

    private mutating func take(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) throws(KraftError) {
        guard header.term.rawValue < ByteReader.numberLimit else {
            throw LogRecovery.damage(
                position.segment, "a term beyond all limits at offset \(position.offset)")
        }
        switch header.kind {
        case .groupCreated:
            let record = try GroupRecord.decode(payload, position)
            add(RecoveringGroup(id: header.group, record, at: position))
        case .groupRemoved:
            let record = try GroupRecord.decode(payload, position)
            if record.isFormerMember {
                log.lists.note(former: record.replica, of: header.group)
            } else {
                log.lists.note(tombstone: record.incarnation, of: record.name)
            }
            if let place = places.removeValue(forKey: header.group) { groups[place] = nil }
        case .boot: log.lists.note(try decode(payload, position) as BootRecord)
        case .roster: log.lists.note(try decode(payload, position) as RosterEntry)
        case .identity:
            log.lists.note(
                try decode(payload, position) as PeerIdentity,
                of: NodeID(UInt32(truncatingIfNeeded: header.count)))
        case .nodeLists: log.lists.add(try decode(payload, position))
        case .hardState:
            let state = HardState(term: header.term, vote: NodeID(UInt32(header.count)))
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.take(state, at: position)
            }
        case .entries:
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.takeEntries(header, payload, at: position)
            }
        case .rewritten:
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.takeRewritten(header, payload, at: position)
            }
        case .checkpoint:
            let checkpoint: Checkpoint = try decode(payload, position)
            try change(header, position) { (group) throws(RecoveringGroup.Contradiction) in
                try group.take(checkpoint, at: position)
            }
        case .logStart:
            let start = header.index.rawValue
            guard start > log.start, start <= position.segment else {
                throw LogRecovery.damage(
                    position.segment, "a senseless start of the log at \(position.offset)")
            }
            log.start = start
        }
    }

    private mutating func add(_ group: RecoveringGroup) {
        if let place = places[group.id] { groups[place] = nil }
        places[group.id] = groups.count
        groups.append(group)
    }

    private func decode<T: BinaryCodable>(
        _ payload: UnsafeRawBufferPointer, _ position: LogPosition
    ) throws(KraftError) -> T {
        var reader = ByteReader(payload)
        do throws(ByteReader.Malformed) { return try T(from: &reader) } catch {
            throw LogRecovery.damage(
                position.segment, "a record at offset \(position.offset) is malformed")
        }
    }

    private mutating func change(
        _ header: RecordHeader, _ position: LogPosition,
        _ body: (inout RecoveringGroup) throws(RecoveringGroup.Contradiction) -> Void
    ) throws(KraftError) {
        if places[header.group] == nil {
            // Its first records are gone, where the log doesn't begin with the first segment.
            guard log.firstSegment > 1 || header.kind == .checkpoint else {
                throw LogRecovery.damage(
                    position.segment, "a record of an unknown group at offset \(position.offset)")
            }
            add(RecoveringGroup(id: header.group, at: position))
        }
        guard let place = places[header.group], var group = groups[place] else { return }
        // Moved out and back, so that it is changed in place.
        groups[place] = nil
        defer { groups[place] = group }
        do throws(RecoveringGroup.Contradiction) {
            try body(&group)
        } catch {
            throw LogRecovery.damage(
                position.segment, "\(error.reason), at offset \(position.offset)")
        }
    }

    /// What the records come to, all in all.
    private mutating func settle() throws(KraftError) {
        log.groups = []
        for case let group? in groups {
            guard let (settled, problem) = group.finished() else {
                throw LogRecovery.damage(
                    log.end.segment, "records of group \(group.id), but none says whose it is")
            }
            if let problem {
                throw LogRecovery.damage(
                    log.end.segment, "group '\(settled.name)': \(problem)")
            }
            log.groups.append(settled)
        }
    }
}

/// The payload of the records that tell of a group's beginning and end on this node.
struct GroupRecord: Hashable {
    var name: GroupName
    var incarnation: UInt64
    var replica: ReplicaID
    /// The members before the group's first entry.
    var base: Membership
    /// Of an end: the group lives on elsewhere, without this node.
    var isFormerMember = false
    /// It was added as a witness.
    var isWitness = false

    var encoded: [UInt8] {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.bytes
    }

    func encode(into writer: inout ByteWriter) {
        writer.writeString(name.string)
        writer.write(incarnation)
        writer.write(position: replica.added)
        writer.write(UInt8((isFormerMember ? 1 : 0) | (isWitness ? 2 : 0)))
        base.encode(into: &writer)
    }

    static func decode(
        _ payload: UnsafeRawBufferPointer, _ position: LogPosition
    ) throws(KraftError) -> GroupRecord {
        var reader = ByteReader(payload)
        do throws(ByteReader.Malformed) { return try GroupRecord(from: &reader) } catch {
            throw LogRecovery.damage(
                position.segment, "a group's record at offset \(position.offset) is damaged")
        }
    }
}

extension GroupRecord {
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        let string = try reader.readString(limit: GroupName.lengthLimit)
        guard let name = GroupName(string) else { throw ByteReader.Malformed() }
        self.name = name
        incarnation = try reader.readNumber()
        replica = ReplicaID(added: try reader.readPosition())
        let flags = try reader.read(UInt8.self)
        guard flags <= 3 else { throw ByteReader.Malformed() }
        isFormerMember = flags & 1 != 0
        isWitness = flags & 2 != 0
        base = try Membership(from: &reader)
    }
}
