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
    var nextSequence: UInt64 = 1
    var groups: [RecoveredGroup] = []
    /// The last incarnation of each name that was removed here.
    var tombstones: [(name: GroupName, incarnation: UInt64)] = []
    /// The last replica of a group that was a member here and isn't any more.
    var formerReplicas: [(group: GroupID, replica: ReplicaID)] = []
    /// The last life of this node; nil for a new folder.
    var boot: BootRecord?
    /// The nonces of all its lives, by their number.
    var boots: [UInt64: UInt64] = [:]  // ordered: looked up only
    /// The newest word on each node.
    var roster: [RosterEntry] = []
    var identities: [(node: NodeID, identity: PeerIdentity)] = []
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
    /// Ascending; the first is what held before the first entry.
    var configurations: [Raft.Configuration]
    var hardState = HardState()
    var terms = LogTerms()
    var index = EntryIndex()
    /// Holds the state up to some entry at or behind `terms.base`.
    var snapshot: SnapshotReference?
}

/// Reads a whole log, record by record, and tells a torn tail from damage.
///
/// A torn tail is the last write, when the crash came before its sync ended: nobody was told of
/// it. A batch of a **later** write behind a broken one proves that the broken one had been synced,
/// and so perhaps acknowledged: that is damage, and the node refuses to start.
struct LogRecovery {
    private(set) var log: RecoveredLog
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
        // Nothing is ever given back yet, so the log starts where it began.
        guard numbers[0] == 1 else { throw damage(1, "it is missing") }
        var recovery = LogRecovery(firstSegment: numbers[0])
        for (place, number) in numbers.enumerated() {
            let block = try directory.load(segment: number)
            guard number == numbers[0] + UInt64(place) else {
                throw damage(number, "segment \(numbers[0] + UInt64(place)) is missing before it")
            }
            try recovery.checkOwner(of: block.bytes, number, node: node, clusterID: clusterID)
            try recovery.read(block.bytes, number) { _, _ in }
            if recovery.log.end.segment == number { recovery.lastWrite?.block = block }
            recovery.keep(block, number, budget: limits.cacheSizeBytes)
        }
        try recovery.writeLastAgain(&directory)
        recovery.trimBlocks()
        recovery.findTornTail()
        if recovery.log.isTailTorn {
            try recovery.leaveTornTail(
                &directory, limits: limits, node: node, clusterID: clusterID, dice: &dice)
        }
        return recovery.log
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

    /// Takes in the next segment, whole.
    mutating func read(
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
            batch.sequence == log.nextSequence
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
        log.nextSequence += 1
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
            let group = try GroupRecord.decode(payload, position)
            places[header.group] = log.groups.count
            log.groups.append(
                RecoveredGroup(
                    id: header.group, name: group.name, incarnation: group.incarnation,
                    replica: group.replica, isWitness: group.isWitness,
                    configurations: [.init(index: .zero, membership: group.base)]))
        case .groupRemoved:
            let group = try GroupRecord.decode(payload, position)
            if group.isFormerMember {
                log.formerReplicas.removeAll { $0.group == header.group }
                log.formerReplicas.append((header.group, group.replica))
            } else {
                log.tombstones.removeAll { $0.name == group.name }
                log.tombstones.append((group.name, group.incarnation))
            }
            if let place = places.removeValue(forKey: header.group) {
                log.groups.remove(at: place)
                for later in place..<log.groups.count { places[log.groups[later].id] = later }
            }
        case .boot:
            let boot: BootRecord = try decode(payload, position)
            log.boot = boot
            log.boots[boot.lives] = boot.boot
        case .roster:
            let entry: RosterEntry = try decode(payload, position)
            log.roster.removeAll { $0.node == entry.node }
            log.roster.append(entry)
        case .identity:
            let identity: PeerIdentity = try decode(payload, position)
            let node = NodeID(UInt32(truncatingIfNeeded: header.count))
            log.identities.removeAll { $0.node == node }
            log.identities.append((node, identity))
        case .hardState:
            let place = try place(of: header, position)
            let state = HardState(term: header.term, vote: NodeID(UInt32(header.count)))
            guard state.term >= log.groups[place].hardState.term else {
                throw LogRecovery.damage(position.segment, "a term falls at \(position.offset)")
            }
            log.groups[place].hardState = state
        case .entries:
            try takeEntries(header, payload, at: position)
        case .checkpoint, .rewritten, .logStart:
            throw LogRecovery.damage(position.segment, "a record of an unknown kind")
        }
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

    private mutating func takeEntries(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) throws(KraftError) {
        let place = try place(of: header, position)
        let last = log.groups[place].terms.last
        guard header.count > 0, header.index > .zero, header.index <= last.index.next,
            let memberships = EntryRun.check(payload, count: header.count)
        else {
            throw LogRecovery.damage(
                position.segment, "entries that don't fit at offset \(position.offset)")
        }
        if header.index <= last.index { log.groups[place].terms.truncate(from: header.index) }
        log.groups[place].configurations.removeAll {
            $0.index >= header.index && $0.index > .zero
        }
        for (offset, membership) in memberships {
            log.groups[place].configurations.append(
                .init(index: header.index + offset, membership: membership))
        }
        guard header.term >= log.groups[place].terms.last.term else {
            throw LogRecovery.damage(position.segment, "a term falls at \(position.offset)")
        }
        log.groups[place].terms.append(count: header.count, term: header.term)
        log.groups[place].index.append(
            first: header.index, count: header.count, position: position,
            payloadCount: header.payloadCount)
    }

    private func place(
        of header: RecordHeader, _ position: LogPosition
    ) throws(KraftError) -> Int {
        guard let place = places[header.group] else {
            throw LogRecovery.damage(
                position.segment, "a record of an unknown group at offset \(position.offset)")
        }
        return place
    }
}

/// The payload of the records that tell of a group's beginning and end on this node.
struct GroupRecord {
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
        writer.writeString(name.string)
        writer.write(incarnation)
        writer.write(position: replica.added)
        writer.write(UInt8((isFormerMember ? 1 : 0) | (isWitness ? 2 : 0)))
        base.encode(into: &writer)
        return writer.bytes
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
