/// A wish to change who is a member, and as what: any number of additions and removals at once.
public struct MembershipChange: Hashable, Sendable {
    /// Nodes to add, or members whose kind changes: a learner that shall vote, a voter that shall
    /// not.
    public var add: [Addition]
    public var remove: [NodeID]

    public struct Addition: Hashable, Sendable {
        public var node: NodeID
        public var kind: MemberKind

        public init(_ node: NodeID, _ kind: MemberKind) {
            self.node = node
            self.kind = kind
        }
    }

    public init(add: [Addition] = [], remove: [NodeID] = []) {
        self.add = add
        self.remove = remove
    }

    /// Why a change can't be; the reason is for a human.
    public struct Invalid: Error, Hashable, Sendable {
        public var reason: String
    }
}

/// The steps of a change, each an entry of the log (dissertation, sections 4.2.1 and 4.3):
///
/// 1. *staging*: who is to vote and doesn't yet is a learner until it has caught up (left out if
///    there is none);
/// 2. *joint*: whatever needs a majority needs one of the old voters and one of the new;
/// 3. *final*: the new voters alone.
///
/// A change that concerns no voter is final at once.
extension Membership {
    /// The first step of `change`, whose entry will stand at `position`.
    public func begin(
        _ change: MembershipChange, at position: EntryPosition
    ) throws(MembershipChange.Invalid) -> Membership {
        guard goal == nil else { throw .init(reason: "another change is under way") }
        var draft = Draft(self)
        for node in change.remove { try draft.remove(node) }
        for addition in change.add { try draft.add(addition, at: position) }
        return try draft.begin(at: position)
    }

    /// The step after this one, whose entry will stand at `position`; nil if no change is under way.
    func next(at position: EntryPosition) -> Membership? {
        guard let goal else { return nil }
        if isJoint || goal.voters == voters {
            return shrunk(
                to: goal.kept, voters: goal.voters,
                .init(change: goal.change, isAbandoned: false),
                renewing: returning.intersection(outgoing), at: position)
        }
        return Membership(
            members: members, voters: goal.voters, outgoing: voters, witnesses: witnesses,
            returning: returning.subtracting(goal.voters), goal: goal, finished: finished)
    }

    /// The first step to another replica on the node of a member that is lost, whose entry will stand
    /// at `position`.
    ///
    /// A voter leaves by a joint configuration, and a learner of another id is there when that is left:
    /// the old id counts for nothing from then on, the new one not before it has caught up and was made
    /// a voter by a change of its own. A learner is replaced at once: no majority depends on it.
    func replacing(
        _ member: Int, at position: EntryPosition
    ) throws(MembershipChange.Invalid) -> Membership {
        var members = members
        guard isVoter(member) else {
            members[member].id = ReplicaID(added: position)
            let renewed = Membership(
                members: members, voters: voters, outgoing: outgoing, witnesses: witnesses,
                returning: returning, goal: goal,
                finished: goal == nil ? .init(change: position, isAbandoned: false) : finished)
            guard let renewed else { throw .init(reason: "not a group") }
            return renewed
        }
        guard goal == nil else { throw .init(reason: "another change is under way") }
        let all = MemberSet(firstPositions: members.count)
        var (rest, kept, returning) = (voters, all, returning)
        rest.remove(member)
        kept.remove(member)
        returning.insert(member)
        let joint = Membership(
            members: members, voters: rest, outgoing: voters, witnesses: witnesses,
            returning: returning, goal: .init(change: position, voters: rest, kept: kept),
            finished: finished)
        guard let joint else { throw .init(reason: "the members that stay are no group") }
        return joint
    }

    /// Whether the member is one that the change under way has added.
    func isNewcomer(_ member: Int) -> Bool {
        guard let goal else { return false }
        return members[member].id >= ReplicaID(added: goal.change)
    }

    /// Gives a change up whose new members don't catch up; nil unless it is still staging.
    func abandoned() -> Membership? {
        guard let goal, isStaging else { return nil }
        var kept = MemberSet()
        for position in members.indices where !isNewcomer(position) { kept.insert(position) }
        return shrunk(
            to: kept, voters: voters, .init(change: goal.change, isAbandoned: true))
    }

