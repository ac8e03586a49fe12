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
        /// Entries and their bytes in flight to one follower; one append may go beyond the latter.
        public var appendWindowEntries = 16_384
        public var appendWindowBytes = 8 << 20
        /// How long new members may take to catch up, before the change is given up.
        public var catchUpTimeout = Nanoseconds.seconds(60)
        public init() {}
    }

    /// Options that many replicas hold, in memory once.
    public final class SharedOptions: Sendable {
        let value: Options
        public init(_ value: Options) { self.value = value }
    }

    /// Which members a group has, from an entry of its log on (or before all of them, at index 0).
    public struct Configuration: Hashable, Sendable {
        public var index: LogIndex
        public var membership: Membership
        public init(index: LogIndex, membership: Membership) {
            self.index = index
            self.membership = membership
        }
    }

    /// This replica; it need not be a member (yet, or any more).
    public let replica: Replica
    public var node: NodeID { replica.node }
    private let sharedOptions: SharedOptions
    var options: Options { sharedOptions.value }

    // A node has groups by the hundred thousand: what is small stands side by side.

    /// 1 to 10: the lower, the longer this replica waits before it campaigns, so that others win.
    /// 0: it campaigns only when it is told to.
    public var priority: UInt8 = 10
    /// Others should lead if they can: campaigns later, as with a priority lowered by 3.
    public var isReluctant = false
    /// It was added as a witness; before it has the entry that says so, its membership doesn't show
    /// it.
    public let isBornWitness: Bool
    /// Its removal is committed.
    public internal(set) var isRemoved = false
    public internal(set) var role: Role = .follower
    /// Follower: the leader's node is alive and was heard to lead this term: neither campaign nor
    /// vote against it (section 4.2.3).
    public internal(set) var isLeaderSupported = false
    /// Candidate: whether it was told to campaign, whoever leads.
    var isForcedCampaign = false
    /// Candidate: its own vote is durable. Without that nobody leads, even where it doesn't count:
    /// after a crash it could be cast once more.
    var isOwnVoteDurable = false
    /// Leader: a round of heartbeats that confirms reads is under way.
    var isReadRoundInFlight = false
    /// Leader: the transfer's target was told to campaign.
    var isTransferSent = false
    /// This leader's lease counts no more in this term: its followers were told to elect another.
    var isLeaseRevoked = false
    private var ownPosition: Int8
    /// -1 while it isn't a member.
    var selfPosition: Int {
        get { Int(ownPosition) }
        set { ownPosition = Int8(newValue) }
    }
    /// Campaigns in a row that elected nobody, up to 3: the next ones are given more time.
    var failedCampaigns: UInt8 = 0
    /// Candidate.
    var votesGranted = MemberSet()
    var votesRefused = MemberSet()
    /// `.none` while unknown.
    public internal(set) var leader: NodeID = .none
    public internal(set) var transferTarget: NodeID = .none

    /// The configurations in the log from the last committed one on, ascending. A configuration
    /// holds from where it stands, committed or not (section 4.1).
    public internal(set) var configurations: [Configuration]
    /// The last of them.
    public internal(set) var membership: Membership
    /// The configurations before them, from the one on that held at the log's base.
    var pastConfigurations: [Configuration] = []
    /// The newest state that others may be given; never before the log's base.
    public internal(set) var snapshot: EntryPosition
    public internal(set) var hardState: HardState
    public internal(set) var log: LogTerms
    /// The last entry that is durable here.
    public internal(set) var durableIndex: LogIndex
    public internal(set) var commitIndex: LogIndex
    var leaderID = ReplicaID.initial

    // Follower.
    /// What this node promised its leader by a lease: no vote for another one until then.
    var votesHeldUntil: Instant = .zero
    /// The last entry known to be the same as the leader's of this term.
    var verifiedIndex: LogIndex = .zero
    /// The last index acknowledged to the leader of this term.
    var acknowledgedIndex: LogIndex = .zero

    // Leader.
    /// One for each member, in the membership's order; empty while not leading.
    public internal(set) var progress: [Progress] = []
    /// The first entry of the leader's own term.
    public internal(set) var termStartIndex: LogIndex = .zero
    /// Read sequences: given to the newest ticket, sent in a heartbeat, confirmed by a quorum.
    var requestedRead: UInt64 = 0
    var sentRead: UInt64 = 0
    public internal(set) var confirmedReads: UInt64 = 0
    /// Catching up (section 4.2.1): where this round ends, and when it began.
    var stagingMark: LogIndex = .zero
    var stagingRoundSince: Instant = .zero
    /// Members that a configuration left out, and that were not told yet.
    var dropped: [Replica] = []

    // Timers.
    @usableFromInline var electionDeadline: Instant
    @usableFromInline var retryDeadline: Instant = .never
    @usableFromInline var commitDeadline: Instant = .never
    @usableFromInline var transferDeadline: Instant = .never
    @usableFromInline var stagingDeadline: Instant = .never
    var dice: Dice

    /// A replica with what its disk holds. It starts as a follower that knows no leader.
    ///
    /// - `configurations`: those of the log, ascending; the first is what held before its first
    ///   entry. Everything in `log` counts as durable.
    /// - `snapshot`: the newest state that is durable here, if it is not the log's base.
    /// - `isWitness`: it was added as one.
    /// - `votesHeldUntil`: an earlier life of this node may have promised not to vote until then.
    public init(
        replica: Replica, configurations: [Configuration], hardState: HardState, log: LogTerms,
        snapshot: EntryPosition? = nil, options: SharedOptions, seed: UInt64,
        isWitness: Bool = false, votesHeldUntil: Instant = .zero, now: Instant
    ) {
        guard let last = configurations.last else {
            preconditionFailure("a replica needs a configuration")
        }
        self.replica = replica
        isBornWitness = isWitness
        self.configurations = configurations
        membership = last.membership
        ownPosition = Int8(last.membership.position(of: replica) ?? -1)
        sharedOptions = options
        self.hardState = hardState
        self.log = log
        self.snapshot = snapshot ?? log.base
        precondition(
            log.base.index <= self.snapshot.index && self.snapshot.index <= log.lastIndex,
            "a snapshot beside the log")
        durableIndex = log.lastIndex
        // What a snapshot holds was committed.
        commitIndex = self.snapshot.index
        self.votesHeldUntil = votesHeldUntil
        dice = Dice(seed: seed)
        electionDeadline = .zero
        retireConfigurations()
        armElection(after: options.value.electionTimeout, now: now)
        // Alone, there is nobody to wait for.
        if isAlone { electionDeadline = max(now, votesHeldUntil) }
    }

    /// As above, with options of its own.
    public init(
        replica: Replica, configurations: [Configuration], hardState: HardState, log: LogTerms,
        snapshot: EntryPosition? = nil, options: Options, seed: UInt64, isWitness: Bool = false,
        votesHeldUntil: Instant = .zero, now: Instant
    ) {
        self.init(
            replica: replica, configurations: configurations, hardState: hardState, log: log,
            snapshot: snapshot, options: SharedOptions(options), seed: seed, isWitness: isWitness,
            votesHeldUntil: votesHeldUntil, now: now)
    }

    /// What this replica is; nil while it is no member.
    public var kind: MemberKind? {
        selfPosition < 0 ? nil : membership.kind(of: selfPosition)
    }
    public var isWitness: Bool {
        isBornWitness || membership.witnesses.contains(selfPosition)
    }

    /// The only voter.
    var isAlone: Bool {
        membership.canLead(selfPosition) && membership.voters.count == 1 && !membership.isJoint
    }

    @inlinable public var term: Term { hardState.term }
    @inlinable public var isLeader: Bool { role == .leader }
    @inlinable public var isTransferring: Bool { !transferTarget.isNone }
    /// Whether a ticket for a read can be had: the term has committed an entry (section 6.4).
    @inlinable public var canRead: Bool { isLeader && commitIndex >= termStartIndex }

    /// When `tick` is due; `.never` for a group that is at rest.
    @inlinable public var nextDeadline: Instant {
        let leading = min(min(commitDeadline, transferDeadline), stagingDeadline)
        return min(min(electionDeadline, retryDeadline), leading)
    }

    /// Whether this replica may campaign of its own accord.
    var canCampaign: Bool { priority > 0 && canStand }

    /// Whether this replica may campaign at all: until its removal is committed the group may need
    /// it, although its own vote counts no more (section 4.2.2).
    var canStand: Bool {
        guard !isRemoved else { return false }
        if membership.canLead(selfPosition) { return true }
        return configurations.contains { configuration in
            guard let position = configuration.membership.position(of: replica) else {
                return false
            }
            return configuration.membership.canLead(position)
        }
    }

    /// Campaigns after `base` and a random part of the election spread, later with a lower
    /// priority, and not before its promises have run out.
    mutating func armElection(after base: Nanoseconds, now: Instant) {
        let rank = UInt64(10 - min(priority, 10)) + (isReluctant ? 3 : 0)
        let modesty = rank * options.electionSpread.rawValue
        let wait = Nanoseconds(randomised(base).rawValue + modesty)
        electionDeadline = max(now + wait, votesHeldUntil)
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
            guard canCampaign else {
                effects.isAstray = true
                armElection(after: options.electionTimeout, now: now)
                return
            }
            // The last campaign got no answer that counts: are those that it asked still members?
            if role == .preCandidate { effects.isAstray = true }
            if role == .candidate, !isOwnVoteDurable {
                // Its disk is slower than the campaign: a new term would only start that again.
                electionDeadline = now + randomised(options.electionTimeout)
                return
            }
            campaign(.preVote, now: now, effects: &effects)
        }
        guard role == .leader else { return }
        if now >= transferDeadline { transferTimedOut(now: now, effects: &effects) }
        guard role == .leader else { return }
        if now >= retryDeadline { retry(now: now) }
        if now >= stagingDeadline { abandonStaging(&effects) }
    }

    // MARK: Messages

    /// A message of another replica of the group (or the core's own vote, come back).
    ///
    /// For an `append` the owner keeps the entries' bytes at hand: the effects may ask for them. It
    /// names the configurations among them: `memberships`, each with the offset of its entry.
    ///
    /// Whoever asks is answered, member or not: this replica's own view may be the old one (section
    /// 4.1). Answers count only from the very replicas that are members.
    public mutating func step(
        from sender: Replica, _ message: Message,
        memberships: [(offset: Int, membership: Membership)] = [], now: Instant,
        effects: inout RaftEffects
    ) {
        guard !isRemoved else { return }
        let position = membership.position(of: sender) ?? -1
        switch message {
        case .append(let m):
            onAppend(from: sender, m, memberships, now: now, effects: &effects)
        case .appendReply(let m):
            guard position >= 0 else { return }
            onAppendReply(from: position, m, now: now, effects: &effects)
        case .heartbeat(let m): onHeartbeat(from: sender, m, now: now, effects: &effects)
        case .heartbeatReply(let m):
            guard position >= 0 else { return }
            onHeartbeatReply(from: position, m, now: now, effects: &effects)
        case .vote(let m): onVote(from: sender, m, now: now, effects: &effects)
        case .voteReply(let m):
            guard position >= 0 || sender == replica else { return }
            onVoteReply(from: position, m, now: now, effects: &effects)
        case .timeoutNow(let m): onTimeoutNow(from: sender, m, now: now, effects: &effects)
        case .resigned(let m):
            if m.term == term, sender.node == leader { leaderSuspected(now: now) }
        case .removed(let m): onRemoved(m, now: now, effects: &effects)
        case .snapshot(let m): onSnapshot(from: sender, m, now: now, effects: &effects)
        }
    }

    // MARK: Roles

    /// Follows in `newTerm`, of which the leader may be known. Forgets the vote only with a new
    /// term: a vote cleared within a term could be cast twice.
    mutating func becomeFollower(
        _ newTerm: Term, leader newLeader: Replica, now: Instant, effects: inout RaftEffects
    ) {
        precondition(newTerm >= term, "a term fell")
        if role == .leader {
            // Its followers support its node; they must hear that it leads no more, or they might
            // wait for ever.
            for member in membership.members + dropped where member != replica {
                effects.messages.append((member, .resigned(.init(term: term))))
            }
            dropped = []
            progress = []
            retryDeadline = .never
            commitDeadline = .never
            stagingDeadline = .never
            endTransfer(&effects)
        }
        if newTerm > term {
            hardState = HardState(term: newTerm, vote: .none)
            effects.isHardStateChanged = true
            verifiedIndex = .zero
            acknowledgedIndex = .zero
        }
        if role != .follower || leader != newLeader.node || effects.isHardStateChanged {
            effects.isRoleChanged = true
        }
        role = .follower
        leader = newLeader.node
        leaderID = newLeader.id
        isForcedCampaign = false
        if !leader.isNone { failedCampaigns = 0 }
        isLeaderSupported = !leader.isNone
        if leader.isNone {
            armElection(after: options.electionTimeout, now: now)
        } else {
            electionDeadline = .never
        }
    }

    /// The leader gives up: its followers are told, so that they need not wait.
    mutating func resign(now: Instant, effects: inout RaftEffects) {
        precondition(role == .leader, "only a leader resigns")
        becomeFollower(term, leader: .none, now: now, effects: &effects)
    }
}
