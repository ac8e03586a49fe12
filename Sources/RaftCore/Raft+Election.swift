/// Elections (sections 3.4, 4.2.3, 9.6) and leadership transfer (section 3.10).
extension Raft {
    // MARK: The owner's word on nodes

    /// The leader's node is no longer known to be alive, or to be connected without a gap: unless
    /// the leader is heard again, this replica campaigns after `delay` and a random part of the
    /// election spread.
    public mutating func leaderSuspected(now: Instant, after delay: Nanoseconds = .zero) {
        guard role != .leader, isLeaderSupported else { return }
        isLeaderSupported = false
        electionDeadline = now + randomised(delay)
    }

    /// Check-quorum (section 6.2): a leader that can't hear a majority of the voters resigns.
    /// `alive` needn't hold this node itself.
    public mutating func checkQuorum(
        alive: MemberSet, now: Instant, effects: inout RaftEffects
    ) {
        guard role == .leader else { return }
        var alive = alive
        alive.insert(selfPosition)
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

    // MARK: Campaigns

    mutating func campaign(
        isPreVote: Bool, isTransfer: Bool, now: Instant, effects: inout RaftEffects
    ) {
        precondition(role != .leader, "a leader campaigns")
        leader = .none
        isLeaderSupported = false
        votesGranted = MemberSet()
        votesRefused = MemberSet()
        if role == .candidate { failedCampaigns += 1 }
        electionDeadline = now + campaignTimeout()
        effects.isRoleChanged = true
        if isPreVote {
            role = .preCandidate
            votesGranted.insert(selfPosition)
            if membership.isQuorum(votesGranted) {
                return campaign(
                    isPreVote: false, isTransfer: false, now: now, effects: &effects)
            }
        } else {
            role = .candidate
            hardState = HardState(term: term.next, vote: node)
            effects.isHardStateChanged = true
            verifiedIndex = .zero
            acknowledgedIndex = .zero
            // Its own vote counts when it is durable, as anyone's does.
            let ownVote = Message.VoteReply(term: term, isPreVote: false, isGranted: true)
            effects.messages.append((node, .voteReply(ownVote)))
        }
        let request = Message.VoteRequest(
            term: isPreVote ? term.next : term, last: log.last, isPreVote: isPreVote,
            isTransfer: isTransfer)
        for member in membership.members where member != node {
            effects.messages.append((member, .vote(request)))
        }
    }

    mutating func onVote(
        from sender: NodeID, _ m: Message.VoteRequest, now: Instant, effects: inout RaftEffects
    ) {
        // Who campaigns doesn't lead: nothing of it is left to support.
        if sender == leader, m.term > term { leaderSuspected(now: now) }
        let isHeldByLeader = role == .leader || isLeaderSupported
        if isHeldByLeader, !m.isTransfer {
            // A refusal tells a candidate of an older term where the group stands.
            refuse(m, to: sender, effects: &effects)
            // Who campaigns against a living leader has missed it: tell it.
            if role == .leader { peerConnected(sender) }
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
        let isFree = hardState.vote.isNone || hardState.vote == sender
        guard m.term == term, isFree, role == .follower, leader.isNone || leader == sender,
            m.last.isUpToDate(with: log.last)
        else {
            refuse(m, to: sender, effects: &effects)
            return
        }
        if hardState.vote != sender {
            hardState.vote = sender
            effects.isHardStateChanged = true
        }
        electionDeadline = now + randomised(options.electionTimeout)
        let reply = Message.VoteReply(term: term, isPreVote: false, isGranted: true)
        effects.messages.append((sender, .voteReply(reply)))
    }

    private func refuse(
        _ m: Message.VoteRequest, to sender: NodeID, effects: inout RaftEffects
    ) {
        let reply = Message.VoteReply(term: term, isPreVote: m.isPreVote, isGranted: false)
        effects.messages.append((sender, .voteReply(reply)))
    }

    mutating func onVoteReply(
        from position: Int, _ m: Message.VoteReply, now: Instant, effects: inout RaftEffects
    ) {
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
        if m.isGranted { votesGranted.insert(position) } else { votesRefused.insert(position) }
        if position == selfPosition { electionDeadline = now + campaignTimeout() }
        if membership.isQuorum(votesGranted) {
            if role == .preCandidate {
                campaign(isPreVote: false, isTransfer: false, now: now, effects: &effects)
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
        failedCampaigns = 0
        isLeaderSupported = false
        electionDeadline = .never
        let unknown = Progress(next: log.lastIndex.next, isReachable: true)
        progress = Array(repeating: unknown, count: membership.members.count)
        progress[selfPosition].match = durableIndex
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
    /// doesn't lead or `target` isn't another voter.
    public mutating func transfer(
        to target: NodeID, now: Instant, effects: inout RaftEffects
    ) -> Bool {
        guard role == .leader, target != node,
            let position = membership.position(of: target), membership.voters.contains(position)
        else { return false }
        transferTarget = target
        isTransferSent = false
        transferDeadline = now + options.electionTimeout
        effects.isRoleChanged = true
        sendTransfer(&effects)
        return true
    }

    /// Tells the target to campaign as soon as it has the whole log.
    mutating func sendTransfer(_ effects: inout RaftEffects) {
        guard isTransferring, !isTransferSent,
            let position = membership.position(of: transferTarget),
            progress[position].match == log.lastIndex
        else { return }
        isTransferSent = true
        effects.messages.append((transferTarget, .timeoutNow(.init(term: term))))
    }

    mutating func endTransfer(_ effects: inout RaftEffects) {
        guard isTransferring else { return }
        transferTarget = .none
        transferDeadline = .never
        effects.isRoleChanged = true
    }

    mutating func onTimeoutNow(
        from sender: NodeID, _ m: Message.TimeoutNow, now: Instant, effects: inout RaftEffects
    ) {
        guard m.term == term, sender == leader, role == .follower else { return }
        campaign(isPreVote: false, isTransfer: true, now: now, effects: &effects)
    }
}