    /// Without the members outside of `kept`; in the place of those in `renewed` begin others.
    private func shrunk(
        to kept: MemberSet, voters: MemberSet, _ finished: FinishedChange,
        renewing renewed: MemberSet = MemberSet(), at entry: EntryPosition = .start
    ) -> Membership? {
        let kept = kept.union(renewed)
        func moved(_ set: MemberSet) -> MemberSet {
            var result = MemberSet()
            var place = 0
            for position in members.indices where kept.contains(position) {
                if set.contains(position) { result.insert(place) }
                place += 1
            }
            return result
        }
        return Membership(
            members: members.indices.filter { kept.contains($0) }.map { place in
                renewed.contains(place)
                    ? Replica(members[place].node, ReplicaID(added: entry)) : members[place]
            },
            voters: moved(voters), outgoing: MemberSet(), witnesses: moved(witnesses),
            returning: moved(returning), goal: nil, finished: finished)
    }

    /// A change as it takes shape: members by node, before they have positions.
    private struct Draft {
        struct Item {
            var replica: Replica
            var wasVoter: Bool
            var isVoter: Bool
            var isWitness: Bool
            var isReturning = false
            var isKept = true
        }
        var items: [Item]
        var changed: [NodeID] = []
        let finished: FinishedChange?

        init(_ membership: Membership) {
            finished = membership.finished
            items = membership.members.indices.map { position in
                let isVoter = membership.voters.contains(position)
                return Item(
                    replica: membership.members[position], wasVoter: isVoter, isVoter: isVoter,
                    isWitness: membership.witnesses.contains(position),
                    isReturning: membership.returning.contains(position))
            }
        }

        private mutating func note(_ node: NodeID) throws(MembershipChange.Invalid) {
            guard !node.isNone else { throw .init(reason: "0 is not a node id") }
            guard !changed.contains(node) else { throw .init(reason: "node \(node) twice") }
            changed.append(node)
        }

        mutating func remove(_ node: NodeID) throws(MembershipChange.Invalid) {
            try note(node)
            guard let place = items.firstIndex(where: { $0.replica.node == node }) else {
                throw .init(reason: "node \(node) is not a member")
            }
            items[place].isVoter = false
            items[place].isReturning = false
            items[place].isKept = false
        }

        mutating func add(
            _ addition: MembershipChange.Addition, at position: EntryPosition
        ) throws(MembershipChange.Invalid) {
            try note(addition.node)
            let isVoter = addition.kind != .learner
            let isWitness = addition.kind == .witness
            guard let place = items.firstIndex(where: { $0.replica.node == addition.node }) else {
                items.append(
                    Item(
                        replica: Replica(addition.node, ReplicaID(added: position)),
                        wasVoter: false, isVoter: isVoter, isWitness: isWitness))
                return
            }
            guard items[place].isWitness == isWitness else {
                // A witness has no data to serve, and data isn't thrown away by the way.
                throw .init(
                    reason: "node \(addition.node) can't become or cease to be a witness; "
                        + "remove it first")
            }
            // Who shall vote again of itself may be told not to.
            let isRetired = items[place].isReturning && !isVoter
            if isRetired { items[place].isReturning = false }
            guard items[place].isVoter != isVoter || isRetired else {
                throw .init(reason: "node \(addition.node) is a \(addition.kind) already")
            }
            items[place].isVoter = isVoter
        }

        mutating func begin(
            at position: EntryPosition
        ) throws(MembershipChange.Invalid) -> Membership {
            guard !changed.isEmpty else { throw .init(reason: "nothing to change") }
            guard items.contains(where: { $0.isVoter && !$0.isWitness }) else {
                throw .init(reason: "no voter with data would be left")
            }
            items.sort { $0.replica.node < $1.replica.node }
            func set(_ isIn: (Item) -> Bool) -> MemberSet {
                var set = MemberSet()
                for (place, item) in items.enumerated() where isIn(item) { set.insert(place) }
                return set
            }
            let now = set { $0.wasVoter }
            let then = set { $0.isVoter }
            guard then.intersection(set { $0.isWitness }).count < then.count / 2 + 1 else {
                throw .init(reason: "witnesses alone would be a majority")
            }
            let goal = Goal(change: position, voters: then, kept: set { $0.isKept })
            // A learner that is behind would hold up every commit once it votes.
            let isStaged = items.contains { $0.isVoter && !$0.wasVoter }
            let whole = Membership(
                members: items.map(\.replica), voters: now, outgoing: MemberSet(),
                witnesses: set { $0.isWitness }, returning: set { $0.isReturning }, goal: goal,
                finished: finished)
            guard let whole else {
                throw .init(reason: "a group has at most \(memberLimit) members at any time")
            }
            guard let first = isStaged ? whole : whole.next(at: position) else {
                throw .init(reason: "the members that stay are no group")
            }
            return first
        }
    }
}
