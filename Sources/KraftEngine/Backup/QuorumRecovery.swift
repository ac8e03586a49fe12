import KraftRouting
import RaftCore

/// Makes the surviving replica of a group the whole group, on the log of a node that doesn't run.
///
/// The group gets a new life: a higher incarnation, and with it another id, whose first and only member
/// is this node. Its log holds the same entries at the same places, with no-ops where there were
/// memberships. So nothing that is said in the old group's name concerns it, whoever comes back; and
/// who led or voted there can't here.
///
/// At each point a crash leaves the old group or the new one, whole: the new one is written down first,
/// as a draft under another name; then one batch ends the old group and gives the new one its name. The
/// lost nodes are written down as having left the cluster before that, so that they are told so when
/// they come back.
public struct QuorumRecovery {
    /// Makes of one snapshot, which lies beside the log, another one there, durable under its name.
    /// Returns its size.
    public typealias Transcode = (
        _ from: SnapshotName, _ to: SnapshotName, _ owner: SnapshotOwner
    ) throws(KraftError) -> UInt64

    /// A group that was recovered.
    public struct Recovered: Hashable, Sendable {
        public var name: GroupName
        public var oldID: GroupID
        public var id: GroupID
        public var incarnation: UInt64
        public var last: EntryPosition
    }

    /// Names of drafts begin so; no other group's may.
    private static let draftPrefix = ":recovery:"

    /// Whether a group is what an interrupted recovery left, of which nothing counts.
    package static func isDraft(_ name: GroupName) -> Bool { name.string.hasPrefix(draftPrefix) }

    private let node: NodeID
    private var recovered: RecoveredLog
    private var log: SharedLog
    private var dice: Dice
    /// The segments that were read last.
    private var segments: [(number: UInt64, block: Block)] = []

    /// Reads the log, as a node does that starts. The folder must be this process's alone.
    ///
    /// - `segmentSizeBytes`: of the log's largest segment.
    ///
    /// Throws what recovery of a log throws.
    public init(
        _ directory: inout some LogDirectory, owner: LogReport.Owner, segmentSizeBytes: Int,
        seed: UInt64
    ) throws(KraftError) {
        var dice = Dice(seed: seed)
        var limits = EngineConfiguration.LogLimits()
        // Whatever stands in the log fits into one of these.
        limits.segmentSizeBytes = segmentSizeBytes
        recovered = try LogRecovery.recover(
            &directory, node: owner.node, clusterID: owner.clusterID, limits: limits,
            seed: dice.next())
        node = owner.node
        log = SharedLog(
            recovered: recovered, node: owner.node, clusterID: owner.clusterID,
            life: recovered.lists.lives.last ?? .init(number: 0, boot: 0), limits: limits,
            seed: dice.next())
        self.dice = dice
    }

    // MARK: Steps

    /// Removes what a recovery left that didn't come to its end.
    public mutating func removeDrafts(
        _ directory: inout some LogDirectory
    ) throws(KraftError) {
        for group in recovered.groups where QuorumRecovery.isDraft(group.name) {
            write(.groupRemoved, QuorumRecovery.record(of: group), group.id)
        }
        recovered.groups.removeAll { QuorumRecovery.isDraft($0.name) }
        try flush(&directory)
    }

    /// Takes nodes out of the cluster: they are not let in any more, and told so.
    public mutating func leave(
        _ nodes: [NodeID], _ directory: inout some LogDirectory
    ) throws(KraftError) {
        for node in nodes.sorted() where node != self.node {
            let known = recovered.lists.roster.first { $0.node == node }
            if known?.hasLeft == true { continue }
            let entry = RosterEntry(
                node: node, address: known?.address ?? "",
                generation: min((known?.generation ?? 0) + 1, RosterEntry.generationLimit),
                hasLeft: true)
            var writer = ByteWriter()
            entry.encode(into: &writer)
            write(.roster, writer.bytes)
            recovered.lists.note(entry)
        }
        try flush(&directory)
    }

