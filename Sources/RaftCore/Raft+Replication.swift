/// Log replication and commitment (sections 3.5, 3.6, 10.2.1).
extension Raft {
    // MARK: Leader

    /// Takes `count` new entries into the leader's log; nil if this replica may not propose.
    /// Returns the first one's index. The owner writes their bytes; `flush` sends them.
    public mutating func propose(count: Int) -> LogIndex? {
        guard role == .leader, !isTransferring, count > 0 else { return nil }
        let first = log.lastIndex.next
        log.append(count: count, term: term)
        return first
    }

    /// Entries up to `index` of this very log are durable on this node's disk.
    ///
    /// The owner leaves out what a later truncation has overtaken, although index and term may be
    /// the same again.
    public mutating func persisted(
        upTo index: LogIndex, now: Instant, effects: inout RaftEffects
    ) {
        precondition(index <= log.lastIndex, "durable beyond the log")
        guard index > durableIndex else { return }
        durableIndex = index
        if role == .leader {
            if selfPosition >= 0 { progress[selfPosition].match = index }
            advanceCommit(now: now, effects: &effects)
        } else {
            acknowledge(&effects)
        }
    }

    mutating func onAppendReply(
        from position: Int, _ m: Message.AppendReply, now: Instant, effects: inout RaftEffects
    ) {
        if m.term > term {
            becomeFollower(m.term, leader: .none, now: now, effects: &effects)
            return
        }
        guard m.term == term, role == .leader, position != selfPosition else { return }
        progress[position].hasAnswered = true
        progress[position].isFollowing = true
        if m.isRejected {
            let isStale =
                progress[position].state == .replicate
                ? m.index <= progress[position].match
                : m.index != progress[position].next.previous
            if isStale || progress[position].state == .snapshot { return }
            let agreed = log.lastPosition(notBeyond: m.hint.index, term: m.hint.term)
            guard agreed?.index ?? m.hint.index >= progress[position].match else {
                // It acknowledged more than it has. Asking again at once would go on for ever: it
                // counts as silent.
                progress[position].hasAnswered = false
                effects.isContradicted = true
                return
            }
            // What it lacks may stand before the base: then a snapshot must bring it there.
            progress[position].next = (agreed ?? log.base).index.next
            progress[position].state = agreed == nil ? .snapshot : .probe
            progress[position].isProbeInFlight = false
            progress[position].forgetBytes()
            return
        }
        guard m.index <= log.lastIndex else { return }
        switch progress[position].state {
        case .snapshot where m.index < log.base.index: break
        case .probe, .snapshot:
            progress[position].isProbeInFlight = false
            progress[position].state = .replicate
        case .replicate, .unreachable: break
        }
        if m.index > progress[position].match {
            progress[position].match = m.index
            progress[position].next = max(progress[position].next, m.index.next)
            progress[position].acknowledged(upTo: m.index)
            advanceCommit(now: now, effects: &effects)
            sendTransfer(now: now, &effects)
        } else if progress[position].next <= m.index {
            progress[position].next = m.index.next
        }
    }

    /// Commits what a majority holds durably, if it is of this term (section 3.6.2).
    private mutating func advanceCommit(now: Instant, effects: inout RaftEffects) {
        let progress = progress
        let majority = LogIndex(membership.quorumValue { progress[$0].match.rawValue })
        guard majority > commitIndex, majority >= termStartIndex else { return }
        commitIndex = majority
        effects.isCommitAdvanced = true
        if configurations.count > 1 || membership.isJoint || !membership.canLead(selfPosition) {
            settleMembership(now: now, effects: &effects)
        }
        if isTransferring { sendTransfer(now: now, &effects) }
    }

    /// The entries that may go to a member now: from `first` on, at most `most`, all of one term.
    /// Nil when nothing may: no connection, still probing, window full, all sent.
    ///
    /// Changes nothing; but for a call that only reads, the compiler copies a replica whole.
    public mutating func wantedEntries(by position: Int) -> (first: LogIndex, most: Int)? {
        guard role == .leader, position != selfPosition else { return nil }
        let next = progress[position].next
        guard progress[position].state == .replicate, next <= log.lastIndex else { return nil }
        let window = options.appendWindowEntries - (next.previous - progress[position].match)
        guard window > 0, progress[position].bytesInFlight < options.appendWindowBytes else {
            return nil
        }
        return (next, min(window, log.endOfRun(at: next) - next + 1))
    }

    /// Sends the first `count` of the wanted entries, which take `byteCount` bytes.
    public mutating func sendEntries(
        to position: Int, count: Int, byteCount: Int, effects: inout RaftEffects
    ) {
        guard let wanted = wantedEntries(by: position), (1...wanted.most).contains(count) else {
            preconditionFailure("sends entries that aren't wanted")
        }
        sendAppend(to: position, count: count, effects: &effects)
        progress[position].sent(
            upTo: progress[position].next.previous, byteCount: byteCount)
    }

