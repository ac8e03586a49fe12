extension Router {
    /// Position = `keyHash(key) mod slots`, slots = number of groups unless told otherwise.
    ///
    /// Group `i` (in the order given, from 0) owns the slots from `ceil(i * slots / n)` to before
    /// `ceil((i + 1) * slots / n)`, n being the number of groups. With slots = groups that is slot
    /// `i`, so the key's group is `groups[xxHash64(key) mod n]`.
    /// - Parameter groups: 1 to `RoutingLimits.groups`, none twice. Their order matters.
    /// - Parameter slots: from the number of groups to `RoutingLimits.intervals`. More slots than
    ///   groups leave room to divide them anew without moving every key.
    /// - Throws: `noGroup`, `duplicate`, `outOfBounds`.
    public static func hash(
        groups: [GroupName], slots: Int? = nil, version: Epoch = .first
    ) throws(RoutingError) -> Router {
        let owners = try owners(distinct: groups)
        let slots = slots ?? groups.count
        guard groups.count <= slots, slots <= RoutingLimits.intervals else {
            throw RoutingError(
                .outOfBounds,
                "\(slots) slots for \(groups.count) groups; at least one for each group, at most "
                    + "\(RoutingLimits.intervals)")
        }
        var table = IntervalTable(reserving: groups.count)
        for (index, group) in groups.enumerated() {
            let start = (index * slots + groups.count - 1) / groups.count
            try table.append(
                start: UInt64(start), owner: UInt32(place(of: group, in: owners).index))
        }
        return try Router(
            owners: owners, version: version, rule: .hash(slots: UInt64(slots)), table: table)
    }
}
