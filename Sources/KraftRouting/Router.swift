/// Where a key belongs, and by which state of that group's borders this was found.
public struct Route: Hashable, Sendable {
    /// The group that owns the key.
    public let group: GroupName
    /// The owner's own epoch. Send it along: the group refuses a command by an epoch that isn't
    /// its own, so a stale route is never applied to the wrong group.
    public let epoch: Epoch

    public init(group: GroupName, epoch: Epoch) {
        self.group = group
        self.epoch = epoch
    }
}

/// Maps every key to the group that owns it: a value with a version.
///
/// Five kinds: `hash`, `consistentHash`, `range`, `prefix`, `custom`. Routers built from the same
/// input are the same on every machine. A change (`adding`, `removing`, `settingEpochs`) gives the
/// next version and leaves the old value as it was.
///
/// A lookup takes a key of any length, also the empty one, always answers, and allocates nothing
/// (a custom router: what the user's function does).
public struct Router: Sendable {
    /// What kind of router it is; the raw value is its name in flags and in
    /// `/v1/cluster/sharding`.
    public enum Kind: String, CaseIterable, Hashable, Sendable {
        case hash
        case consistentHash = "consistent-hash"
        case range
        case prefix
        case custom
    }

    /// A group that owns keys.
    public struct Owner: Hashable, Sendable {
        public let group: GroupName
        /// Version of the group's borders.
        public internal(set) var epoch: Epoch

        public init(group: GroupName, epoch: Epoch = .first) {
            self.group = group
            self.epoch = epoch
        }
    }

    /// What a key's position is, and what the kind has to remember besides the table.
    enum Rule: Sendable {
        case hash(slots: UInt64)
        case consistentHash(Ring)
        case range
        case prefix([PrefixRule])
        case custom(@Sendable (UnsafeRawBufferPointer) -> GroupName)
    }

    /// The groups, by name.
    public let owners: [Owner]
    /// Version of the whole table. Rises by one with every change.
    public let version: Epoch
    let rule: Rule
    let table: IntervalTable

    init(
        owners: [Owner], version: Epoch, rule: Rule, table: IntervalTable
    ) throws(RoutingError) {
        try RoutingLimits.check(epoch: version)
        self.owners = owners
        self.version = version
        self.rule = rule
        self.table = table
    }

    public var kind: Kind {
        switch rule {
        case .hash: .hash
        case .consistentHash: .consistentHash
        case .range: .range
        case .prefix: .prefix
        case .custom: .custom
        }
    }

    /// Intervals in the table: what a lookup searches. 0 for a custom router.
    public var intervalCount: Int { table.count }

    // MARK: Lookup

    /// The group that owns `key`, with that group's epoch.
    public func route(_ key: UnsafeRawBufferPointer) -> Route {
        if case .custom(let group) = rule {
            let name = group(key)
            return Route(group: name, epoch: epoch(of: name) ?? .first)
        }
        let owner = owners[tableIndex(key)]
        return Route(group: owner.group, epoch: owner.epoch)
    }

    /// The group that owns `key`, with that group's epoch.
    public func route(_ key: Span<UInt8>) -> Route {
        key.withUnsafeBytes { route($0) }
    }

    /// The group that owns `key`, with that group's epoch.
    public func route(_ key: [UInt8]) -> Route {
        key.withUnsafeBytes { route($0) }
    }

    /// The group that owns the UTF-8 bytes of `key`, with that group's epoch.
    public func route(_ key: String) -> Route {
        var key = key
        return key.withUTF8 { route(UnsafeRawBufferPointer($0)) }
    }

    /// Index in `owners` of the group that owns `key`: for callers who keep their own array beside
    /// `owners` and so look nothing up by name.
    ///
    /// Nil only for a custom router whose function names a group that isn't listed.
    public func ownerIndex(_ key: UnsafeRawBufferPointer) -> Int? {
        if case .custom(let group) = rule { return listedIndex(of: group(key)) }
        return tableIndex(key)
    }

    /// The epoch of a listed group.
    public func epoch(of group: GroupName) -> Epoch? {
        listedIndex(of: group).map { owners[$0].epoch }
    }

    @inline(__always)
    private func tableIndex(_ key: UnsafeRawBufferPointer) -> Int {
        switch rule {
        case .hash(let slots): Int(table.owner(ofWord: keyHash(key) % slots))
        case .consistentHash: Int(table.owner(ofWord: keyHash(key)))
        case .range, .prefix: Int(table.owner(ofKey: key))
        case .custom: preconditionFailure("a custom router has no table")
        }
    }

    // MARK: Epochs

    /// The same routes with other epochs: what the directory publishes when groups have changed
    /// their borders. The next version.
    ///
    /// A group unknown to a custom router is added to its list.
    /// - Throws: `unknownGroup`, and `outOfBounds` for an epoch beyond the limit or below the one
    ///   that the group has: epochs only rise.
    public func settingEpochs(_ epochs: [Owner]) throws(RoutingError) -> Router {
        var owners = self.owners
        for new in epochs {
            try RoutingLimits.check(epoch: new.epoch)
            let place = Router.place(of: new.group, in: owners)
            if place.found {
                let old = owners[place.index].epoch
                guard new.epoch >= old else {
                    throw RoutingError(
                        .outOfBounds, "\(new.group) is at epoch \(old), not before \(new.epoch)")
                }
                owners[place.index].epoch = new.epoch
            } else if kind == .custom {
                owners.insert(new, at: place.index)
                try RoutingLimits.check(groupCount: owners.count)
            } else {
                throw RoutingError(.unknownGroup, "\(new.group) isn't a group of this router")
            }
        }
        return try Router(owners: owners, version: version.next, rule: rule, table: table)
    }

    // MARK: Owners

    /// Index of `group` in `owners`.
    func listedIndex(of group: GroupName) -> Int? {
        let place = Router.place(of: group, in: owners)
        return place.found ? place.index : nil
    }

    /// Where `group` is in `owners`, or where it would be inserted.
    static func place(of group: GroupName, in owners: [Owner]) -> (index: Int, found: Bool) {
        var low = 0
        var high = owners.count
        while low < high {
            let middle = (low + high) / 2
            if owners[middle].group < group { low = middle + 1 } else { high = middle }
        }
        return (low, low < owners.count && owners[low].group == group)
    }

    /// Each of `groups` once, by name, at the first epoch. There must be one at least.
    static func owners(_ groups: [GroupName]) throws(RoutingError) -> [Owner] {
        var owners: [Owner] = []
        for group in groups.sorted() where owners.last?.group != group {
            owners.append(Owner(group: group))
        }
        try RoutingLimits.check(groupCount: owners.count)
        return owners
    }

    /// The same, where no group may be given twice.
    static func owners(distinct groups: [GroupName]) throws(RoutingError) -> [Owner] {
        let owners = try owners(groups)
        guard owners.count < groups.count else { return owners }
        let sorted = groups.sorted()
        let twice = sorted.indices.dropFirst().first { sorted[$0] == sorted[$0 - 1] }
        throw RoutingError(.duplicate, "group \(sorted[twice ?? 0]) is given twice")
    }
}
