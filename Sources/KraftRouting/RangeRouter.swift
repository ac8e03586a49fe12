/// The keys from `start` (inclusive) to `end` (exclusive), as bytes, and the group that owns them.
public struct KeyRange: Hashable, Sendable {
    public let start: [UInt8]
    /// Nil is infinity: no key is beyond it.
    public let end: [UInt8]?
    public let group: GroupName

    public init(start: [UInt8], end: [UInt8]?, group: GroupName) {
        self.start = start
        self.end = end
        self.group = group
    }

    /// The range between the UTF-8 bytes of two strings.
    public init(_ start: String, to end: String?, group: GroupName) {
        self.init(start: Array(start.utf8), end: end.map { Array($0.utf8) }, group: group)
    }
}

extension Router {
    /// Ranges of keys, compared as bytes. Together they must hold every key once: the first starts
    /// at the empty key, each next one where the one before it ends, the last one has no end.
    ///
    /// The order of `ranges` doesn't matter. A group may own several of them; neighbouring ranges
    /// of one group become one.
    /// - Throws: `noGroup`, `emptyRange`, `overlap`, `gap`; `outOfBounds` for a border beyond
    ///   `RoutingLimits.borderBytes` or a table beyond its bounds.
    public static func range(
        _ ranges: [KeyRange], version: Epoch = .first
    ) throws(RoutingError) -> Router {
        guard ranges.count <= RoutingLimits.intervals else {
            throw RoutingError(.outOfBounds, "over \(RoutingLimits.intervals) ranges")
        }
        for range in ranges { try check(range) }
        let owners = try owners(ranges.map(\.group))
        let ranges = ranges.sorted { KeyOrder.precedes($0.start, $1.start) }
        var table = IntervalTable(reserving: ranges.count)
        // Where the ranges so far end; nil is infinity.
        var border: [UInt8]? = []
        for range in ranges {
            guard let end = border, !KeyOrder.precedes(range.start, end) else {
                throw RoutingError(
                    .overlap, "keys from \(KeyOrder.describe(range.start)) are in two ranges")
            }
            guard range.start == end else { throw gap(from: end, to: range.start) }
            try table.append(
                start: range.start, owner: UInt32(place(of: range.group, in: owners).index))
            border = range.end
        }
        if let end = border { throw gap(from: end, to: nil) }
        return try Router(owners: owners, version: version, rule: .range, table: table)
    }

    private static func check(_ range: KeyRange) throws(RoutingError) {
        let longest = max(range.start.count, range.end?.count ?? 0)
        guard longest <= RoutingLimits.borderBytes else {
            throw RoutingError(
                .outOfBounds,
                "a border of \(longest) bytes; at most \(RoutingLimits.borderBytes)")
        }
        if let end = range.end, !KeyOrder.precedes(range.start, end) {
            throw RoutingError(
                .emptyRange,
                "no key from \(KeyOrder.describe(range.start)) to \(KeyOrder.describe(end))")
        }
    }

    private static func gap(from start: [UInt8], to end: [UInt8]?) -> RoutingError {
        let end = end.map { " to " + KeyOrder.describe($0) } ?? " on"
        return RoutingError(.gap, "keys from \(KeyOrder.describe(start))\(end) are in no range")
    }
}
