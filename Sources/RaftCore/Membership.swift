/// One life of a replica: where the entry stands that added it to the group.
///
/// A node that is removed and added again comes back as another replica, with a greater id. Of two
/// ids the one with the later term is greater, then the one with the later index: no two entries
/// of a group ever share a position, committed or not, so no id is ever used twice.
public struct ReplicaID: Hashable, Comparable, Sendable {
    public var added: EntryPosition

    @inlinable public init(added: EntryPosition) { self.added = added }
    /// Of the members that a group was created with.
    @inlinable public static var initial: ReplicaID { ReplicaID(added: .start) }

    @inlinable public static func < (a: ReplicaID, b: ReplicaID) -> Bool {
        a != b && b.added.isUpToDate(with: a.added)
    }
}

/// A replica and the node that it lives on.
public struct Replica: Hashable, Sendable {
    public var node: NodeID
    public var id: ReplicaID

    @inlinable public init(_ node: NodeID, _ id: ReplicaID = .initial) {
        self.node = node
        self.id = id
    }
    /// Stands for "nobody".
    @inlinable public static var none: Replica { Replica(.none) }
}

/// What a member does for its group.
public enum MemberKind: UInt8, Sendable, CaseIterable {
    /// Stores, votes, applies.
    case voter
    /// Stores and applies; doesn't vote.
    case learner
    /// Votes, and keeps the terms of entries but none of their bytes. Never leads.
    case witness
}

/// The members of a group and which of them vote (dissertation, chapter 4).
///
/// A member is named by its position here, so that a set of members is one bit mask and quorum
/// arithmetic needs no look-ups. In a joint configuration (section 4.3) there are two sets of
/// voters, and whatever needs a majority needs one of each.
public struct Membership: Hashable, Sendable {
    /// Ascending by node, distinct.
    public let members: [Replica]
    /// Who votes; in a joint configuration, who will.
    public let voters: MemberSet
    /// Who voted before, and still does until the joint configuration is left; else empty.
    public let outgoing: MemberSet
    /// Members that get no bytes of commands.
    public let witnesses: MemberSet
    /// Learners that voted before their replica was lost and another began in its place: they shall
    /// vote again once they have caught up. In a joint configuration also those of `outgoing` whose
    /// replica is lost: when it is left, another takes its place.
    public let returning: MemberSet
    /// Of changes; nil where there never was one, as in most groups.
    private let course: Course?

    /// Where a change under way leads; each leader takes the group on from where it stands.
    public var goal: Goal? { course?.goal }
    /// The last change that came to its end.
    public var finished: FinishedChange? { course?.finished }

    public static let memberLimit = 16

    /// The end of a change, in positions of the membership that holds it.
    public struct Goal: Hashable, Sendable {
        /// The change's name: where its first entry stands.
        public var change: EntryPosition
        public var voters: MemberSet
        /// Members that stay, voters and learners.
        public var kept: MemberSet

        public init(change: EntryPosition, voters: MemberSet, kept: MemberSet) {
            self.change = change
            self.voters = voters
            self.kept = kept
        }
    }

    public struct FinishedChange: Hashable, Sendable {
        public var change: EntryPosition
        /// The new members didn't catch up in time, and were dropped again.
        public var isAbandoned: Bool

        public init(change: EntryPosition, isAbandoned: Bool) {
            self.change = change
            self.isAbandoned = isAbandoned
        }
    }

    /// What changes have left behind, apart from the members: it is seldom there, and each group
    /// holds several memberships.
    private final class Course: Hashable, Sendable {
        let goal: Goal?
        let finished: FinishedChange?

        init(goal: Goal?, finished: FinishedChange?) {
            self.goal = goal
            self.finished = finished
        }

        static func == (a: Course, b: Course) -> Bool {
            a === b || a.goal == b.goal && a.finished == b.finished
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(goal)
            hasher.combine(finished)
        }
    }

    /// Nil unless there are 1 to 16 voters, all distinct and none of them `.none`.
    public init?(voters: [NodeID]) {
        let replicas = voters.sorted().map { Replica($0) }
        let all = MemberSet(firstPositions: min(replicas.count, Membership.memberLimit))
        self.init(
            members: replicas, voters: all, outgoing: MemberSet(), witnesses: MemberSet(),
            goal: nil, finished: nil)
    }

