import KraftRouting
import RaftCore

/// What a log holds and whether it is sound, as a node that starts on it would find. For people and
/// tools: made from bytes alone, and changes nothing.
public struct LogReport: Sendable {
    /// Ascending in number. Those behind damage are listed, but not read.
    public var segments: [Segment] = []
    /// As the last record that could be read leaves them; in the order of their creation.
    public var groups: [Group] = []
    /// Whose log it is, by the first segment's header that could be read.
    public var owner: Owner?
    /// Why a node would not start on it, or not without help of the others. Empty: it is sound.
    public var damages: [Damage] = []
    /// What stands behind the last whole batch: a write that was cut short, or one that is under way
    /// just now. Nobody was told of it; the node drops it when it starts.
    public var tornTail: Place?
    /// Where the next batch goes.
    public var end: Place
    /// Of the last whole batch; 0 for an empty log.
    public var lastSequence: UInt64 = 0
    /// How often a node has started on this folder, and the random number that names the folder.
    public var lives: UInt64 = 0
    public var store: UInt64 = 0

    public var isSound: Bool { damages.isEmpty }

    public struct Owner: Sendable, Hashable {
        public var node: NodeID
        public var clusterID: String
    }

    public struct Place: Sendable, Hashable {
        public var segment: UInt64
        public var offset: Int
    }

    public struct Damage: Sendable, Hashable {
        /// Where it begins, as far as that can be said.
        public var place: Place?
        /// For a human; names segment and offset.
        public var reason: String
    }

    public struct Segment: Sendable {
        public var number: UInt64
        /// Of the file.
        public var byteCount: Int
        /// Nil: its header is damaged.
        public var owner: Owner?
        public var isRead = false
        public var batchCount: UInt64 = 0
        public var recordCount = 0
        /// Where its whole batches end: 4096 if there is none.
        public var end = LogFormat.blockSize
        /// What stands in it of each group, ascending by id. Group 0 is the node itself.
        public var shares: [Share] = []
    }

    public struct Share: Sendable {
        public var group: GroupID
        public var recordCount = 0
        public var entryCount = 0
        /// Of the records, headers included.
        public var byteCount = 0
    }

    public struct Group: Sendable {
        public var id: GroupID
        public var name: GroupName
        public var incarnation: UInt64
        public var replica: ReplicaID
        public var isWitness: Bool
        /// Of the entries that the log holds; none when `last` is before `first`.
        public var first: LogIndex
        public var last: LogIndex
        public var firstTerm: Term
        public var lastTerm: Term
        /// Of its entries' records, those that were overwritten not counted.
        public var byteCount: Int
        /// Where its first entry stands: what was written before that is not needed for it.
        public var oldestEntry: Place?
        public var term: Term
        /// `.none`: it has not voted in `term`.
        public var vote: NodeID
        /// By the last configuration in its log, committed or not.
        public var members: [GroupStatus.Member]
        public var isJoint: Bool
        public var snapshot: SnapshotReference?
    }

    init(firstSegment: UInt64) {
        end = Place(segment: firstSegment, offset: LogFormat.blockSize)
    }
}

extension LogReport {
    /// Reads the whole log, one segment in memory at a time. Of `directory` it only lists and loads.
    ///
    /// Throws what the directory throws; what is wrong with the log itself is in the report.
    public static func read(_ directory: inout some LogDirectory) throws(KraftError) -> LogReport {
        let numbers = try directory.segmentNumbers()
        var reading = LogReading(firstSegment: numbers.first ?? 1)
        for number in numbers {
            let block = try directory.load(segment: number)
            reading.take(number, block.bytes)
        }
        return reading.finish()
    }
}

/// A report in the making.
private struct LogReading {
    private var recovery: LogRecovery
    private var report: LogReport
    /// The first segment with something behind its last batch, and where.
    private var rest: LogReport.Place?

    init(firstSegment: UInt64) {
        recovery = LogRecovery(firstSegment: firstSegment)
        report = LogReport(firstSegment: firstSegment)
        if firstSegment != 1 { fail(nil, "log segment 1: it is missing") }
    }

    private mutating func fail(_ place: LogReport.Place?, _ reason: String) {
        report.damages.append(.init(place: place, reason: reason))
    }

