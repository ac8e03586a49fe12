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
    }

    /// Ascending, without gaps.
    private(set) var runs: [Run] = []

    /// Adds a run; whatever stands at its first index or behind is void.
    mutating func append(first: LogIndex, count: Int, position: LogPosition, payloadCount: Int) {
        while let last = runs.last, last.last >= first {
            if last.first >= first {
                runs.removeLast()
            } else {
                runs[runs.count - 1].count = UInt32(first - last.first)
                runs[runs.count - 1].usedCount = 0
            }
        }
        if let last = runs.last { precondition(last.last.next == first, "a gap in the index") }
        runs.append(
            Run(
                first: first, position: position, payloadCount: UInt32(payloadCount),
                count: UInt32(count), usedCount: UInt32(payloadCount)))
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
