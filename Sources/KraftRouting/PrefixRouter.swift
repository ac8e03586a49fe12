/// The keys that begin with `prefix`, as bytes, and the group that owns them.
public struct PrefixRule: Hashable, Sendable {
    public let prefix: [UInt8]
    public let group: GroupName

    public init(prefix: [UInt8], group: GroupName) {
        self.prefix = prefix
        self.group = group
    }

    /// The keys that begin with the UTF-8 bytes of a string.
    public init(_ prefix: String, group: GroupName) {
        self.init(prefix: Array(prefix.utf8), group: group)
    }
}

extension Router {
    /// The longest prefix of a key decides; a key that begins with none of them belongs to the
    /// default group.
    ///
    /// The order of `rules` doesn't matter. A group may own several prefixes, and the default group
    /// too.
    /// - Parameter rules: none is a router of the default group alone.
    /// - Throws: `duplicate`, `emptyPrefix`; `outOfBounds` for a prefix beyond
    ///   `RoutingLimits.borderBytes` or a table beyond its bounds.
    public static func prefix(
        _ rules: [PrefixRule], default defaultGroup: GroupName, version: Epoch = .first
    ) throws(RoutingError) -> Router {
        // Each prefix starts one interval and ends one.
        guard rules.count < RoutingLimits.intervals / 2 else {
            throw RoutingError(.outOfBounds, "\(rules.count) prefixes are too many for one table")
        }
        for rule in rules { try check(rule) }
        let owners = try owners(rules.map(\.group) + [defaultGroup])
        let rules =
            [PrefixRule(prefix: [], group: defaultGroup)]
            + rules.sorted { KeyOrder.precedes($0.prefix, $1.prefix) }
        for index in rules.indices.dropFirst()
        where rules[index].prefix == rules[index - 1].prefix {
            throw RoutingError(
                .duplicate, "prefix \(KeyOrder.describe(rules[index].prefix)) is given twice")
        }
        return try Router(
            owners: owners, version: version, rule: .prefix(rules),
            table: flatten(rules, owners: owners))
    }

    private static func check(_ rule: PrefixRule) throws(RoutingError) {
        guard !rule.prefix.isEmpty else {
            throw RoutingError(
                .emptyPrefix,
                "the empty prefix belongs to the default group, not to \(rule.group)")
        }
        guard rule.prefix.count <= RoutingLimits.borderBytes else {
            throw RoutingError(
                .outOfBounds,
                "a prefix of \(rule.prefix.count) bytes; at most \(RoutingLimits.borderBytes)")
        }
    }

    /// Nested prefixes as neighbouring intervals. A prefix is the interval up to its successor;
    /// inside it, deeper ones cut theirs out. Sorted, an outer prefix comes before its inner ones,
    /// so a stack of the open ones is enough.
    private static func flatten(
        _ rules: [PrefixRule], owners: [Owner]
    ) throws(RoutingError) -> IntervalTable {
        var table = IntervalTable(reserving: 2 * rules.count)
        var open: [(end: [UInt8]?, owner: UInt32)] = []

        /// Closes the innermost prefix: from its end on, the one around it owns the keys.
        func close() throws(RoutingError) {
            guard let end = open.removeLast().end, let outer = open.last else { return }
            try table.append(start: end, owner: outer.owner)
        }

        for rule in rules {
            while let end = open.last?.end, !KeyOrder.precedes(rule.prefix, end) { try close() }
            let owner = UInt32(place(of: rule.group, in: owners).index)
            try table.append(start: rule.prefix, owner: owner)
            open.append((KeyOrder.successor(ofPrefix: rule.prefix), owner))
        }
        while !open.isEmpty { try close() }
        return table
    }
}