    /// Nil for what no sequence of changes leads to: this is the one check of what comes from
    /// outside.
    public init?(
        members: [Replica], voters: MemberSet, outgoing: MemberSet, witnesses: MemberSet,
        returning: MemberSet = MemberSet(), goal: Goal?, finished: FinishedChange?
    ) {
        guard (1...Membership.memberLimit).contains(members.count) else { return nil }
        guard members[0].node != .none else { return nil }
        guard zip(members, members.dropFirst()).allSatisfy({ $0.node < $1.node }) else {
            return nil
        }
        let all = MemberSet(firstPositions: members.count)
        // What a majority holds must be held by a member that has the bytes.
        func isSound(_ voters: MemberSet) -> Bool {
            voters.isSubset(of: all)
                && voters.intersection(witnesses).count < voters.count / 2 + 1
                && !voters.isEmpty
        }
        guard isSound(voters), witnesses.isSubset(of: all) else { return nil }
        if !outgoing.isEmpty {
            guard isSound(outgoing), let goal, goal.voters == voters else { return nil }
        }
        guard returning.isSubset(of: all), returning.intersection(voters).isEmpty,
            returning.intersection(outgoing).intersection(goal?.kept ?? all).isEmpty
        else { return nil }
        if let goal {
            guard isSound(goal.voters), goal.kept.isSubset(of: all),
                goal.voters.isSubset(of: goal.kept)
            else { return nil }
        }
        self.members = members
        self.voters = voters
        self.outgoing = outgoing
        self.witnesses = witnesses
        self.returning = returning
        course = goal == nil && finished == nil ? nil : Course(goal: goal, finished: finished)
    }

    @inlinable public func position(of node: NodeID) -> Int? {
        for position in members.indices where members[position].node == node { return position }
        return nil
    }

    @inlinable public func position(of replica: Replica) -> Int? {
        guard let position = position(of: replica.node), members[position].id == replica.id
        else { return nil }
        return position
    }

    @inlinable public var isJoint: Bool { !outgoing.isEmpty }
    /// Whether new members are catching up, before the change of who votes begins.
    public var isStaging: Bool { goal != nil && !isJoint }

    /// Whether the member's vote counts, in either half of a joint configuration.
    @inlinable public func isVoter(_ position: Int) -> Bool {
        voters.union(outgoing).contains(position)
    }

    /// Whether the member may lead.
    @inlinable public func canLead(_ position: Int) -> Bool {
        isVoter(position) && !witnesses.contains(position)
    }

    public func kind(of position: Int) -> MemberKind {
        if witnesses.contains(position) { return .witness }
        return isVoter(position) ? .voter : .learner
    }

    /// Whether `set` holds a majority of the voters: of both sets of them in a joint configuration.
    @inlinable public func isQuorum(_ set: MemberSet) -> Bool {
        guard set.intersection(voters).count > voters.count / 2 else { return false }
        return outgoing.isEmpty || set.intersection(outgoing).count > outgoing.count / 2
    }

    /// The greatest value that a quorum has reached.
    @inlinable func quorumValue(_ value: (Int) -> UInt64) -> UInt64 {
        let new = majorityValue(of: voters, value)
        return outgoing.isEmpty ? new : min(new, majorityValue(of: outgoing, value))
    }

    @inlinable func majorityValue(of voters: MemberSet, _ value: (Int) -> UInt64) -> UInt64 {
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
    @inlinable public var isEmpty: Bool { mask == 0 }
    @inlinable public func contains(_ position: Int) -> Bool {
        position >= 0 && mask & (1 << UInt16(position)) != 0
    }
    @inlinable public mutating func insert(_ position: Int) { mask |= 1 << UInt16(position) }
    @inlinable public mutating func remove(_ position: Int) { mask &= ~(1 << UInt16(position)) }
    @inlinable public func intersection(_ other: MemberSet) -> MemberSet {
        MemberSet(mask: mask & other.mask)
    }
    @inlinable public func union(_ other: MemberSet) -> MemberSet {
        MemberSet(mask: mask | other.mask)
    }
    @inlinable public func subtracting(_ other: MemberSet) -> MemberSet {
        MemberSet(mask: mask & ~other.mask)
    }
    @inlinable public func isSubset(of other: MemberSet) -> Bool { mask & ~other.mask == 0 }
}
