/// Linearizable reads without a log entry: ReadIndex (section 6.4).
extension Raft {
    /// What a read must wait for: confirmation of `sequence`, then that `index` is applied.
    public struct ReadTicket: Hashable, Sendable {
        public var sequence: UInt64
        public var index: LogIndex
    }

    /// A ticket for all reads that begin now; nil unless `canRead`. The next `flush` asks the
    /// followers; tickets that are waiting then share one round.
    public mutating func requestRead() -> ReadTicket? {
        guard canRead else { return nil }
        requestedRead = sentRead + 1
        return ReadTicket(sequence: requestedRead, index: commitIndex)
    }

    /// One round at a time: reads that come while it runs share the next.
    mutating func sendReadHeartbeat(_ effects: inout RaftEffects) {
        guard requestedRead > sentRead, !isReadRoundInFlight else { return }
        sentRead = requestedRead
        isReadRoundInFlight = true
        if selfPosition >= 0 { progress[selfPosition].confirmedRead = sentRead }
        for position in membership.members.indices where position != selfPosition {
            let heartbeat = Message.Heartbeat(
                term: term, commit: min(commitIndex, progress[position].match),
                readSequence: sentRead)
            effects.messages.append((membership.members[position], .heartbeat(heartbeat)))
        }
        confirmReads(&effects)
    }

    /// The round under way may have been lost. Its sequence is not used again: an answer to the
    /// first sending must not confirm a read that began after it.
    mutating func repeatReadRound() {
        guard isReadRoundInFlight else { return }
        isReadRoundInFlight = false
        requestedRead = sentRead + 1
    }

    mutating func onHeartbeat(
        from sender: Replica, _ m: Message.Heartbeat, now: Instant, effects: inout RaftEffects
    ) {
        if m.term >= term {
            guard follow(sender, term: m.term, now: now, effects: &effects) else { return }
            follow(commit: min(m.commit, verifiedIndex), &effects)
        }
        let reply = Message.HeartbeatReply(term: term, readSequence: m.readSequence)
        effects.messages.append((sender, .heartbeatReply(reply)))
    }

    mutating func onHeartbeatReply(
        from position: Int, _ m: Message.HeartbeatReply, now: Instant,
        effects: inout RaftEffects
    ) {
        if m.term > term {
            becomeFollower(m.term, leader: .none, now: now, effects: &effects)
            return
        }
        guard m.term == term, role == .leader, m.readSequence <= sentRead else { return }
        progress[position].isFollowing = true
        progress[position].confirmedRead = max(progress[position].confirmedRead, m.readSequence)
        confirmReads(&effects)
    }

    /// Whether this leader may answer reads without asking anyone (section 6.4.1).
    ///
    /// - `supportedUntil`: until when a node has promised to elect nobody against this one, on
    ///   **this** node's clock and counted from before it was asked. A member's promise counts
    ///   when it has followed in this term without a gap: else it might not know whom it promised
    ///   for.
    ///
    /// Changes nothing; but for a call that only reads, the compiler copies a replica whole.
    public mutating func holdsLease(now: Instant, _ supportedUntil: (NodeID) -> Instant) -> Bool {
        guard canRead, !isTransferring, !isLeaseRevoked else { return false }
        let until = membership.quorumValue { position in
            if position == selfPosition { return .max }
            guard progress[position].isFollowing else { return 0 }
            return supportedUntil(membership.members[position].node).nanoseconds
        }
        return now.nanoseconds < until
    }

    private mutating func confirmReads(_ effects: inout RaftEffects) {
        let progress = progress
        let confirmed = membership.quorumValue { progress[$0].confirmedRead }
        guard confirmed > confirmedReads else { return }
        confirmedReads = confirmed
        if confirmed == sentRead { isReadRoundInFlight = false }
        effects.isReadConfirmed = true
    }
}