    /// Sends what else is due: probes, the commit index to those that no entry has told it, and
    /// the heartbeat that confirms waiting reads; then sets the timers.
    ///
    /// Called once a turn, after everything that happened in it and after `sendEntries`.
    public mutating func flush(now: Instant, effects: inout RaftEffects) {
        guard role == .leader else { return }
        if membership.isStaging { advanceStaging(now: now, effects: &effects) }
        var isCommitUntold = false
        var isAnswerAwaited = false
        for position in membership.members.indices where position != selfPosition {
            switch progress[position].state {
            case .unreachable: continue
            case .probe:
                if !progress[position].isProbeInFlight {
                    progress[position].isProbeInFlight = true
                    sendAppend(to: position, count: 0, effects: &effects)
                }
                isAnswerAwaited = true
            case .replicate:
                if progress[position].match < log.lastIndex { isAnswerAwaited = true }
            case .snapshot:
                offerSnapshot(to: position, &effects)
                isAnswerAwaited = true
                continue
            }
            let told = min(commitIndex, progress[position].match)
            guard progress[position].toldCommit < told else { continue }
            if now >= commitDeadline {
                sendAppend(to: position, count: 0, effects: &effects)
            } else {
                isCommitUntold = true
            }
        }
        sendReadHeartbeat(&effects)
        if isReadRoundInFlight { isAnswerAwaited = true }
        if !isCommitUntold {
            commitDeadline = .never
        } else if commitDeadline == .never || now >= commitDeadline {
            commitDeadline = now + options.commitDelay
        }
        if !isAnswerAwaited {
            retryDeadline = .never
        } else if retryDeadline == .never {
            retryDeadline = now + options.electionTimeout
            for position in progress.indices { progress[position].hasAnswered = false }
        }
    }

    private mutating func sendAppend(
        to position: Int, count: Int, effects: inout RaftEffects
    ) {
        let previous = progress[position].next.previous
        guard let previousTerm = log.term(at: previous) else {
            preconditionFailure("needs entry \(previous), which the log no longer holds")
        }
        let entriesTerm = count == 0 ? term : log.term(at: previous.next) ?? term
        let append = Message.Append(
            term: term, previous: EntryPosition(index: previous, term: previousTerm),
            entriesTerm: entriesTerm, count: count, commit: commitIndex)
        effects.messages.append((membership.members[position], .append(append)))
        progress[position].next = previous.next + count
        progress[position].toldCommit = min(commitIndex, previous + count)
    }

    /// An answer is overdue: start over where each silent follower is known to stand.
    mutating func retry(now: Instant) {
        retryDeadline = .never
        for position in progress.indices where position != selfPosition {
            let isSilent =
                progress[position].state == .probe || progress[position].match < log.lastIndex
            switch progress[position].state {
            case .unreachable: continue
            // However alive it is: it may have dropped what it was fetching.
            case .snapshot: progress[position].isProbeInFlight = false
            case .probe, .replicate:
                if isSilent, !progress[position].hasAnswered { reprobe(position) }
            }
        }
        repeatReadRound()
    }

    mutating func reprobe(_ position: Int) {
        progress[position].state = .probe
        progress[position].isProbeInFlight = false
        // Whether it needs a snapshot it will say itself.
        progress[position].next = max(progress[position].match, log.base.index).next
        progress[position].toldCommit = .zero
        progress[position].forgetBytes()
    }

    // MARK: The owner's word on connections

    /// A new connection to the member's node: what was in flight on the old one is lost, and it
    /// must be told anew who leads.
    public mutating func peerConnected(_ peer: NodeID) {
        guard role == .leader, let position = membership.position(of: peer),
            position != selfPosition
        else { return }
        reprobe(position)
        progress[position].isFollowing = false
        repeatReadRound()
    }

    public mutating func peerDisconnected(_ peer: NodeID) {
        guard role == .leader, let position = membership.position(of: peer),
            position != selfPosition
        else { return }
        reprobe(position)
        progress[position].state = .unreachable
    }

    // MARK: Follower

    /// Whether an append brings nothing that the log lacks. One that does may be declined. To ignore
    /// one that doesn't may leave this replica without the commit index, for the leader, whom earlier
    /// copies satisfy, holds that for told.
    public func holdsEntries(of m: Message.Append) -> Bool {
        // What is compacted away is committed, so a leader's log holds the same.
        let compacted = max(m.previous.index, log.base.index) - m.previous.index
        guard compacted > 0 || log.term(at: m.previous.index) == m.previous.term else {
            return false
        }
        guard compacted < m.count else { return true }
        let rest = m.count - compacted
        let start = m.previous.index + compacted
        return log.matching(after: start, count: rest, term: m.entriesTerm) == rest
    }

