/// Positions cut into intervals, each with one owner: the one structure behind every built-in
/// router.
///
/// An interval runs from its own start (inclusive) to the next one's (exclusive); the first starts
/// at the lowest position and the last has no end, so every position has exactly one owner.
/// Positions are either numbers (a hash, a slot) or byte strings (a key). The owner is a dense
/// index; the `Router` knows its name and epoch. In normal form: neighbours have different owners.
///
/// A lookup is one binary search over a flat array and allocates nothing. Numbers lie in `starts`
/// themselves. For byte strings `starts` holds each start's first eight bytes and `arena` the whole
/// of it, read only where those eight are equal.
struct IntervalTable: Sendable, Equatable {
    private(set) var starts: [UInt64] = []
    private(set) var owners: [UInt32] = []
    private var arena: [UInt8] = []
    /// Where each start begins in `arena`, and one more for the end; empty for numbers.
    private var offsets: [UInt32] = []

    var count: Int { starts.count }

    // MARK: Building

    /// An empty table, to be filled from the left by `append`; the first start must be the lowest
    /// position (0, or the empty key).
    init(reserving capacity: Int = 0) {
        starts.reserveCapacity(capacity)
        owners.reserveCapacity(capacity)
    }

    /// Lets `owner` own everything from the number `start` on.
    mutating func append(start: UInt64, owner: UInt32) throws(RoutingError) {
        precondition(offsets.isEmpty, "a table holds numbers or byte strings, never both")
        if let last = starts.last {
            precondition(last < start, "interval starts must rise")
        } else {
            precondition(start == 0, "the first interval starts at the lowest position")
        }
        if owners.last == owner { return }
        try checkRoom()
        starts.append(start)
        owners.append(owner)
    }

    /// Lets `owner` own everything from the key `start` on. A start equal to the last one
    /// replaces that one's owner.
    mutating func append(start: [UInt8], owner: UInt32) throws(RoutingError) {
        precondition(starts.isEmpty == offsets.isEmpty, "numbers or byte strings, never both")
        if count == 0 {
            precondition(start.isEmpty, "the first interval starts at the lowest position")
            offsets = [0]
        } else {
            let last = self.start(bytesAt: count - 1)
            precondition(!KeyOrder.precedes(start, last), "interval starts must rise")
            if last == start { removeLastBytes() }
        }
        if owners.last == owner { return }
        try checkRoom()
        guard arena.count + start.count <= RoutingLimits.tableBytes else {
            throw RoutingError(
                .outOfBounds, "the borders take over \(RoutingLimits.tableBytes) bytes")
        }
        starts.append(start.withUnsafeBytes { KeyOrder.head($0) })
        owners.append(owner)
        arena.append(contentsOf: start)
        offsets.append(UInt32(arena.count))
    }

    private mutating func removeLastBytes() {
        starts.removeLast()
        owners.removeLast()
        offsets.removeLast()
        arena.removeLast(arena.count - Int(offsets[offsets.count - 1]))
    }

    private func checkRoom() throws(RoutingError) {
        guard count < RoutingLimits.intervals else {
            throw RoutingError(.outOfBounds, "over \(RoutingLimits.intervals) intervals")
        }
    }

    // MARK: Lookup

    /// The owner of a number. The table must hold numbers and at least one interval.
    @inline(__always)
    func owner(ofWord position: UInt64) -> UInt32 {
        let index = starts.withUnsafeBufferPointer { starts in
            IntervalTable.lastIndex(below: starts.count) { starts[$0] <= position }
        }
        return owners[index]
    }

    /// The owner of a key. The table must hold byte strings and at least one interval.
    @inline(__always)
    func owner(ofKey key: UnsafeRawBufferPointer) -> UInt32 {
        let head = KeyOrder.head(key)
        let index = starts.withUnsafeBufferPointer { starts in
            offsets.withUnsafeBufferPointer { offsets in
                arena.withUnsafeBytes { arena in
                    IntervalTable.lastIndex(below: starts.count) { index in
                        if starts[index] != head { return starts[index] < head }
                        let start = arena[Int(offsets[index])..<Int(offsets[index + 1])]
                        return KeyOrder.isNotAfter(
                            UnsafeRawBufferPointer(rebasing: start), key)
                    }
                }
            }
        }
        return owners[index]
    }

    /// The last index of `0..<count` for which `holds` is true; it is true for a first part that
    /// includes index 0, which is never asked about.
    @inline(__always)
    private static func lastIndex(below count: Int, where holds: (Int) -> Bool) -> Int {
        var base = 0
        var length = count
        while length > 1 {
            let half = length / 2
            base = holds(base + half) ? base + half : base
            length -= half
        }
        return base
    }

    // MARK: Intervals

    /// Whole start of the interval at `index`, of a table of byte strings.
    func start(bytesAt index: Int) -> [UInt8] {
        Array(arena[Int(offsets[index])..<Int(offsets[index + 1])])
    }

    /// End of the interval at `index`, of a table of byte strings; nil is infinity.
    func end(bytesAt index: Int) -> [UInt8]? {
        index + 1 < count ? start(bytesAt: index + 1) : nil
    }

    /// For each owner the fraction of the numbers `0 ..< size` that it owns; nil is 2^64. Sums to 1,
    /// up to rounding.
    func fractions(ownerCount: Int, of size: UInt64?) -> [Double] {
        var fractions = [Double](repeating: 0, count: ownerCount)
        let whole = size.map { Double($0) } ?? 0x1p64
        for index in 0..<count {
            let end = index + 1 < count ? Double(starts[index + 1]) : whole
            fractions[Int(owners[index])] += (end - Double(starts[index])) / whole
        }
        return fractions
    }

    /// For each owner of this table of numbers whether it owns other positions than it did in
    /// `old`, whose owners `renumber` translates (nil: there is no such owner any more).
    func changedOwners(
        since old: IntervalTable, ownerCount: Int, renumber: (UInt32) -> UInt32?
    ) -> [Bool] {
        var changed = [Bool](repeating: false, count: ownerCount)
        var new = 0
        var before = 0
        // Both tables side by side: from each start of either to the next start of either.
        while new < count, before < old.count {
            let now = owners[new]
            let then = renumber(old.owners[before])
            if then != now {
                changed[Int(now)] = true
                if let then { changed[Int(then)] = true }
            }
            let nextNew = new + 1 < count ? starts[new + 1] : nil
            let nextOld = before + 1 < old.count ? old.starts[before + 1] : nil
            switch (nextNew, nextOld) {
            case (nil, nil): return changed
            case (let a?, let b?):
                if a <= b { new += 1 }
                if b <= a { before += 1 }
            case (_?, nil): new += 1
            case (nil, _?): before += 1
            }
        }
        return changed
    }
}