    /// Makes this node's replica the whole group. Throws `notFound`, and `storage` for entries that
    /// can't be read any more; what `transcode` throws. Then the group is as it was.
    public mutating func recover(
        _ name: GroupName, _ directory: inout some LogDirectory, transcode: Transcode
    ) throws(KraftError) -> Recovered {
        guard let place = recovered.groups.firstIndex(where: { $0.name == name }) else {
            throw KraftError(.notFound, "no group \(name) in this log", group: name)
        }
        let old = recovered.groups[place]
        guard let alone = Membership(voters: [node]) else {
            preconditionFailure("node 0 has a log")
        }
        let tombstone = recovered.lists.tombstones.first { $0.name == name }?.incarnation ?? 0
        var record = GroupRecord(
            name: name, incarnation: max(old.incarnation, tombstone) + 1, replica: .initial,
            base: alone)
        let id = Engine.groupID(record)
        guard !recovered.groups.contains(where: { $0.id == id }) else {
            throw KraftError(.conflict, "the ids of \(name) and of another collide", group: name)
        }
        let base = old.snapshot?.name.position ?? .start
        guard base.index >= old.terms.base.index, old.terms.term(at: base.index) == base.term else {
            throw KraftError(
                .storage, "the state of \(name) up to \(old.terms.base.index) is lost here",
                group: name)
        }
        let configuration = Raft.Configuration(index: base.index, membership: alone)
        var snapshot: SnapshotReference?
        if let source = old.snapshot?.name {
            let target = SnapshotName(group: id, position: base, nonce: dice.next())
            let owner = SnapshotOwner(
                name: name, incarnation: record.incarnation, epoch: nil,
                configuration: configuration)
            let byteCount = try transcode(source, target, owner)
            snapshot = SnapshotReference(name: target, byteCount: byteCount)
        }
        // All that is there counts from now on, so the term is the one to go on from.
        let hardState = HardState(term: max(old.hardState.term, old.terms.last.term), vote: .none)
        var checkpoint = Checkpoint(
            record: record, hardState: hardState, base: base, configuration: configuration,
            snapshot: snapshot, isReset: true)
        checkpoint.record.name = QuorumRecovery.draftName(id)
        record.name = checkpoint.record.name
        write(.groupCreated, record, id)
        write(checkpoint, id)
        try copyEntries(of: old, behind: base.index, to: id, &directory)
        checkpoint.record.name = name
        checkpoint.isReset = false
        try replace(old, by: checkpoint, id, &directory)
        recovered.groups.remove(at: place)
        recovered.lists.note(tombstone: old.incarnation, of: name)
        return Recovered(
            name: name, oldID: old.id, id: id, incarnation: checkpoint.record.incarnation,
            last: old.terms.last)
    }

    /// Removes this node's replica of a group that goes on elsewhere without it: it can be added to
    /// the group again, and then gets its data anew. Throws `notFound`.
    public mutating func forget(
        _ name: GroupName, _ directory: inout some LogDirectory
    ) throws(KraftError) {
        guard let place = recovered.groups.firstIndex(where: { $0.name == name }) else {
            throw KraftError(.notFound, "no group \(name) in this log", group: name)
        }
        let old = recovered.groups.remove(at: place)
        var record = QuorumRecovery.record(of: old)
        record.isFormerMember = true
        write(.groupRemoved, record, old.id)
        try flush(&directory)
    }

    // MARK: Records

    private static func draftName(_ id: GroupID) -> GroupName {
        guard let name = GroupName("\(draftPrefix)\(id)") else {
            preconditionFailure("a draft's name isn't legal")
        }
        return name
    }

    private static func record(of group: RecoveredGroup) -> GroupRecord {
        GroupRecord(
            name: group.name, incarnation: group.incarnation, replica: group.replica,
            base: group.base)
    }

    private mutating func write(_ kind: RecordKind, _ record: GroupRecord, _ id: GroupID) {
        write(kind, record.encoded, group: id)
    }

    private mutating func write(_ checkpoint: Checkpoint, _ id: GroupID) {
        write(
            .checkpoint, QuorumRecovery.encoded(checkpoint), group: id, checkpoint.base)
    }