    mutating func onAppend(
        from sender: Replica, _ m: Message.Append,
        _ memberships: [(offset: Int, membership: Membership)], now: Instant,
        effects: inout RaftEffects
    ) {
        guard m.term >= term else {
            // A leader of the past learns it from this.
            reject(m, to: sender, effects: &effects)
            return
        }
        guard follow(sender, term: m.term, now: now, effects: &effects) else { return }
        // What is compacted away here is committed, so a leader's log holds the same.
        let compacted = max(m.previous.index, log.base.index) - m.previous.index
        if compacted > 0, m.count >= compacted, m.entriesTerm != log.base.term {
            effects.isContradicted = true
            return
        }
        let lastNew = max(m.previous.index + m.count, log.base.index)
        guard compacted > 0 || log.term(at: m.previous.index) == m.previous.term else {
            guard m.previous.index > commitIndex else {
                effects.isContradicted = true
                return
            }
            reject(m, to: sender, effects: &effects)
            return
        }
        let skipped = min(compacted, m.count)
        let known =
            skipped
            + log.matching(
                after: m.previous.index + skipped, count: m.count - skipped, term: m.entriesTerm)
        if known < m.count {
            let first = m.previous.index.next + known
            let isTruncation = first <= log.lastIndex
            if isTruncation {
                guard first > commitIndex else {
                    effects.isContradicted = true
                    return
                }
                log.truncate(from: first)
                truncateConfigurations(from: first, &effects)
                durableIndex = min(durableIndex, first.previous)
            }
            log.append(count: m.count - known, term: m.entriesTerm)
            for (offset, membership) in memberships where offset >= known {
                install(membership, at: m.previous.index.next + offset, &effects)
            }
            effects.append = .init(
                first: first, count: m.count - known, term: m.entriesTerm,
                source: .message(skipping: known), isTruncation: isTruncation)
        }
        verifiedIndex = max(verifiedIndex, lastNew)
        follow(commit: min(m.commit, lastNew), &effects)
        // Answers a probe too, even when nothing new is durable.
        if durableIndex >= lastNew || m.count == 0 { acknowledge(&effects, isProbe: true) }
    }

    /// Takes `sender` for the leader of `term`, which isn't older than this replica's. False if
    /// that can't be.
    mutating func follow(
        _ sender: Replica, term newTerm: Term, now: Instant, effects: inout RaftEffects
    ) -> Bool {
        if newTerm == term {
            if role == .follower, leader == sender.node, isLeaderSupported { return true }
            guard role != .leader, leader.isNone || leader == sender.node else {
                effects.isContradicted = true
                return false
            }
        }
        becomeFollower(newTerm, leader: sender, now: now, effects: &effects)
        return true
    }

    mutating func follow(commit: LogIndex, _ effects: inout RaftEffects) {
        guard commit > commitIndex else { return }
        commitIndex = commit
        effects.isCommitAdvanced = true
        retireConfigurations()
    }

    /// Tells the leader what is both verified and durable, if that is news or was asked for.
    mutating func acknowledge(_ effects: inout RaftEffects, isProbe: Bool = false) {
        guard role == .follower, !leader.isNone else { return }
        let index = min(durableIndex, verifiedIndex)
        guard index > acknowledgedIndex || isProbe else { return }
        acknowledgedIndex = index
        let reply = Message.AppendReply(term: term, index: index, isRejected: false, hint: .start)
        effects.messages.append((Replica(leader, leaderID), .appendReply(reply)))
    }

    /// An append of `sender` could not be taken in for lack of room, and now there is some: the
    /// leader is asked to go on from where this log ends, instead of finding out by a time-out.
    public func declined(_ m: Message.Append, by sender: Replica, effects: inout RaftEffects) {
        guard role == .follower, !isRemoved, m.term == term, leader == sender.node,
            !holdsEntries(of: m)
        else { return }
        // Named by its end: its beginning may be acknowledged already, and a refusal of that is old.
        let end = m.previous.index + m.count
        // More may have come meanwhile, and been acknowledged.
        let known = max(verifiedIndex, m.previous.index)
        let hint = log.lastPosition(notBeyond: known, term: term) ?? log.base
        let reply = Message.AppendReply(term: term, index: end, isRejected: true, hint: hint)
        effects.messages.append((sender, .appendReply(reply)))
    }

    private func reject(
        _ m: Message.Append, to sender: Replica, effects: inout RaftEffects
    ) {
        let hint = log.lastPosition(notBeyond: m.previous.index, term: m.previous.term)
        // What stands at the base is committed, and so the leader's too.
        let reply = Message.AppendReply(
            term: term, index: m.previous.index, isRejected: true, hint: hint ?? log.base)
        effects.messages.append((sender, .appendReply(reply)))
    }
}