    mutating func take(_ number: UInt64, _ bytes: UnsafeRawBufferPointer) {
        var segment = LogReport.Segment(number: number, byteCount: bytes.count)
        defer { report.segments.append(segment) }
        let header = SegmentHeader.decode(bytes)
        segment.owner = header.map { .init(node: $0.node, clusterID: $0.clusterID) }
        if let last = report.segments.last, number != last.number + 1 {
            fail(nil, "log segment \(last.number + 1): it is missing")
        }
        if report.owner == nil { report.owner = segment.owner }
        if let owner = segment.owner, let first = report.owner, owner != first {
            fail(
                .init(segment: number, offset: 0),
                "log segment \(number): it belongs to node \(owner.node) of cluster "
                    + "'\(owner.clusterID)', others to node \(first.node) of '\(first.clusterID)'")
        }
        // What stands behind damage can't be put in its place.
        guard report.isSound else { return }
        read(&segment, bytes)
    }

    private mutating func read(
        _ segment: inout LogReport.Segment, _ bytes: UnsafeRawBufferPointer
    ) {
        let number = segment.number
        let firstSequence = recovery.log.nextSequence
        var shares = Shares()
        var recordCount = 0
        do throws(KraftError) {
            try recovery.read(bytes, number) { header, _ in
                recordCount += 1
                shares.count(header)
            }
        } catch {
            let end = recovery.log.end
            let offset = segment.owner == nil ? 0 : end.segment == number ? end.offset : 0
            fail(.init(segment: number, offset: offset), error.message)
        }
        segment.isRead = segment.owner != nil
        segment.batchCount = recovery.log.nextSequence - firstSequence
        segment.recordCount = recordCount
        segment.shares = shares.all.sorted { $0.group.rawValue < $1.group.rawValue }
        if recovery.log.end.segment == number { segment.end = recovery.log.end.offset }
        guard rest == nil, report.isSound,
            bytes[min(segment.end, bytes.count)...].contains(where: { $0 != 0 })
        else { return }
        rest = .init(segment: number, offset: segment.end)
    }

    consuming func finish() -> LogReport {
        let log = recovery.log
        report.end = .init(segment: log.end.segment, offset: log.end.offset)
        report.lastSequence = log.nextSequence - 1
        report.lives = log.boot?.lives ?? 0
        report.store = log.boot?.store ?? 0
        report.groups = log.groups.map(LogReading.group)
        // A batch may not fit the end of a segment: then the log goes on in the next one.
        if report.isSound, let rest, rest.segment >= log.end.segment { report.tornTail = rest }
        return report
    }

    private static func group(_ group: RecoveredGroup) -> LogReport.Group {
        let membership = group.configurations.last?.membership
        let members = membership.map { membership in
            membership.members.indices.map {
                GroupStatus.Member(
                    node: membership.members[$0].node, kind: membership.kind(of: $0))
            }
        }
        let terms = group.terms
        return LogReport.Group(
            id: group.id, name: group.name, incarnation: group.incarnation,
            replica: group.replica, isWitness: group.isWitness, first: terms.firstIndex,
            last: terms.lastIndex,
            firstTerm: terms.term(at: min(terms.firstIndex, terms.lastIndex)) ?? .zero,
            lastTerm: terms.last.term,
            byteCount: group.index.runs.reduce(0) { $0 + Int($1.payloadCount) },
            oldestEntry: group.index.runs.first.map {
                .init(segment: $0.position.segment, offset: $0.position.offset)
            },
            term: group.hardState.term, vote: group.hardState.vote, members: members ?? [],
            isJoint: membership?.isJoint ?? false, snapshot: group.snapshot)
    }
}

/// What each group has in one segment.
private struct Shares {
    private(set) var all: [LogReport.Share] = []
    private var places: [GroupID: Int] = [:]  // ordered: looked up only

    mutating func count(_ header: RecordHeader) {
        let place = places[header.group] ?? all.count
        if place == all.count {
            places[header.group] = place
            all.append(.init(group: header.group))
        }
        all[place].recordCount += 1
        all[place].byteCount += LogFormat.recordSize(payload: header.payloadCount)
        if header.kind == .entries { all[place].entryCount += header.count }
    }
}
