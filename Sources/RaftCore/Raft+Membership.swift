/// Changes of who is a member (chapter 4): learners that catch up, joint consensus, removal.
///
/// A configuration holds from where it stands in the log, committed or not. A leader begins a
/// change only when the configuration before it is committed, and an entry of its own term too: the
/// second half is what the dissertation lacked (bug of 2015).
extension Raft {
    /// Why a change isn't begun now.
    public enum ChangeRefusal: Error, Hashable, Sendable {
        case notLeader
        /// Another change is under way, or leadership is too new or on its way out: try again.
        case busy
        case invalid(reason: String)
    }

    /// Whether the configuration that holds is committed.
    public var isMembershipCommitted: Bool {
        configurations[configurations.count - 1].index <= commitIndex
    }

    /// Begins a change, and returns its name: the position of its first entry. All further steps
    /// follow of themselves, on this leader or the next. It is over when the name stands in
    /// `Membership.finished` of a committed configuration.
    public mutating func propose(
        _ change: MembershipChange, now: Instant, effects: inout RaftEffects
    ) throws(ChangeRefusal) -> EntryPosition {
        guard role == .leader else { throw .notLeader }
        guard !isTransferring, isMembershipCommitted, membership.goal == nil,
            commitIndex >= termStartIndex
        else { throw .busy }
        let position = nextPosition
        do {
            appendMembership(try membership.begin(change, at: position), &effects)
        } catch { throw .invalid(reason: error.reason) }
        resumeChange(now: now)
        return position
    }

    /// Begins to put another replica in the place of a member that is lost, and returns the name of the
    /// change. What voted before is a learner then, with `Membership.returning` set.
    public mutating func replace(
        _ member: Replica, now: Instant, effects: inout RaftEffects
    ) throws(ChangeRefusal) -> EntryPosition {
        guard role == .leader else { throw .notLeader }
        guard let place = membership.position(of: member), place != selfPosition else {
            throw .invalid(reason: "not a member")
        }
        // A change that waits for its own newcomers goes on with others.
        let isFree = membership.goal == nil || membership.isStaging && membership.isNewcomer(place)
        guard !isTransferring, isMembershipCommitted, isFree, commitIndex >= termStartIndex else {
            throw .busy
        }
        let position = nextPosition
        do {
            appendMembership(try membership.replacing(place, at: position), &effects)
        } catch { throw .invalid(reason: error.reason) }
        return position
    }

    private var nextPosition: EntryPosition {
        EntryPosition(index: log.lastIndex.next, term: term)
    }

    /// Takes a configuration into the leader's own log.
    private mutating func appendMembership(_ next: Membership, _ effects: inout RaftEffects) {
        let index = log.lastIndex.next
        log.append(count: 1, term: term)
        install(next, at: index, &effects)
        effects.append = .init(
            first: index, count: 1, term: term, source: .membership, isTruncation: false)
    }

    mutating func install(
        _ next: Membership, at index: LogIndex, _ effects: inout RaftEffects
    ) {
        configurations.append(.init(index: index, membership: next))
        hold(next, &effects)
    }

    /// The configurations of entries that are dropped hold no more.
    mutating func truncateConfigurations(from index: LogIndex, _ effects: inout RaftEffects) {
        guard let last = configurations.last, last.index >= index else { return }
        while configurations.count > 1, configurations[configurations.count - 1].index >= index {
            configurations.removeLast()
        }
        hold(configurations[configurations.count - 1].membership, &effects)
    }

    mutating func hold(_ next: Membership, _ effects: inout RaftEffects) {
        let old = membership
        membership = next
        selfPosition = next.position(of: replica) ?? -1
        effects.isMembershipChanged = true
        guard role == .leader else { return }
        let unknown = Progress(next: log.lastIndex.next, isReachable: true)
        let known = progress
        progress = next.members.map { member in
            guard let position = old.position(of: member) else { return unknown }
            return known[position]
        }
        for member in old.members where next.position(of: member) == nil && member != replica {
            dropped.append(member)
        }
    }

    /// After the commit index rose: what is committed settles what comes next.
    mutating func settleMembership(now: Instant, effects: inout RaftEffects) {
        retireConfigurations()
        guard role == .leader, isMembershipCommitted else { return }
        if !dropped.isEmpty {
            for member in dropped {
                sendRemoved(to: member, &effects)
                // Another in its place is let in now.
                if let position = membership.position(of: member.node),
                    progress[position].state != .unreachable
                {
                    reprobe(position)
                }
            }
            dropped = []
        }
        if membership.isJoint, commitIndex >= termStartIndex {
            guard let next = membership.next(at: nextPosition) else {
                preconditionFailure("a joint configuration leads nowhere")
            }
            appendMembership(next, &effects)
        } else if !membership.canLead(selfPosition), !isTransferring {
            hurryAway(now: now, effects: &effects)
        }
    }

