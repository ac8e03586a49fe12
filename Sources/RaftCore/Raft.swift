/// One replica of one group: the Raft algorithm, and nothing else.
///
/// A value: it reads no clock and does no IO. Its owner calls a method for what happened, passing
/// the time, and carries out the `RaftEffects`. Entries' bytes stay with the owner; the core knows
/// indexes and terms.
///
/// Source: D. Ongaro, "Consensus: Bridging Theory and Practice" (2014), named "section" below.
///
/// Beyond the book: followers keep no timer while their leader's node is known to be alive
/// (`isLeaderSupported`); the owner watches nodes, and says so by `leaderSuspected`.
public struct Raft: Sendable {
    public enum Role: UInt8, Sendable { case follower, preCandidate, candidate, leader }

    public struct Options: Sendable {
        /// How long a campaign may take, and a transfer, and an unanswered message.
        public var electionTimeout = Nanoseconds.milliseconds(750)
        /// Campaigns are spread at random over this much time.
        public var electionSpread = Nanoseconds.milliseconds(300)
        /// How long a leader may wait for a new entry to carry the commit index.
        public var commitDelay = Nanoseconds.milliseconds(1)
        /// Entries in flight to one follower.
        public var appendWindowEntries = 16_384
        public init() {}
    }

    public let node: NodeID
    public let membership: Membership
    let options: Options
    let selfPosition: Int

    public internal(set) var hardState: HardState
    public internal(set) var log: LogTerms
    /// The last entry that is durable here.
    public internal(set) var durableIndex: LogIndex
    public internal(set) var commitIndex: LogIndex
    public internal(set) var role: Role = .follower
    /// `.none` while unknown.
    public internal(set) var leader: NodeID = .none

    // Follower.
    /// The leader's node is alive and was heard to lead this term: neither campaign nor vote
    /// against it (section 4.2.3).
    public internal(set) var isLeaderSupported = false
    /// The last entry known to be the same as the leader's of this term.
    var verifiedIndex: LogIndex = .zero
    /// The last index acknowledged to the leader of this term.
    var acknowledgedIndex: LogIndex = .zero

    // Candidate.
    var votesGranted = MemberSet()
    var votesRefused = MemberSet()
    /// Campaigns in a row that elected nobody: the next ones are given more time.
    var failedCampaigns = 0

    // Leader.
    /// One for each member, in the membership's order; empty while not leading.
    public internal(set) var progress: [Progress] = []
    /// The first entry of the leader's own term.
    public internal(set) var termStartIndex: LogIndex = .zero
    /// Read sequences: given to the newest ticket, sent in a heartbeat, confirmed by a quorum.
    var requestedRead: UInt64 = 0
    var sentRead: UInt64 = 0
    var isReadRoundInFlight = false
    public internal(set) var confirmedReads: UInt64 = 0
    public internal(set) var transferTarget: NodeID = .none
    var isTransferSent = false

    // Timers.
    @usableFromInline var electionDeadline: Instant
    @usableFromInline var retryDeadline: Instant = .never
    @usableFromInline var commitDeadline: Instant = .never
    @usableFromInline var transferDeadline: Instant = .never
    var dice: Dice

    /// A replica with what its disk holds. It starts as a follower that knows no leader.
    ///
    /// `node` must be a member. Everything in `log` counts as durable.
    public init(
        node: NodeID, membership: Membership, hardState: HardState, log: LogTerms,
        options: Options, seed: UInt64, now: Instant
    ) {
        guard let position = membership.position(of: node) else {
            preconditionFailure("node \(node) is not a member")
        }
        self.node = node
        self.membership = membership
        self.options = options
        selfPosition = position
        self.hardState = hardState
        self.log = log
        durableIndex = log.lastIndex
        commitIndex = log.base.index
        dice = Dice(seed: seed)
        electionDeadline = .zero
        electionDeadline = now + randomised(options.electionTimeout)
        // Alone, there is nobody to wait for.
        if membership.members.count == 1 { electionDeadline = now }
    }

