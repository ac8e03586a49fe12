import RaftCore

/// Where a group's entries lie in the shared log: one place for each run of entries.
struct EntryIndex {
    struct Run {
        var first: LogIndex
        var position: LogPosition
        /// Of the whole record, of which a truncation may have left only the front.
        var payloadCount: UInt32
        var count: UInt32
        /// What the `count` entries take of the payload; 0 when a truncation left it unknown.
        var usedCount: UInt32

        var last: LogIndex { first + (Int(count) - 1) }
        var segment: UInt64 { position.segment }
        /// What it takes of its segment.
        var recordSize: Int { LogFormat.recordSize(payload: Int(payloadCount)) }
    }

    /// What a group's runs take of one segment.
    struct Share: Hashable {
        var segment: UInt64
        var byteCount: Int

        static var none: Share { Share(segment: 0, byteCount: 0) }
    }

    /// Ascending, without gaps; the first may begin before the group's first entry.
    private(set) var runs: [Run] = []
    /// Of the last segment that holds runs: an idle group has no other. Without bytes where there
    /// is none.
    private var newest = Share.none
    /// Of the others, ascending.
    private var older: [Share] = []

    /// Of more room for runs, what isn't needed is given back.
    private static let room = 64

    init() {}

    /// The group's first index that has a place.
    var first: LogIndex? { runs.first?.first }
    /// The oldest segment that holds any of it.
    var oldestSegment: UInt64? {
        older.first?.segment ?? (newest.byteCount == 0 ? nil : newest.segment)
    }
    var byteCount: Int { older.reduce(newest.byteCount) { $0 + $1.byteCount } }

    func byteCount(in segment: UInt64) -> Int {
        if newest.segment == segment { return newest.byteCount }
        return older.first { $0.segment == segment }?.byteCount ?? 0
    }

    /// Adds a run; whatever stands at its first index or behind is void.
    mutating func append(first: LogIndex, count: Int, position: LogPosition, payloadCount: Int) {
        append(
            Run(
                first: first, position: position, payloadCount: UInt32(payloadCount),
                count: UInt32(count), usedCount: UInt32(payloadCount)))
    }

    mutating func append(_ run: Run) {
        while let last = runs.last, last.last >= run.first {
            if last.first >= run.first {
                release(last)
                runs.removeLast()
            } else {
                runs[runs.count - 1].count = UInt32(run.first - last.first)
                runs[runs.count - 1].usedCount = 0
            }
        }
        if let last = runs.last { precondition(last.last.next == run.first, "a gap in the index") }
        runs.append(run)
        hold(run)
    }

    /// Forgets the entries up to `index`: whole runs, so that the first may still begin before it.
    mutating func drop(upTo index: LogIndex) {
        guard let first = runs.first, first.last <= index else { return }
        let kept = index == runs[runs.count - 1].last ? runs.count : place(of: index.next)
        let count = kept ?? runs.count
        for run in runs[..<count] { release(run) }
        runs.removeFirst(count)
        guard runs.capacity > EntryIndex.room, runs.count * 4 < runs.capacity else { return }
        // Much of it was only there because entries came faster than snapshots.
        var fewer: [Run] = []
        fewer.reserveCapacity(runs.count)
        fewer += runs
        runs = fewer
    }

    mutating func removeAll() {
        runs = []
        newest = .none
        older = []
    }

    /// The entries from `first` to the end of their run stand at `position` now. Those before them in
    /// the run must be dropped already.
    mutating func replace(first: LogIndex, count: Int, position: LogPosition, payloadCount: Int) {
        guard let place = place(of: first), runs[place].last == first + (count - 1) else {
            preconditionFailure("rewrites a part of a run")
        }
        release(runs[place])
        runs[place] = Run(
            first: first, position: position, payloadCount: UInt32(payloadCount),
            count: UInt32(count), usedCount: UInt32(payloadCount))
        hold(runs[place])
    }

    private mutating func hold(_ run: Run) {
        let segment = run.segment
        if newest.byteCount == 0 || newest.segment < segment {
            if newest.byteCount > 0 { older.append(newest) }
            newest = Share(segment: segment, byteCount: run.recordSize)
            return
        }
        if newest.segment == segment {
            newest.byteCount += run.recordSize
            return
        }
        // Only while a log is recovered: what is written goes to the log's end.
        let place = older.firstIndex { $0.segment >= segment } ?? older.count
        if place < older.count, older[place].segment == segment {
            older[place].byteCount += run.recordSize
        } else {
            older.insert(Share(segment: segment, byteCount: run.recordSize), at: place)
        }
    }

    private mutating func release(_ run: Run) {
        if newest.segment == run.segment {
            newest.byteCount -= run.recordSize
            if newest.byteCount == 0 { newest = older.popLast() ?? .none }
            return
        }
        guard let place = older.lastIndex(where: { $0.segment == run.segment }) else {
            preconditionFailure("a run in no segment")
        }
        older[place].byteCount -= run.recordSize
        if older[place].byteCount == 0 { older.remove(at: place) }
    }

    /// The place in `runs` of the run that holds `index`.
    func place(of index: LogIndex) -> Int? {
        guard let last = runs.last, let first = runs.first, index >= first.first,
            index <= last.last
        else { return nil }
        // What is looked for stands near the end, nearly always: step back by 1, 2, 4 …
        var step = 1
        while step < runs.count, runs[runs.count - step].first > index { step *= 2 }
        var low = max(0, runs.count - step)
        var high = runs.count - step / 2
        while high - low > 1 {
            let middle = (low + high) / 2
            if runs[middle].first <= index { low = middle } else { high = middle }
        }
        return low
    }
}
