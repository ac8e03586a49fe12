/// Elections (sections 3.4, 4.2.3, 9.6) and leadership transfer (section 3.10).
extension Raft {
    // MARK: The owner's word on nodes

    /// The leader's node is no longer known to be alive, or to be connected without a gap: unless
    /// the leader is heard again, this replica campaigns after `delay` and a random part of the
    /// election spread. What its node was promised by a lease is kept: no vote and no campaign
    /// until `promisedUntil`.
    public mutating func leaderSuspected(
        now: Instant, after delay: Nanoseconds = .zero, promisedUntil: Instant = .zero
    ) {
        guard role != .leader, isLeaderSupported else { return }
        isLeaderSupported = false
        votesHeldUntil = max(votesHeldUntil, promisedUntil)
        armElection(after: delay, now: now)
    }

    /// This node has promised its leader by a lease not to vote against it until then.
    public mutating func holdVotes(until promise: Instant) {
        votesHeldUntil = max(votesHeldUntil, promise)
    }

    /// Check-quorum (section 6.2): a leader that can't hear a majority of the voters resigns.
    /// `alive` needn't hold this node itself.
    public mutating func checkQuorum(
        alive: MemberSet, now: Instant, effects: inout RaftEffects
    ) {
        guard role == .leader else { return }
        var alive = alive
        if selfPosition >= 0 { alive.insert(selfPosition) }
        if !membership.isQuorum(alive) { resign(now: now, effects: &effects) }
    }

    /// Gives leadership or a campaign up at once, because this node can serve no longer.
    public mutating func stepDown(now: Instant, effects: inout RaftEffects) {
        switch role {
        case .leader: resign(now: now, effects: &effects)
        case .candidate, .preCandidate:
            // Its own vote may be lost on the way: the next campaign must not wait for it.
            becomeFollower(term, leader: .none, now: now, effects: &effects)
        case .follower: break
        }
    }

    /// Elects anew, because an operator wants it. A leader steps down and lets the others go first;
    /// any other replica campaigns, whatever it thinks of the leader. False if it can't lead.
    ///
    /// What this node promised by a lease is kept: then it campaigns when that has run out.
    public mutating func forceElection(now: Instant, effects: inout RaftEffects) -> Bool {
        guard canStand else { return false }
        if role == .leader {
            resign(now: now, effects: &effects)
        } else if isPromised(now) {
            electionDeadline = votesHeldUntil
        } else {
            campaign(.forcedPreVote, now: now, effects: &effects)
        }
        return true
    }

    // MARK: Campaigns

    enum Campaign {
        case preVote, vote, transfer, forcedPreVote, forcedVote

        var isPreVote: Bool { self == .preVote || self == .forcedPreVote }
    }

    mutating func campaign(_ kind: Campaign, now: Instant, effects: inout RaftEffects) {
        precondition(role != .leader, "a leader campaigns")
        leader = .none
        isLeaderSupported = false
        votesGranted = MemberSet()
        votesRefused = MemberSet()
        isOwnVoteDurable = false
        if role == .candidate { failedCampaigns = min(failedCampaigns + 1, 3) }
        electionDeadline = now + campaignTimeout()
        isForcedCampaign = kind == .forcedPreVote || kind == .forcedVote
        effects.isRoleChanged = true
        if kind.isPreVote {
            role = .preCandidate
            // Its own vote is as little free as another's, if it has promised it.
            if selfPosition >= 0, !isPromised(now) { votesGranted.insert(selfPosition) }
            if membership.isQuorum(votesGranted) {
                return campaign(
                    isForcedCampaign ? .forcedVote : .vote, now: now, effects: &effects)
            }
        } else {
            guard !isPromised(now) else {
                // Others may be free to vote; this one waits its promise out.
                role = .follower
                electionDeadline = votesHeldUntil
                return
            }
            role = .candidate
            hardState = HardState(term: term.next, vote: node)
            effects.isHardStateChanged = true
            verifiedIndex = .zero
            acknowledgedIndex = .zero
            // Its own vote counts when it is durable, as anyone's does.
            let ownVote = Message.VoteReply(term: term, isPreVote: false, isGranted: true)
            effects.messages.append((replica, .voteReply(ownVote)))
        }
        let request = Message.VoteRequest(
            term: kind.isPreVote ? term.next : term, last: log.last, isPreVote: kind.isPreVote,
            isTransfer: kind == .transfer, isForced: isForcedCampaign)
        for position in membership.members.indices
        where position != selfPosition && membership.isVoter(position) {
            effects.messages.append((membership.members[position], .vote(request)))
        }
    }