    // MARK: Catching up (section 4.2.1)

    /// A leader takes a change on from where it stands.
    mutating func resumeChange(now: Instant) {
        guard membership.isStaging else { return }
        stagingMark = log.lastIndex
        stagingRoundSince = now
        stagingDeadline = now + options.catchUpTimeout
    }

    /// New members have caught up when a round, which brings them to where the log ended when it
    /// began, takes less than an election timeout. Then the joint configuration begins.
    mutating func advanceStaging(now: Instant, effects: inout RaftEffects) {
        guard isMembershipCommitted, commitIndex >= termStartIndex, !isTransferring,
            hasStaged(stagingMark)
        else { return }
        let isQuick = now - stagingRoundSince < options.electionTimeout
        stagingMark = log.lastIndex
        stagingRoundSince = now
        guard isQuick || hasStaged(stagingMark), let next = membership.next(at: nextPosition)
        else { return }
        stagingDeadline = .never
        appendMembership(next, &effects)
    }

    private func hasStaged(_ mark: LogIndex) -> Bool {
        guard let goal = membership.goal else { return false }
        for position in membership.members.indices
        where goal.voters.contains(position) && !membership.voters.contains(position) {
            guard progress[position].match >= mark else { return false }
        }
        return true
    }

    mutating func abandonStaging(_ effects: inout RaftEffects) {
        guard isMembershipCommitted, let before = membership.abandoned() else {
            // Not committed yet: it can't be given up before that.
            stagingDeadline =
                membership.isStaging ? stagingDeadline + options.electionTimeout : .never
            return
        }
        stagingDeadline = .never
        appendMembership(before, &effects)
    }

    // MARK: Going

    /// A leader that isn't to lead any more hands over (section 4.2.2): to whoever has most.
    private mutating func hurryAway(now: Instant, effects: inout RaftEffects) {
        var best: Int?
        for position in membership.members.indices
        where position != selfPosition && membership.canLead(position)
            && progress[position].state != .unreachable
        {
            if let best, progress[best].match >= progress[position].match { continue }
            best = position
        }
        guard let best,
            transfer(to: membership.members[best].node, now: now, effects: &effects)
        else { return leave(now: now, effects: &effects) }
    }

    mutating func leave(now: Instant, effects: inout RaftEffects) {
        guard role == .leader else { return }
        resign(now: now, effects: &effects)
        if selfPosition < 0 { removed(&effects) }
    }

    private mutating func removed(_ effects: inout RaftEffects) {
        isRemoved = true
        electionDeadline = .never
        effects.isRemoved = true
    }

    /// Another replica can't find its leader, or has let go of it.
    public mutating func onInquiry(from sender: Replica, effects: inout RaftEffects) {
        guard !isRemoved, !tellRemoved(sender, effects: &effects), role == .leader,
            membership.position(of: sender) != nil
        else { return }
        peerConnected(sender.node)
    }

    /// Another replica is lost. Whether it is a member; who isn't is told so, if this one knows.
    public mutating func onDamaged(_ sender: Replica, effects: inout RaftEffects) -> Bool {
        guard !isRemoved, !tellRemoved(sender, effects: &effects) else { return false }
        return membership.position(of: sender) != nil
    }

    /// Tells a replica that asks for something that it is no member any more, if this one knows.
    ///
    /// What is committed up to a position behind the one that added the replica, and leaves it
    /// out, has removed it or never really added it: terms never fall along a log, and a leader of
    /// one term never rewrites its own.
    mutating func tellRemoved(_ sender: Replica, effects: inout RaftEffects) -> Bool {
        guard configurations[0].index <= commitIndex,
            configurations[0].membership.position(of: sender) == nil,
            let committed = committedPosition, sender.id < ReplicaID(added: committed)
        else { return false }
        sendRemoved(to: sender, &effects)
        return true
    }

    private var committedPosition: EntryPosition? {
        log.term(at: commitIndex).map { EntryPosition(index: commitIndex, term: $0) }
    }

    private func sendRemoved(to member: Replica, _ effects: inout RaftEffects) {
        guard let committed = committedPosition else { return }
        effects.messages.append((member, .removed(.init(term: term, committed: committed))))
    }

    /// What is committed behind this replica's own beginning doesn't hold it: it was removed, or
    /// never really added, and can't come back (no id is used twice).
    mutating func onRemoved(
        _ m: Message.Removed, now: Instant, effects: inout RaftEffects
    ) {
        guard replica.id < ReplicaID(added: m.committed) else { return }
        if role == .leader { resign(now: now, effects: &effects) }
        if role != .follower {
            becomeFollower(term, leader: .none, now: now, effects: &effects)
        }
        removed(&effects)
    }
}