    private static func encoded(_ checkpoint: Checkpoint) -> [UInt8] {
        var writer = ByteWriter()
        checkpoint.encode(into: &writer)
        return writer.bytes
    }

    @discardableResult
    private mutating func write(
        _ kind: RecordKind, _ payload: [UInt8], group: GroupID = GroupID(0),
        _ position: EntryPosition = .start, count: Int = 0
    ) -> UInt64 {
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: group, index: position.index,
            term: position.term, count: count)
        return log.append(header) { target in
            payload.withUnsafeBytes { bytes in
                if let source = bytes.baseAddress {
                    target.copyMemory(from: source, byteCount: bytes.count)
                }
            }
        }.batch
    }

    /// Ends the old group and gives the new one its name: both or neither.
    private mutating func replace(
        _ old: RecoveredGroup, by checkpoint: Checkpoint, _ id: GroupID,
        _ directory: inout some LogDirectory
    ) throws(KraftError) {
        try flush(&directory)
        let end = QuorumRecovery.record(of: old).encoded
        let beginning = QuorumRecovery.encoded(checkpoint)
        log.gather(
            LogFormat.recordSize(payload: end.count)
                + LogFormat.recordSize(payload: beginning.count))
        let batch = write(.groupRemoved, end, group: old.id)
        let same = write(.checkpoint, beginning, group: id, checkpoint.base)
        precondition(batch == same, "an end without a beginning")
        try flush(&directory)
    }

    // MARK: Entries

    private mutating func copyEntries(
        of group: RecoveredGroup, behind base: LogIndex, to id: GroupID,
        _ directory: inout some LogDirectory
    ) throws(KraftError) {
        var waiting = 0
        for run in group.index.runs where run.last > base {
            let payload = try payload(of: run, group, &directory)
            let first = max(run.first, base.next)
            let count = run.last - first + 1
            let bytes = payload.withUnsafeBytes { payload in
                let start = EntryRun.size(payload, count: first - run.first)
                return EntryRun.withoutMemberships(.init(rebasing: payload[start...]), count: count)
            }
            guard let term = group.terms.term(at: run.last) else {
                preconditionFailure("entries that the log doesn't hold")
            }
            write(
                .entries, bytes, group: id, EntryPosition(index: first, term: term), count: count)
            waiting += bytes.count
            // Not all of a long log is kept in memory.
            if waiting >= 8 << 20 {
                try flush(&directory)
                waiting = 0
            }
        }
    }

    private mutating func payload(
        of run: EntryIndex.Run, _ group: RecoveredGroup, _ directory: inout some LogDirectory
    ) throws(KraftError) -> [UInt8] {
        let (segment, offset) = (run.position.segment, run.position.offset)
        let block: Block
        if let known = segments.first(where: { $0.number == segment }) {
            block = known.block
        } else {
            block = try directory.load(segment: segment)
            segments.append((segment, block))
            if segments.count > 2 { segments.removeFirst() }
        }
        let place = Int(segment - recovered.firstSegment)
        guard recovered.nonces.indices.contains(place),
            let record = RecordHeader.decode(
                block.bytes, at: offset, nonce: recovered.nonces[place], offset: offset),
            record.header.payloadCount == Int(run.payloadCount)
        else {
            throw KraftError(
                .storage,
                "entry \(run.first) of \(group.name), at segment \(segment), offset \(offset), "
                    + "can't be read", group: group.name)
        }
        return Array(record.payload)
    }

    /// Everything that was written so far is durable when this returns.
    private mutating func flush(_ directory: inout some LogDirectory) throws(KraftError) {
        while true {
            if let preparation = log.takePreparation() {
                try directory.prepare(preparation)
                log.segmentPrepared(preparation.number)
                continue
            }
            guard let write = log.takeWrite() else { break }
            var offset = write.offset
            for piece in write.pieces {
                try directory.rewrite(
                    segment: write.segment, offset: offset, piece.block.bytes(piece.range))
                offset += piece.range.count
            }
            try directory.sync()
            _ = log.written(write.id)
        }
        log.trim()
    }
}
