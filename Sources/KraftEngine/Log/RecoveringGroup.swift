import KraftRouting
import RaftCore

/// One group while its log is read, record by record.
///
/// A log that is read from its middle may lack the group's first records. What comes before the next
/// checkpoint is kept provisionally then: it says where entries lie, and the checkpoint says whose
/// they are. Whatever was live when the segments before went stands again behind them, as
/// `rewritten`; so the records that are left tell the whole state.
struct RecoveringGroup {
    /// A record that doesn't fit the ones before it.
    struct Contradiction: Error {
        var reason: String
    }

    private struct Piece {
        var run: EntryIndex.Run
        var term: Term
        var first: LogIndex { run.first }
        var last: LogIndex { run.last }

        /// Only what stands before `index`.
        func cut(before index: LogIndex) -> Piece {
            var cut = self
            cut.run.count = UInt32(index - first)
            cut.run.usedCount = 0
            return cut
        }
    }

    let id: GroupID
    /// Nil while the record that tells whose it is hasn't come.
    private(set) var record: GroupRecord?
    /// Something of it may be lost: from then on no entries are believed.
    var isDamaged: Bool
    /// Nothing of its log is in segments that are gone, so that a gap shows at once.
    private var isWhole: Bool
    private(set) var base = EntryPosition.start
    private(set) var hardState = HardState()
    private var snapshot: SnapshotReference?
    /// What held at `base`, or was committed later.
    private var floor: Raft.Configuration?
    /// Of the entries behind; ascending.
    private var configurations: [Raft.Configuration] = []
    /// In the order of their writing; ascending, with gaps where rewritten entries will come.
    private var pieces: [Piece] = []
    /// Rewritten ones, in the order of their writing. They count more than those in `pieces`.
    private var moved: [Piece] = []
    private var movedEnd = LogIndex.zero
    private var metadataAt: LogPosition
    private var hardStateAt: LogPosition

    /// A group that begins here.
    init(id: GroupID, _ record: GroupRecord, at position: LogPosition) {
        self.id = id
        self.record = record
        isDamaged = record.isDamaged
        isWhole = true
        floor = .init(index: .zero, membership: record.base)
        (metadataAt, hardStateAt) = (position, position)
    }

    /// A group whose first records are gone.
    init(id: GroupID, isDamaged: Bool, at position: LogPosition) {
        self.id = id
        self.isDamaged = isDamaged
        isWhole = false
        (metadataAt, hardStateAt) = (position, position)
    }

    private var last: EntryPosition {
        pieces.last.map { EntryPosition(index: $0.last, term: $0.term) } ?? base
    }

    // MARK: Records

    mutating func take(_ state: HardState, at position: LogPosition) throws(Contradiction) {
        guard state.term >= hardState.term else {
            if isDamaged { return }
            throw Contradiction(reason: "a term falls")
        }
        hardState = state
        hardStateAt = position
    }

    mutating func takeEntries(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) throws(Contradiction) {
        let found = try check(header, payload)
        if isDamaged { return }
        guard header.index > base.index, header.index > floor?.index ?? .zero else {
            throw Contradiction(reason: "committed entries are overwritten")
        }
        guard !isWhole || header.index <= last.index.next else {
            throw Contradiction(reason: "entries that don't fit")
        }
        truncate(from: header.index)
        guard header.term >= last.term else { throw Contradiction(reason: "a term falls") }
        pieces.append(RecoveringGroup.piece(header, position))
        configurations += found
    }

    private mutating func truncate(from index: LogIndex) {
        while let last = pieces.last, last.last >= index {
            pieces.removeLast()
            if last.first < index { pieces.append(last.cut(before: index)) }
        }
        if movedEnd >= index {
            moved = moved.filter { $0.first < index }.map {
                $0.last >= index ? $0.cut(before: index) : $0
            }
            movedEnd = index.previous
        }
        while let last = configurations.last, last.index >= index { configurations.removeLast() }
    }

    mutating func takeRewritten(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer, at position: LogPosition
    ) throws(Contradiction) {
        let found = try check(header, payload)
        let piece = RecoveringGroup.piece(header, position)
        guard !isWhole || isDamaged || piece.last <= last.index else {
            throw Contradiction(reason: "entries that don't fit are written again")
        }
        moved.append(piece)
        movedEnd = max(movedEnd, piece.last)
        for configuration in found where configuration.index > floor?.index ?? .zero {
            let place =
                configurations.firstIndex { $0.index >= configuration.index }
                ?? configurations.count
            if place < configurations.count, configurations[place].index == configuration.index {
                continue
            }
            configurations.insert(configuration, at: place)
        }
    }

