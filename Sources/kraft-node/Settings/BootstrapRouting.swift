import KraftMultiRaft

/// The routing table that a cluster starts with, from the number of groups and the kind of router
/// alone, so that every node builds the same one.
struct BootstrapRouting: Equatable {
    var kind: Router.Kind
    var groupCount: Int

    init(kind: Router.Kind, groupCount: Int) {
        (self.kind, self.groupCount) = (kind, groupCount)
    }

    /// From what a file or another node says; nil for what can't be.
    init?(kind: String, groupCount: Int?) {
        guard let kind = Router.Kind(rawValue: kind), kind != .custom, let groupCount,
            (1...NodeSettings.groupLimit).contains(groupCount)
        else { return nil }
        self.init(kind: kind, groupCount: groupCount)
    }

    /// `kv-0`, `kv-1`, …
    var groups: [GroupName] {
        (0..<groupCount).map { number in
            guard let name = GroupName("kv-\(number)") else {
                preconditionFailure("kv-\(number) must be a legal name")
            }
            return name
        }
    }

    func router() throws(RoutingError) -> Router {
        let groups = groups
        return switch kind {
        case .hash: try .hash(groups: groups)
        case .consistentHash: try .consistentHash(groups: groups.map { RingGroup($0) })
        case .range: try .range(BootstrapRouting.ranges(among: groups))
        case .prefix: try BootstrapRouting.prefixes(of: groups)
        case .custom: preconditionFailure("a custom router has no bootstrap form")
        }
    }

    /// Borders evenly over the texts of three characters of `0-9 a-z`, since keys mostly begin
    /// with such: 8 groups are cut at 4i, 9, di, i, mi, r, vi. The first group also has what lies
    /// before `0`, the last one what lies behind `z`.
    private static func ranges(among groups: [GroupName]) -> [KeyRange] {
        let borders = groups.indices.map { border($0, of: groups.count) }
        return groups.indices.map { position in
            KeyRange(
                position == 0 ? "" : borders[position],
                to: position + 1 < groups.count ? borders[position + 1] : nil,
                group: groups[position])
        }
    }

    private static func border(_ position: Int, of count: Int) -> String {
        let number = position * 36 * 36 * 36 / count
        var digits = String(number, radix: 36)
        digits = String(repeating: "0", count: 3 - digits.count) + digits
        // "9" and "900" cut at the same place for keys of these characters; the shorter one reads
        // better.
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        return digits
    }

    /// Group `kv-3` owns the keys that begin with `kv-3/`; `kv-0` owns all that no prefix claims.
    private static func prefixes(of groups: [GroupName]) throws(RoutingError) -> Router {
        try .prefix(
            groups.dropFirst().map { PrefixRule("\($0)/", group: $0) }, default: groups[0])
    }
}
