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

        static var none: Run {
            Run(
                first: .zero, position: LogPosition(rawValue: 0), payloadCount: 0, count: 0,
                usedCount: 0)
        }

        /// Of a run that isn't `none`.
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

    // Most groups have one run in one segment: those have no arrays.

    /// The last run, without entries where there is none.
    private var newestRun = Run.none
    /// Those before it: ascending, without gaps; the first may begin before the group's first entry.
    private(set) var olderRuns: [Run] = []
    /// Of the last segment that holds runs. Without bytes where there is none.
    private var newest = Share.none
    /// Of the others, ascending.
    private var older: [Share] = []

    /// Of more room for runs, what isn't needed is given back.
    private static let room = 64

    init() {}

    var isEmpty: Bool { newestRun.count == 0 }
    var runCount: Int { isEmpty ? 0 : olderRuns.count + 1 }

    @inline(__always)
    func run(at place: Int) -> Run {
        place == olderRuns.count ? newestRun : olderRuns[place]
    }

    /// A copy of all of them, for what isn't done in a turn.
    var runs: [Run] { isEmpty ? [] : olderRuns + [newestRun] }

    /// The group's first index that has a place.
    var first: LogIndex? { isEmpty ? nil : run(at: 0).first }
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
        while !isEmpty, newestRun.last >= run.first {
            if newestRun.first >= run.first {
                release(newestRun)
                newestRun = olderRuns.popLast() ?? .none
            } else {
                newestRun.count = UInt32(run.first - newestRun.first)
                newestRun.usedCount = 0
            }
        }
        if !isEmpty {
            precondition(newestRun.last.next == run.first, "a gap in the index")
            olderRuns.append(newestRun)
        }
        newestRun = run
        hold(run)
    }

    /// Forgets the entries up to `index`: whole runs, so that the first may still begin before it.
    mutating func drop(upTo index: LogIndex) {
        guard !isEmpty, run(at: 0).last <= index else { return }
        let kept = index == newestRun.last ? nil : place(of: index.next)
        let count = kept ?? runCount
        for place in 0..<count { release(run(at: place)) }
        guard kept != nil else {
            newestRun = .none
            olderRuns = []
            return
        }
        olderRuns.removeFirst(count)
        let capacity = olderRuns.capacity
        guard capacity > EntryIndex.room, olderRuns.count * 4 < capacity else { return }
        // Much of it was only there because entries came faster than snapshots.
        var fewer: [Run] = []
        fewer.reserveCapacity(olderRuns.count)
        fewer += olderRuns
        olderRuns = fewer
    }

    mutating func removeAll() {
        newestRun = .none
        olderRuns = []
        newest = .none
        older = []
    }

    /// The entries from `first` to the end of their run stand at `position` now. Those before them in
    /// the run must be dropped already.
    mutating func replace(first: LogIndex, count: Int, position: LogPosition, payloadCount: Int) {
        guard let place = place(of: first), run(at: place).last == first + (count - 1) else {
            preconditionFailure("rewrites a part of a run")
        }
        release(run(at: place))
        let moved = Run(
            first: first, position: position, payloadCount: UInt32(payloadCount),
            count: UInt32(count), usedCount: UInt32(payloadCount))
        if place == olderRuns.count { newestRun = moved } else { olderRuns[place] = moved }
        hold(moved)
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

    /// The place of the run that holds `index`, from 0.
    func place(of index: LogIndex) -> Int? {
        guard !isEmpty, index <= newestRun.last else { return nil }
        let count = olderRuns.count
        if index >= newestRun.first { return count }
        guard count > 0, index >= olderRuns[0].first else { return nil }
        // What is looked for stands near the end, nearly always: step back by 1, 2, 4 …
        var step = 1
        while step < count, olderRuns[count - step].first > index { step *= 2 }
        var low = max(0, count - step)
        var high = count - step / 2
        while high - low > 1 {
            let middle = (low + high) / 2
            if olderRuns[middle].first <= index { low = middle } else { high = middle }
        }
        return low
    }
}
