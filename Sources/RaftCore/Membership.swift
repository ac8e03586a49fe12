/// The members of a group and which of them vote.
///
/// A member is named by its position here, so that a set of members is one bit mask and quorum
/// arithmetic needs no look-ups. Fixed for now; a joint change adds a second mask of voters.
public struct Membership: Hashable, Sendable {
    /// Ascending, distinct.
    public let members: [NodeID]
    public let voters: MemberSet

    public static let memberLimit = 16

    /// Nil unless there are 1 to 16 voters, all distinct and none of them `.none`.
    public init?(voters: [NodeID]) {
        let sorted = voters.sorted()
        guard (1...Membership.memberLimit).contains(sorted.count) else { return nil }
        guard !sorted.contains(.none) else { return nil }
        guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0 != $1 }) else { return nil }
        members = sorted
        self.voters = MemberSet(firstPositions: sorted.count)
    }

    @inlinable public func position(of node: NodeID) -> Int? {
        for position in members.indices where members[position] == node { return position }
        return nil
    }

    /// Whether `set` holds a majority of the voters.
    @inlinable public func isQuorum(_ set: MemberSet) -> Bool {
        set.intersection(voters).count > voters.count / 2
    }

    /// The greatest value that a majority of the voters has reached.
    @inlinable func quorumValue(_ value: (Int) -> UInt64) -> UInt64 {
        var sorted = InlineArray<16, UInt64>(repeating: 0)
        var count = 0
        for position in members.indices where voters.contains(position) {
            let new = value(position)
            var place = count
            while place > 0, sorted[place - 1] < new {
                sorted[place] = sorted[place - 1]
                place -= 1
            }
            sorted[place] = new
            count += 1
        }
        return sorted[count / 2]
    }
}

/// A set of positions in a `Membership`.
public struct MemberSet: Hashable, Sendable {
    public var mask: UInt16

    @inlinable public init(mask: UInt16 = 0) { self.mask = mask }
    @inlinable public init(firstPositions count: Int) {
        mask = count >= 16 ? .max : (1 << UInt16(count)) - 1
    }

    @inlinable public var count: Int { mask.nonzeroBitCount }
    @inlinable public func contains(_ position: Int) -> Bool { mask & (1 << UInt16(position)) != 0 }
    @inlinable public mutating func insert(_ position: Int) { mask |= 1 << UInt16(position) }
    @inlinable public func intersection(_ other: MemberSet) -> MemberSet {
        MemberSet(mask: mask & other.mask)
    }
}
