import KraftRouting
import RaftCore

/// What a log holds and whether it is sound, as a node that starts on it would find. For people and
/// tools: made from bytes alone, and changes nothing.
public struct LogReport: Sendable {
    /// Ascending in number.
    public var segments: [Segment] = []
    /// Segments that were given back, and whose files are still there.
    public var leftovers: [UInt64] = []
    /// As the last record that could be read leaves them; in the order of their creation.
    public var groups: [Group] = []
    /// Whose log it is, by the first segment's header that could be read.
    public var owner: Owner?
    /// Where something is lost that may have been acknowledged, so that a node that starts on it needs
    /// the others' help. Empty: it is sound.
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

        public init(place: Place?, reason: String) { (self.place, self.reason) = (place, reason) }
    }

    public struct Segment: Sendable {
        public var number: UInt64
        /// Of the file.
        public var byteCount: Int
        /// Nil: its header is damaged.
        public var owner: Owner?
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
        /// It may have forgotten something: it must come anew from the others.
        public var isDamaged: Bool
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
        /// As `members`, with all that is needed to say who is a majority.
        var membership: Membership
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
        let first = LogRecovery(firstSegment: numbers.first ?? 1)
        var reading = try LogReading.read(numbers, first, &directory)
        if let anew = reading.anew {
            reading = try LogReading.read(numbers, anew, &directory)
        }
        return reading.finish(snapshots: try directory.snapshotNames())
    }
}

/// A report in the making.
private struct LogReading {
    private var recovery: LogRecovery
    private var report: LogReport
    /// The first segment with something behind its last batch, and where.
    private var rest: LogReport.Place?

    static func read(
        _ numbers: [UInt64], _ beginning: LogRecovery, _ directory: inout some LogDirectory
    ) throws(KraftError) -> LogReading {
        var reading = LogReading(beginning)
        let first = beginning.log.firstSegment
        reading.report.leftovers = numbers.filter { $0 < first }
        for number in numbers where number >= first {
            let block = try directory.load(segment: number)
            reading.take(number, block.bytes)
        }
        return reading
    }

    private init(_ beginning: LogRecovery) {
        recovery = beginning
        report = LogReport(firstSegment: beginning.log.firstSegment)
    }

    var anew: LogRecovery? { recovery.anew }

    private mutating func take(_ number: UInt64, _ bytes: UnsafeRawBufferPointer) {
        var segment = LogReport.Segment(number: number, byteCount: bytes.count)
        let header = SegmentHeader.decode(bytes)
        segment.owner = header.map { .init(node: $0.node, clusterID: $0.clusterID) }
        if report.owner == nil { report.owner = segment.owner }
        if let owner = segment.owner, let first = report.owner, owner != first {
            report.damages.append(
                .init(
                    place: .init(segment: number, offset: 0),
                    reason: "segment \(number) belongs to node \(owner.node) of cluster "
                        + "'\(owner.clusterID)', others to node \(first.node) of "
                        + "'\(first.clusterID)'"))
        }
        var shares = Shares()
        recovery.read(bytes, number) { header, _ in shares.count(header) }
        segment.recordCount = shares.recordCount
        segment.shares = shares.all.sorted { $0.group.rawValue < $1.group.rawValue }
        if recovery.log.end.segment == number { segment.end = recovery.log.end.offset }
        if rest == nil, bytes[min(segment.end, bytes.count)...].contains(where: { $0 != 0 }) {
            rest = .init(segment: number, offset: segment.end)
        }
        report.segments.append(segment)
    }

    consuming func finish(snapshots: [SnapshotName]) -> LogReport {
        _ = recovery.judgeEnd()
        recovery.settle()
        let log = recovery.log
        report.damages += log.damages.map { damage in
            .init(
                place: .init(segment: damage.segment, offset: damage.offset),
                reason: "segment \(damage.segment), offset \(damage.offset): \(damage.reason)")
        }
        for group in log.groups {
            guard let name = group.snapshot?.name, !snapshots.contains(name) else { continue }
            report.damages.append(
                .init(
                    place: nil,
                    reason: "group \(group.name): its snapshot \(name.fileName) is missing"))
        }
        report.end = .init(segment: log.end.segment, offset: log.end.offset)
        report.lastSequence = max(1, log.nextSequence) - 1
        report.lives = log.lists.boot?.lives ?? 0
        report.store = log.store
        report.groups = log.groups.map(LogReading.group)
        // A batch may not fit the end of a segment: then the log goes on in the next one.
        if log.isTailTorn, let rest, rest.segment >= log.end.segment { report.tornTail = rest }
        return report
    }

    private static func group(_ group: RecoveredGroup) -> LogReport.Group {
        let membership = group.configurations.last?.membership ?? group.base
        let members = membership.members.indices.map {
            GroupStatus.Member(
                node: membership.members[$0].node, kind: membership.kind(of: $0))
        }
        let terms = group.terms
        return LogReport.Group(
            id: group.id, name: group.name, incarnation: group.incarnation,
            replica: group.replica, isWitness: group.isWitness, isDamaged: group.isDamaged,
            first: terms.firstIndex, last: terms.lastIndex,
            firstTerm: terms.term(at: min(terms.firstIndex, terms.lastIndex)) ?? .zero,
            lastTerm: terms.last.term,
            byteCount: group.index.runs.reduce(0) { $0 + Int($1.payloadCount) },
            oldestEntry: group.index.runs.first.map {
                .init(segment: $0.position.segment, offset: $0.position.offset)
            },
            term: group.hardState.term, vote: group.hardState.vote, members: members,
            isJoint: membership.isJoint, snapshot: group.snapshot, membership: membership)
    }
}

/// What each group has in one segment.
private struct Shares {
    private(set) var all: [LogReport.Share] = []
    private(set) var recordCount = 0
    private var places: [GroupID: Int] = [:]  // ordered: looked up only

    mutating func count(_ header: RecordHeader) {
        let place = places[header.group] ?? all.count
        if place == all.count {
            places[header.group] = place
            all.append(.init(group: header.group))
        }
        all[place].recordCount += 1
        recordCount += 1
        all[place].byteCount += LogFormat.recordSize(payload: header.payloadCount)
        if header.kind == .entries || header.kind == .rewritten {
            all[place].entryCount += header.count
        }
    }
}