    mutating func onVote(
        from sender: Replica, _ m: Message.VoteRequest, now: Instant,
        effects: inout RaftEffects
    ) {
        if tellRemoved(sender, effects: &effects) { return }
        // Whoever campaigns doesn't follow: its promise counts no more for this leader's lease.
        if role == .leader, let position = membership.position(of: sender), position != selfPosition
        {
            progress[position].isFollowing = false
        }
        // Who campaigns doesn't lead: nothing of it is left to support.
        if sender.node == leader, m.term > term { leaderSuspected(now: now) }
        // A lease that its own leader gives up binds nobody; one that it doesn't know to be over does.
        if m.isForced, role == .leader, m.term > term, m.last.isUpToDate(with: log.last) {
            resign(now: now, effects: &effects)
        }
        let isHeld = (role == .leader || isLeaderSupported) && !m.isForced || isPromised(now)
        if isHeld, !m.isTransfer {
            // A refusal tells a candidate of an older term where the group stands.
            refuse(m, to: sender, effects: &effects)
            // Who campaigns against a living leader has missed it: tell it.
            if role == .leader { peerConnected(sender.node) }
            return
        }
        if m.isPreVote {
            guard m.term > term, m.last.isUpToDate(with: log.last) else {
                refuse(m, to: sender, effects: &effects)
                return
            }
            let reply = Message.VoteReply(term: m.term, isPreVote: true, isGranted: true)
            effects.messages.append((sender, .voteReply(reply)))
            return
        }
        if m.term > term { becomeFollower(m.term, leader: .none, now: now, effects: &effects) }
        let isFree = hardState.vote.isNone || hardState.vote == sender.node
        guard m.term == term, isFree, role == .follower, leader.isNone || leader == sender.node,
            m.last.isUpToDate(with: log.last)
        else {
            refuse(m, to: sender, effects: &effects)
            return
        }
        if hardState.vote != sender.node {
            hardState.vote = sender.node
            effects.isHardStateChanged = true
        }
        armElection(after: options.electionTimeout, now: now)
        let reply = Message.VoteReply(term: term, isPreVote: false, isGranted: true)
        effects.messages.append((sender, .voteReply(reply)))
    }

    /// Whether this node's lease to a leader of the past still runs.
    func isPromised(_ now: Instant) -> Bool { now < votesHeldUntil }

    private func refuse(
        _ m: Message.VoteRequest, to sender: Replica, effects: inout RaftEffects
    ) {
        let reply = Message.VoteReply(term: term, isPreVote: m.isPreVote, isGranted: false)
        effects.messages.append((sender, .voteReply(reply)))
    }