    @inlinable public var term: Term { hardState.term }
    @inlinable public var isLeader: Bool { role == .leader }
    @inlinable public var isTransferring: Bool { !transferTarget.isNone }
    /// Whether a ticket for a read can be had: the term has committed an entry (section 6.4).
    @inlinable public var canRead: Bool { isLeader && commitIndex >= termStartIndex }

    /// When `tick` is due; `.never` for a group that is at rest.
    @inlinable public var nextDeadline: Instant {
        min(min(electionDeadline, retryDeadline), min(commitDeadline, transferDeadline))
    }

    /// How long this campaign may take: with slow disks, longer than an election timeout.
    mutating func campaignTimeout() -> Nanoseconds {
        let base = options.electionTimeout.rawValue << UInt64(min(failedCampaigns, 3))
        return randomised(Nanoseconds(base))
    }

    mutating func randomised(_ base: Nanoseconds) -> Nanoseconds {
        Nanoseconds(base.rawValue + dice.below(max(1, options.electionSpread.rawValue)))
    }

    // MARK: Time

    /// A deadline may have passed.
    public mutating func tick(now: Instant, effects: inout RaftEffects) {
        if now >= electionDeadline, role != .leader {
            if role == .candidate, !votesGranted.contains(selfPosition) {
                // Its disk is slower than the campaign: a new term would only start that again.
                electionDeadline = now + randomised(options.electionTimeout)
                return
            }
            campaign(isPreVote: true, isTransfer: false, now: now, effects: &effects)
        }
        guard role == .leader else { return }
        if now >= transferDeadline { endTransfer(&effects) }
        if now >= retryDeadline { retry(now: now) }
    }

    // MARK: Messages

    /// A message of another replica of the group (or the core's own vote, come back).
    ///
    /// For an `append` the owner keeps the entries' bytes at hand: the effects may ask for them.
    public mutating func step(
        from sender: NodeID, _ message: Message, now: Instant, effects: inout RaftEffects
    ) {
        guard let position = membership.position(of: sender) else { return }
        switch message {
        case .append(let m): onAppend(from: sender, m, now: now, effects: &effects)
        case .appendReply(let m): onAppendReply(from: position, m, now: now, effects: &effects)
        case .heartbeat(let m): onHeartbeat(from: sender, m, now: now, effects: &effects)
        case .heartbeatReply(let m):
            onHeartbeatReply(from: position, m, now: now, effects: &effects)
        case .vote(let m): onVote(from: sender, m, now: now, effects: &effects)
        case .voteReply(let m): onVoteReply(from: position, m, now: now, effects: &effects)
        case .timeoutNow(let m): onTimeoutNow(from: sender, m, now: now, effects: &effects)
        case .resigned(let m):
            if m.term == term, sender == leader { leaderSuspected(now: now) }
        }
    }

    // MARK: Roles

    /// Follows in `newTerm`, of which the leader may be known. Forgets the vote only with a new
    /// term: a vote cleared within a term could be cast twice.
    mutating func becomeFollower(
        _ newTerm: Term, leader newLeader: NodeID, now: Instant, effects: inout RaftEffects
    ) {
        precondition(newTerm >= term, "a term fell")
        if role == .leader {
            // Its followers support its node; they must hear that it leads no more, or they might
            // wait for ever.
            for member in membership.members where member != node {
                effects.messages.append((member, .resigned(.init(term: term))))
            }
            progress = []
            retryDeadline = .never
            commitDeadline = .never
            endTransfer(&effects)
        }
        if newTerm > term {
            hardState = HardState(term: newTerm, vote: .none)
            effects.isHardStateChanged = true
            verifiedIndex = .zero
            acknowledgedIndex = .zero
        }
        if role != .follower || leader != newLeader || effects.isHardStateChanged {
            effects.isRoleChanged = true
        }
        role = .follower
        leader = newLeader
        if !newLeader.isNone { failedCampaigns = 0 }
        isLeaderSupported = !newLeader.isNone
        electionDeadline = newLeader.isNone ? now + randomised(options.electionTimeout) : .never
    }

    /// The leader gives up: its followers are told, so that they need not wait.
    mutating func resign(now: Instant, effects: inout RaftEffects) {
        precondition(role == .leader, "only a leader resigns")
        becomeFollower(term, leader: .none, now: now, effects: &effects)
    }
}
