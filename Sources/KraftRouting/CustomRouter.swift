/// A way of one's own from a key to its group, for `Router.custom`.
///
/// It must answer the same for the same key on every node and at any time: no clock, no dice, no
/// state that changes. What changes is a new router, with the next version.
public protocol KeyRouting: Sendable {
    /// The group that owns `key`, which is valid only during the call. Called from any thread.
    func group(forKey key: UnsafeRawBufferPointer) -> GroupName
}

extension Router {
    /// A router that asks the user's own type.
    /// - Parameter groups: groups known beforehand, at most `RoutingLimits.groups`; may be empty.
    ///   The type may name others: their epoch is the first, unless `settingEpochs` says otherwise.
    /// - Throws: `duplicate`, `outOfBounds`.
    public static func custom(
        _ routing: some KeyRouting, groups: [GroupName] = [], version: Epoch = .first
    ) throws(RoutingError) -> Router {
        try custom(groups: groups, version: version) { routing.group(forKey: $0) }
    }

    /// A router that asks the user's own function, which is bound to what `KeyRouting` says.
    /// - Parameter groups: groups known beforehand, at most `RoutingLimits.groups`; may be empty.
    ///   The function may name others: their epoch is the first, unless `settingEpochs` says
    ///   otherwise.
    /// - Throws: `duplicate`, `outOfBounds`.
    public static func custom(
        groups: [GroupName] = [], version: Epoch = .first,
        _ group: @escaping @Sendable (UnsafeRawBufferPointer) -> GroupName
    ) throws(RoutingError) -> Router {
        let owners = groups.isEmpty ? [] : try owners(distinct: groups)
        return try Router(
            owners: owners, version: version, rule: .custom(group), table: IntervalTable())
    }
}
