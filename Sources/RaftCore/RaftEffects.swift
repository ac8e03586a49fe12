/// What one call into the core wants done. One buffer serves all groups of a node.
public struct RaftEffects: Sendable {
    /// To be sent in order; see `Message.mustWaitForDurability`. A message to the core's own node
    /// is its own vote: it comes back by `step` once it may leave.
    public var messages: [(to: Replica, message: Message)] = []
    /// Term or vote changed: write `Raft.hardState` before the next message that must wait.
    public var isHardStateChanged = false
    /// Write these entries behind `first - 1`, where all from `first` on is void from now.
    public var append: AppendedEntries?
    public var isCommitAdvanced = false
    /// The leader's log holds no more what this replica needs next: fetch this state, and tell by
    /// `Raft.install` when it is durable. A witness needs no state and installs at once.
    public var offer: Message.Snapshot?
    /// Role, leader or term changed, or a transfer began or ended.
    public var isRoleChanged = false
    /// Reads with a ticket up to `Raft.confirmedReads` may be answered.
    public var isReadConfirmed = false

    /// Who is a member changed, on this replica's log: `Raft.membership`.
    public var isMembershipChanged = false
    /// This replica knows no leader and can't find one: it may have been left behind. Every node
    /// that can be reached should be asked (`Raft.onInquiry`).
    public var isAstray = false
    /// This replica is no member any more, and never will be again: it can go once it has applied
    /// what is committed.
    public var isRemoved = false

    /// The message that was stepped can't be true while all replicas keep what they acknowledged: a
    /// second leader of a term, an entry against a committed one, or less than was acknowledged. It
    /// was dropped. Some replica has lost its memory.
    public var isContradicted = false

    public init() {}

    public mutating func removeAll() {
        if !messages.isEmpty { messages.removeAll(keepingCapacity: true) }
        isHardStateChanged = false
        append = nil
        if offer != nil { offer = nil }
        isCommitAdvanced = false
        isRoleChanged = false
        isReadConfirmed = false
        isMembershipChanged = false
        isRemoved = false
        isAstray = false
        isContradicted = false
    }

    /// Entries that the core took into its log.
    public struct AppendedEntries: Hashable, Sendable {
        public var first: LogIndex
        public var count: Int
        public var term: Term
        /// Which bytes: the entry that a new leader makes itself, `Raft.membership`, or those of the
        /// message that is being stepped, without as many at its front.
        public var source: Source
        /// Whether entries from `first` on were dropped for these.
        public var isTruncation: Bool

        public enum Source: Hashable, Sendable {
            case noOp
            case membership
            case message(skipping: Int)
        }
    }
}

/// What must be durable of a replica besides its log (section 3.8, figure 3.1).
public struct HardState: Hashable, Sendable {
    public var term: Term
    public var vote: NodeID

    public init(term: Term = .zero, vote: NodeID = .none) {
        self.term = term
        self.vote = vote
    }
}
