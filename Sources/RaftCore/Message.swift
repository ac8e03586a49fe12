/// What the replicas of one group say to each other. Plain data: entries travel beside `Append`.
public enum Message: Hashable, Sendable {
    case append(Append)
    case appendReply(AppendReply)
    case heartbeat(Heartbeat)
    case heartbeatReply(HeartbeatReply)
    case vote(VoteRequest)
    case voteReply(VoteReply)
    case timeoutNow(TimeoutNow)
    case resigned(Resigned)
    case removed(Removed)
    // Rare and large: beside it a message takes what an append does, and copies as plain data.
    indirect case snapshot(Snapshot)

    /// AppendEntries (section 3.5): entries of **one** term behind `previous`.
    public struct Append: Hashable, Sendable {
        public var term: Term
        public var previous: EntryPosition
        public var entriesTerm: Term
        /// 0 to probe, or to tell the commit index.
        public var count: Int
        public var commit: LogIndex

        public init(
            term: Term, previous: EntryPosition, entriesTerm: Term, count: Int, commit: LogIndex
        ) {
            self.term = term
            self.previous = previous
            self.entriesTerm = entriesTerm
            self.count = count
            self.commit = commit
        }
    }

    /// What a follower has durably in common with the leader, or where it disagrees.
    public struct AppendReply: Hashable, Sendable {
        public var term: Term
        /// Accepted: the last entry that is durable here and known to match.
        /// Rejected: the `previous.index` that was refused; for lack of room, the last entry that
        /// was.
        public var index: LogIndex
        public var isRejected: Bool
        /// Rejected: the last place where the logs may agree.
        public var hint: EntryPosition

        public init(term: Term, index: LogIndex, isRejected: Bool, hint: EntryPosition) {
            self.term = term
            self.index = index
            self.isRejected = isRejected
            self.hint = hint
        }
    }

    /// Asks whether the sender still leads, for ReadIndex (section 6.4).
    public struct Heartbeat: Hashable, Sendable {
        public var term: Term
        public var commit: LogIndex
        public var readSequence: UInt64

        public init(term: Term, commit: LogIndex, readSequence: UInt64) {
            self.term = term
            self.commit = commit
            self.readSequence = readSequence
        }
    }

    public struct HeartbeatReply: Hashable, Sendable {
        public var term: Term
        public var readSequence: UInt64

        public init(term: Term, readSequence: UInt64) {
            self.term = term
            self.readSequence = readSequence
        }
    }

    /// RequestVote (section 3.4), or its rehearsal (pre-vote, section 9.6).
    public struct VoteRequest: Hashable, Sendable {
        public var term: Term
        public var last: EntryPosition
        public var isPreVote: Bool
        /// The leader itself asked for this campaign: neither its support nor its lease stands in
        /// the way.
        public var isTransfer: Bool
        /// An operator asked for this campaign: the leader's support doesn't stand in the way, but
        /// its lease does.
        public var isForced: Bool

        public init(
            term: Term, last: EntryPosition, isPreVote: Bool, isTransfer: Bool,
            isForced: Bool = false
        ) {
            self.term = term
            self.last = last
            self.isPreVote = isPreVote
            self.isTransfer = isTransfer
            self.isForced = isForced
        }
    }

    public struct VoteReply: Hashable, Sendable {
        /// Granted: the term asked for. Refused: the voter's own.
        public var term: Term
        public var isPreVote: Bool
        public var isGranted: Bool

        public init(term: Term, isPreVote: Bool, isGranted: Bool) {
            self.term = term
            self.isPreVote = isPreVote
            self.isGranted = isGranted
        }
    }

    /// Leadership transfer (section 3.10): campaign now.
    public struct TimeoutNow: Hashable, Sendable {
        public var term: Term
        public init(term: Term) { self.term = term }
    }

    /// The sender led this term and does so no more: don't wait for its node to die.
    public struct Resigned: Hashable, Sendable {
        public var term: Term
        public init(term: Term) { self.term = term }
    }

    /// The receiver is no member any more, by all that is committed up to `committed`; it can go.
    public struct Removed: Hashable, Sendable {
        public var term: Term
        public var committed: EntryPosition
        public init(term: Term, committed: EntryPosition) {
            self.term = term
            self.committed = committed
        }
    }

    /// InstallSnapshot (section 5.2) as an offer: what the receiver needs, the leader's log holds no
    /// more. The state itself is fetched beside the core; once it is durable the receiver answers
    /// as to an append. Until then, and when it needs none, it answers with what it has.
    public struct Snapshot: Hashable, Sendable {
        public var term: Term
        /// The last entry that the state holds; committed.
        public var position: EntryPosition
        /// The members that held at `position`.
        public var configuration: Raft.Configuration

        public init(term: Term, position: EntryPosition, configuration: Raft.Configuration) {
            self.term = term
            self.position = position
            self.configuration = configuration
        }
    }

    public var term: Term {
        switch self {
        case .append(let m): m.term
        case .appendReply(let m): m.term
        case .heartbeat(let m): m.term
        case .heartbeatReply(let m): m.term
        case .vote(let m): m.term
        case .voteReply(let m): m.term
        case .timeoutNow(let m): m.term
        case .resigned(let m): m.term
        case .removed(let m): m.term
        case .snapshot(let m): m.term
        }
    }

    /// Whether the message speaks of the sender's term, vote or log as facts that outlive a crash:
    /// then it may leave only when all that the core has changed so far is durable. The one
    /// durability rule of the core: whatever else is sent may go at once, an `append` while the
    /// leader's own write is still in flight (section 10.2.1).
    public var mustWaitForDurability: Bool {
        switch self {
        case .appendReply: true
        case .vote(let m): !m.isPreVote
        case .voteReply(let m): !m.isPreVote
        case .append, .heartbeat, .heartbeatReply, .timeoutNow, .resigned, .removed, .snapshot:
            false
        }
    }
}