    mutating func take(
        _ checkpoint: Checkpoint, at position: LogPosition
    ) throws(Contradiction) {
        let isLater = record == nil || checkpoint.base.index >= base.index
        guard isLater, checkpoint.hardState.term >= hardState.term else {
            if isDamaged { return }
            throw Contradiction(reason: "a compaction or a term is taken back")
        }
        if checkpoint.isReset {
            pieces = []
            moved = []
            movedEnd = .zero
            configurations = []
            isWhole = true
        } else {
            guard !isWhole || isDamaged || checkpoint.base.index <= last.index else {
                throw Contradiction(reason: "more is compacted than there was")
            }
            let kept = pieces.firstIndex { $0.last > checkpoint.base.index } ?? pieces.count
            pieces.removeFirst(kept)
            moved.removeAll { $0.last <= checkpoint.base.index }
        }
        record = checkpoint.record
        isDamaged = isDamaged || checkpoint.record.isDamaged
        base = checkpoint.base
        hardState = checkpoint.hardState
        floor = checkpoint.configuration
        configurations.removeAll { $0.index <= checkpoint.configuration.index }
        snapshot = checkpoint.snapshot
        (metadataAt, hardStateAt) = (position, position)
    }

    /// The configurations in a run of entries.
    private func check(
        _ header: RecordHeader, _ payload: UnsafeRawBufferPointer
    ) throws(Contradiction) -> [Raft.Configuration] {
        guard header.count > 0, header.index > .zero,
            header.index.rawValue < ByteReader.numberLimit,
            let memberships = EntryRun.check(payload, count: header.count)
        else { throw Contradiction(reason: "malformed entries") }
        return memberships.map { .init(index: header.index + $0.offset, membership: $0.membership) }
    }

    private static func piece(_ header: RecordHeader, _ position: LogPosition) -> Piece {
        Piece(
            run: EntryIndex.Run(
                first: header.index, position: position,
                payloadCount: UInt32(header.payloadCount), count: UInt32(header.count),
                usedCount: UInt32(header.payloadCount)),
            term: header.term)
    }

    // MARK: The end

    /// The group as its records leave it; `problem` says what is missing: then it ends before that.
    func finished() -> (group: RecoveredGroup, problem: String?)? {
        guard let record, let floor else { return nil }
        var (all, problem) = settled()
        all.removeAll { $0.last <= base.index }
        var terms = LogTerms(base: base)
        var index = EntryIndex()
        for piece in all {
            let next = terms.lastIndex.next
            guard index.isEmpty ? piece.first <= next : piece.first == next,
                piece.term >= terms.last.term
            else {
                problem = problem ?? "entry \(next) is missing"
                break
            }
            terms.append(count: piece.last - next + 1, term: piece.term)
            index.append(piece.run)
        }
        if floor.index > terms.lastIndex {
            problem = problem ?? "entry \(terms.lastIndex.next) is missing"
        }
        if let position = snapshot?.name.position, terms.term(at: position.index) != position.term {
            problem = problem ?? "entry \(position.index), which its snapshot ends with, is missing"
        }
        let held = configurations.filter { $0.index <= terms.lastIndex }
        let group = RecoveredGroup(
            id: id, name: record.name, incarnation: record.incarnation, replica: record.replica,
            isWitness: record.isWitness, base: record.base, configurations: [floor] + held,
            hardState: hardState, terms: terms, index: index, snapshot: snapshot,
            metadataAt: metadataAt, hardStateAt: hardStateAt, isDamaged: isDamaged)
        return (group, problem)
    }

    /// All pieces in the order of their entries, each where it stands now.
    private func settled() -> (pieces: [Piece], problem: String?) {
        guard !moved.isEmpty else { return (pieces, nil) }
        var isBroken = false
        // Ascending and disjoint. The newest first, as they count most.
        var placed: [Piece] = []
        for piece in moved.reversed() {
            guard let rest = RecoveringGroup.rest(of: piece, beside: placed, &isBroken) else {
                continue
            }
            placed.insert(
                rest, at: RecoveringGroup.place(in: placed, endingAtOrBehind: rest.first))
        }
        var all = placed
        for piece in pieces {
            if let rest = RecoveringGroup.rest(of: piece, beside: placed, &isBroken) {
                all.append(rest)
            }
        }
        all.sort { $0.first < $1.first }
        return (all, isBroken ? "a record was written again in part" : nil)
    }

    /// What of a piece isn't written again in `placed`: nothing, all, or its front.
    private static func rest(
        of piece: Piece, beside placed: [Piece], _ isBroken: inout Bool
    ) -> Piece? {
        var place = place(in: placed, endingAtOrBehind: piece.first)
        guard place < placed.count, placed[place].first <= piece.last else { return piece }
        let front = placed[place].first
        while placed[place].last < piece.last {
            let next = placed[place].last.next
            place += 1
            guard place < placed.count, placed[place].first == next else {
                isBroken = true
                break
            }
        }
        return piece.first < front ? piece.cut(before: front) : nil
    }

    private static func place(in pieces: [Piece], endingAtOrBehind index: LogIndex) -> Int {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].last < index { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