    mutating func onVoteReply(
        from position: Int, _ m: Message.VoteReply, now: Instant, effects: inout RaftEffects
    ) {
        // A late answer to an old campaign frees no follower from its leader.
        guard role == .candidate || role == .preCandidate else { return }
        if !m.isGranted, m.term > term {
            becomeFollower(m.term, leader: .none, now: now, effects: &effects)
            return
        }
        switch role {
        case .preCandidate:
            guard m.isPreVote, m.term == (m.isGranted ? term.next : m.term) else { return }
        case .candidate:
            guard !m.isPreVote, m.term == term else { return }
        case .follower, .leader: return
        }
        if position == selfPosition {
            isOwnVoteDurable = true
            electionDeadline = now + campaignTimeout()
        }
        if position >= 0 {
            if m.isGranted { votesGranted.insert(position) } else { votesRefused.insert(position) }
        }
        if membership.isQuorum(votesGranted) {
            guard role == .preCandidate || isOwnVoteDurable else { return }
            if role == .preCandidate {
                campaign(isForcedCampaign ? .forcedVote : .vote, now: now, effects: &effects)
            } else {
                becomeLeader(now: now, effects: &effects)
            }
        } else if membership.isQuorum(votesRefused) {
            becomeFollower(term, leader: .none, now: now, effects: &effects)
        }
    }

    private mutating func becomeLeader(now: Instant, effects: inout RaftEffects) {
        precondition(role == .candidate, "leads without a campaign")
        role = .leader
        leader = node
        leaderID = replica.id
        isForcedCampaign = false
        isLeaseRevoked = false
        failedCampaigns = 0
        isLeaderSupported = false
        electionDeadline = .never
        let unknown = Progress(next: log.lastIndex.next, isReachable: true)
        progress = Array(repeating: unknown, count: membership.members.count)
        if selfPosition >= 0 { progress[selfPosition].match = durableIndex }
        resumeChange(now: now)
        requestedRead = 0
        sentRead = 0
        confirmedReads = 0
        isReadRoundInFlight = false
        effects.isRoleChanged = true
        // An entry of its own term, without which nothing older may be committed (section 3.6.2).
        termStartIndex = log.lastIndex.next
        log.append(count: 1, term: term)
        effects.append = .init(
            first: termStartIndex, count: 1, term: term, source: .noOp, isTruncation: false)
    }

    // MARK: Transfer

    /// Hands leadership to `target`. The owner holds new proposals back while `isTransferring`;
    /// it ends with the leadership, or after an election timeout without. False if this replica
    /// doesn't lead or `target` isn't another voter that can.
    public mutating func transfer(
        to target: NodeID, now: Instant, effects: inout RaftEffects
    ) -> Bool {
        guard role == .leader, target != node,
            let position = membership.position(of: target), membership.canLead(position)
        else { return false }
        transferTarget = target
        isTransferSent = false
        transferDeadline = now + options.electionTimeout
        effects.isRoleChanged = true
        sendTransfer(now: now, &effects)
        return true
    }

    /// Tells the target to campaign as soon as it has the whole log. From then on the lease is void
    /// in this term: the target may act on the message at any time.
    mutating func sendTransfer(now: Instant, _ effects: inout RaftEffects) {
        guard isTransferring, !isTransferSent,
            let position = membership.position(of: transferTarget),
            progress[position].match == log.lastIndex
        else { return }
        let isLeaving = !membership.canLead(selfPosition)
        if isLeaving, commitIndex < log.lastIndex { return }
        isTransferSent = true
        isLeaseRevoked = true
        effects.messages.append((membership.members[position], .timeoutNow(.init(term: term))))
        // The next leader's messages don't come to who isn't a member any more.
        if isLeaving { leave(now: now, effects: &effects) }
    }

    mutating func transferTimedOut(now: Instant, effects: inout RaftEffects) {
        endTransfer(&effects)
        if !membership.canLead(selfPosition), isMembershipCommitted {
            leave(now: now, effects: &effects)
        }
    }

    mutating func endTransfer(_ effects: inout RaftEffects) {
        guard isTransferring else { return }
        transferTarget = .none
        transferDeadline = .never
        effects.isRoleChanged = true
    }

    mutating func onTimeoutNow(
        from sender: Replica, _ m: Message.TimeoutNow, now: Instant, effects: inout RaftEffects
    ) {
        guard m.term == term, sender.node == leader, role == .follower,
            membership.canLead(selfPosition)
        else { return }
        campaign(.transfer, now: now, effects: &effects)
    }
}
