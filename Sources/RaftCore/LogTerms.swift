/// Where an entry stands: enough to identify it and all before it (Log Matching, section 3.5).
public struct EntryPosition: Hashable, Sendable {
    public var index: LogIndex
    public var term: Term

    @inlinable public init(index: LogIndex, term: Term) {
        self.index = index
        self.term = term
    }
    /// Before the first entry of every log.
    @inlinable public static var start: EntryPosition { .init(index: .zero, term: .zero) }

    /// Whether a log that ends here is at least as up-to-date as one that ends at `other`
    /// (section 3.6.1): the later term wins, then the longer log.
    @inlinable public func isUpToDate(with other: EntryPosition) -> Bool {
        term != other.term ? term > other.term : index >= other.index
    }
}

/// The shape of a group's log without its bytes: which indexes there are, and their terms.
///
/// Terms come in long runs, so this is a few words a group, whatever the log's length.
public struct LogTerms: Sendable {
    struct Run {
        /// Zero where there is none.
        var first: LogIndex
        var term: Term

        static var none: Run { Run(first: .zero, term: .zero) }
        var isNone: Bool { first == .zero }
    }

    /// The last run. Most logs have no other: no array for one term.
    private var newest = Run.none
    /// Those before it, ascending in index and in term.
    private var older: [Run] = []
    /// The entry before the first that the log holds.
    public private(set) var base: EntryPosition
    public private(set) var lastIndex: LogIndex

    public init(base: EntryPosition = .start) {
        self.base = base
        lastIndex = base.index
    }

    @inlinable public var firstIndex: LogIndex { base.index.next }

    public var last: EntryPosition {
        newest.isNone ? base : EntryPosition(index: lastIndex, term: newest.term)
    }

    /// The term of an entry; nil outside `base ... last`.
    public func term(at index: LogIndex) -> Term? {
        guard index <= lastIndex, index >= base.index else { return nil }
        if newest.first <= index, !newest.isNone { return newest.term }
        var position = older.count
        while position > 0 {
            position -= 1
            if older[position].first <= index { return older[position].term }
        }
        return base.term
    }

    /// Adds `count` entries of one term behind the last.
    public mutating func append(count: Int, term: Term) {
        precondition(count > 0, "an empty run")
        if newest.isNone {
            precondition(base.term <= term, "terms fall within a log")
            newest = Run(first: lastIndex.next, term: term)
        } else {
            precondition(newest.term <= term, "terms fall within a log")
            if newest.term < term {
                older.append(newest)
                newest = Run(first: lastIndex.next, term: term)
            }
        }
        lastIndex = lastIndex + count
    }

    /// Drops the entries from `index` on.
    public mutating func truncate(from index: LogIndex) {
        precondition(index > base.index && index <= lastIndex, "truncates what isn't there")
        while newest.first >= index { newest = older.popLast() ?? .none }
        lastIndex = index.previous
    }

    /// Drops the entries up to `index`, which becomes the base. Nothing for what is dropped already.
    public mutating func compact(upTo index: LogIndex) {
        guard index > base.index else { return }
        guard let term = term(at: index) else {
            preconditionFailure("compacts up to \(index), which isn't there")
        }
        base = EntryPosition(index: index, term: term)
        guard index < lastIndex else {
            newest = .none
            older = []
            return
        }
        // Runs behind which another begins in time.
        let kept = older.indices.first { place in
            (place + 1 < older.count ? older[place + 1] : newest).first > index.next
        }
        if let kept {
            older.removeFirst(kept)
            older[0].first = index.next
        } else {
            older = []
            newest.first = index.next
        }
    }

    /// How many of `count` entries of `term` behind `previous` the log holds already.
    func matching(after previous: LogIndex, count: Int, term: Term) -> Int {
        guard previous < lastIndex, count > 0 else { return 0 }
        guard self.term(at: previous.next) == term else { return 0 }
        let end = min(lastIndex, previous + count)
        return min(lastIndex(of: term), end) - previous
    }

    /// The last entry of a term that the log holds.
    private func lastIndex(of term: Term) -> LogIndex {
        for run in older where run.term > term { return run.first.previous }
        return newest.term > term ? newest.first.previous : lastIndex
    }

    /// The last entry of the run that `index` lies in; `index` must be held.
    public func endOfRun(at index: LogIndex) -> LogIndex {
        if newest.first <= index { return lastIndex }
        var end = newest.first.previous
        for run in older.reversed() {
            if run.first <= index { return end }
            end = run.first.previous
        }
        return end
    }

    /// The last position not beyond `index` whose term isn't beyond `term`: where a leader and a
    /// follower that disagree at `index` may still agree. One step skips a whole term. Nil when it
    /// lies before the base.
    func lastPosition(notBeyond index: LogIndex, term: Term) -> EntryPosition? {
        var index = min(index, lastIndex)
        if newest.first <= index, !newest.isNone {
            if newest.term <= term { return EntryPosition(index: index, term: newest.term) }
            index = newest.first.previous
        }
        for run in older.reversed() where run.first <= index {
            if run.term <= term { return EntryPosition(index: index, term: run.term) }
            index = run.first.previous
        }
        return index >= base.index && base.term <= term ? base : nil
    }
}
