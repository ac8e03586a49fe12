/// A group on the ring of consistent hashing.
public struct RingGroup: Hashable, Sendable {
    public let name: GroupName
    /// How many times `virtualNodes` points the group gets: 1 to `RoutingLimits.weight`.
    public let weight: Int

    public init(_ name: GroupName, weight: Int = 1) {
        self.name = name
        self.weight = weight
    }
}

/// What a consistent-hash router is made from. Parallel to the router's `owners`.
struct Ring: Sendable {
    var virtualNodes: Int
    var weights: [Int]

    /// The ring's points as intervals of the 64-bit positions.
    func table(owners: [Router.Owner]) throws(RoutingError) -> IntervalTable {
        var points: [(position: UInt64, owner: UInt32)] = []
        points.reserveCapacity(try pointCount())
        for index in owners.indices {
            var name = owners[index].group.string
            name.withUTF8 { name in
                for number in 1...(weights[index] * virtualNodes) {
                    let position = keyHash(UnsafeRawBufferPointer(name), seed: UInt64(number))
                    points.append((position, UInt32(index)))
                }
            }
        }
        points.sort { ($0.position, $0.owner) < ($1.position, $1.owner) }

        // Below the first point lies the end of the last point's arc: the ring is closed.
        var table = IntervalTable(reserving: points.count + 1)
        var previous: UInt64?
        if let first = points.first, let last = points.last, first.position > 0 {
            try table.append(start: 0, owner: last.owner)
        }
        for point in points where point.position != previous {
            try table.append(start: point.position, owner: point.owner)
            previous = point.position
        }
        return table
    }

    /// Points of all groups together, checked against their bounds.
    private func pointCount() throws(RoutingError) -> Int {
        guard (1...RoutingLimits.virtualNodes).contains(virtualNodes) else {
            throw RoutingError(
                .outOfBounds,
                "\(virtualNodes) virtual nodes; 1 to \(RoutingLimits.virtualNodes)")
        }
        var count = 0
        for weight in weights {
            guard (1...RoutingLimits.weight).contains(weight) else {
                throw RoutingError(
                    .outOfBounds, "a weight of \(weight); 1 to \(RoutingLimits.weight)")
            }
            count += weight * virtualNodes
            guard count < RoutingLimits.intervals else {
                throw RoutingError(
                    .outOfBounds, "the ring has over \(RoutingLimits.intervals) points")
            }
        }
        return count
    }
}

extension Router {
    /// Consistent hashing: a key belongs to the last point of the ring at or before its position,
    /// `keyHash(key)`; before the first point, to the last one.
    ///
    /// A group has `weight * virtualNodes` points. Point number i, from 1, lies at the XXH64 of the
    /// group name's UTF-8 bytes with seed i. (For names under 32 bytes XXH64 is a bijection of the
    /// seed, so no two points of one such group coincide.) Where points of several groups
    /// coincide, the group first by name has it. The order of `groups` doesn't matter.
    ///
    /// A group's share of the ring has a relative standard deviation of about
    /// 1 / sqrt(virtual nodes): 8 % at 150.
    /// - Parameter groups: 1 to `RoutingLimits.groups`, none twice.
    /// - Parameter virtualNodes: 1 to `RoutingLimits.virtualNodes`; all points together stay below
    ///   `RoutingLimits.intervals`.
    /// - Throws: `noGroup`, `duplicate`, `outOfBounds`.
    public static func consistentHash(
        groups: [RingGroup], virtualNodes: Int = 150, version: Epoch = .first
    ) throws(RoutingError) -> Router {
        let owners = try owners(distinct: groups.map(\.name))
        let weights = groups.sorted { $0.name < $1.name }.map(\.weight)
        let ring = Ring(virtualNodes: virtualNodes, weights: weights)
        return try Router(
            owners: owners, version: version, rule: .consistentHash(ring),
            table: ring.table(owners: owners))
    }

    /// The next version, with one more group on the ring. Keys move only towards it, about as many
    /// as its share of the points. Groups that lose a part of the ring rise to their next epoch;
    /// the new one is at the first.
    /// - Throws: `wrongKind` unless this is a consistent-hash router, `duplicate`, `outOfBounds`.
    public func adding(_ group: RingGroup) throws(RoutingError) -> Router {
        var ring = try self.ring(for: "adding a group")
        let place = Router.place(of: group.name, in: owners)
        guard !place.found else {
            throw RoutingError(.duplicate, "group \(group.name) is on the ring already")
        }
        try RoutingLimits.check(groupCount: owners.count + 1)
        var owners = self.owners
        owners.insert(Owner(group: group.name), at: place.index)
        ring.weights.insert(group.weight, at: place.index)
        let table = try ring.table(owners: owners)
        let place32 = UInt32(place.index)
        let changed = table.changedOwners(since: self.table, ownerCount: owners.count) { old in
            old < place32 ? old : old + 1
        }
        for index in owners.indices where changed[index] && index != place.index {
            owners[index].epoch = owners[index].epoch.next
        }
        return try Router(
            owners: owners, version: version.next, rule: .consistentHash(ring), table: table)
    }

    /// The next version, without one group of the ring. Only its keys move. Groups that take over
    /// a part of it rise to their next epoch.
    /// - Throws: `wrongKind` unless this is a consistent-hash router, `unknownGroup`, `noGroup`
    ///   when it was the last one.
    public func removing(_ group: GroupName) throws(RoutingError) -> Router {
        var ring = try self.ring(for: "removing a group")
        guard let place = listedIndex(of: group) else {
            throw RoutingError(.unknownGroup, "\(group) isn't a group of this router")
        }
        try RoutingLimits.check(groupCount: owners.count - 1)
        var owners = self.owners
        owners.remove(at: place)
        ring.weights.remove(at: place)
        let table = try ring.table(owners: owners)
        let place32 = UInt32(place)
        let changed = table.changedOwners(since: self.table, ownerCount: owners.count) { old in
            old == place32 ? nil : old < place32 ? old : old - 1
        }
        for index in owners.indices where changed[index] {
            owners[index].epoch = owners[index].epoch.next
        }
        return try Router(
            owners: owners, version: version.next, rule: .consistentHash(ring), table: table)
    }

    private func ring(for change: String) throws(RoutingError) -> Ring {
        guard case .consistentHash(let ring) = rule else {
            throw RoutingError(.wrongKind, "\(change) needs a consistent-hash router")
        }
        return ring
    }
}
