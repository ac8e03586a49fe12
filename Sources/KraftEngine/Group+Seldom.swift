import RaftCore

/// What most groups don't have, at least while they are idle.
struct SeldomState {
    var orphaned: [PendingProposal] = []
    var parkedUntil: Instant = .zero
    var freshIndex: LogIndex = .zero
    var freshSince: Instant?
    var sessions: GroupSessions?
    var transfer: WaitingTransfer?
    var changes: [WaitingChange] = []
    var finishedChanges: [Membership.FinishedChange] = []
    var damagedMembers: [Replica] = []
    var vouchers: [Voucher] = []
    var nextRepair: Instant = .zero
    var snapshotPolicy: SnapshotPolicy?
    var capture: SnapshotName?
    var nextCapture: Instant = .zero
    var snapshotWaiters: [SnapshotWaiter] = []
    var restoring: SnapshotName?
    var offer: SnapshotOffer?
    var snapshot: SnapshotReference?
}

/// Memory that a group takes only when it has something to put there.
///
/// Pointers, not a class: the group is the only owner, and the hot path should pay for neither
/// reference counts nor exclusivity checks.
struct SeldomBox: ~Copyable {
    private(set) var state: UnsafeMutablePointer<SeldomState>?
    private var histogram: UnsafeMutablePointer<LatencyHistogram>?

    deinit {
        state?.deinitialize(count: 1)
        state?.deallocate()
        histogram?.deinitialize(count: 1)
        histogram?.deallocate()
    }

    /// The state, made if there is none yet.
    mutating func made() -> UnsafeMutablePointer<SeldomState> {
        if let state { return state }
        let new = UnsafeMutablePointer<SeldomState>.allocate(capacity: 1)
        new.initialize(to: SeldomState())
        state = new
        return new
    }

    /// From proposal to commit, on the leader; nil where nothing was proposed.
    var knownLatency: LatencyHistogram? { histogram?.pointee }

    @inline(__always)
    mutating func record(latency: Nanoseconds) {
        (histogram ?? makeHistogram()).pointee.record(latency)
    }

    @inline(never)
    private mutating func makeHistogram() -> UnsafeMutablePointer<LatencyHistogram> {
        let new = UnsafeMutablePointer<LatencyHistogram>.allocate(capacity: 1)
        new.initialize(to: LatencyHistogram())
        histogram = new
        return new
    }
}

/// Reads as if it were there; only what isn't the default takes memory.
extension Group {
    /// Proposals whose entries were overwritten here, but may live on elsewhere: settled when their
    /// index is applied.
    var orphaned: [PendingProposal] {
        get { seldom.state?.pointee.orphaned ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.orphaned = newValue
        }
    }
    /// A node that was taken for the leader refused: wait until then, or for news.
    var parkedUntil: Instant {
        get { seldom.state?.pointee.parkedUntil ?? .zero }
        set {
            guard newValue != .zero || hasSeldom else { return }
            seldom.made().pointee.parkedUntil = newValue
        }
    }
    /// All that was committed at `freshSince` stands up to `freshIndex`: for reads that may be as
    /// old as that.
    var freshIndex: LogIndex {
        get { seldom.state?.pointee.freshIndex ?? .zero }
        set {
            guard newValue != .zero || hasSeldom else { return }
            seldom.made().pointee.freshIndex = newValue
        }
    }
    var freshSince: Instant? {
        get { seldom.state?.pointee.freshSince }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.freshSince = newValue
        }
    }
    /// Nil until the group's first session is opened. An object: whoever gets it changes the table
    /// where it lies.
    var sessions: GroupSessions? {
        get { seldom.state?.pointee.sessions }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.sessions = newValue
        }
    }
    var transfer: WaitingTransfer? {
        get { seldom.state?.pointee.transfer }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.transfer = newValue
        }
    }
    /// Changes of members that have not begun.
    var changes: [WaitingChange] {
        get { seldom.state?.pointee.changes ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.changes = newValue
        }
    }
    /// Changes of members that were seen to end, oldest first.
    var finishedChanges: [Membership.FinishedChange] {
        get { seldom.state?.pointee.finishedChanges ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.finishedChanges = newValue
        }
    }
    /// Members that said of themselves that they are damaged.
    var damagedMembers: [Replica] {
        get { seldom.state?.pointee.damagedMembers ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.damagedMembers = newValue
        }
    }
    /// Of members that this node added as the leader.
    var vouchers: [Voucher] {
        get { seldom.state?.pointee.vouchers ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.vouchers = newValue
        }
    }
    /// The leader takes the next step of a repair not before then.
    var nextRepair: Instant {
        get { seldom.state?.pointee.nextRepair ?? .zero }
        set {
            guard newValue != .zero || hasSeldom else { return }
            seldom.made().pointee.nextRepair = newValue
        }
    }
    /// Nil: as the configuration says.
    var snapshotPolicy: SnapshotPolicy? {
        get { seldom.state?.pointee.snapshotPolicy }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.snapshotPolicy = newValue
        }
    }
    /// A snapshot that is being made.
    var capture: SnapshotName? {
        get { seldom.state?.pointee.capture }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.capture = newValue
        }
    }
    /// After a failed one: not before then.
    var nextCapture: Instant {
        get { seldom.state?.pointee.nextCapture ?? .zero }
        set {
            guard newValue != .zero || hasSeldom else { return }
            seldom.made().pointee.nextCapture = newValue
        }
    }
    /// Who asked for one.
    var snapshotWaiters: [SnapshotWaiter] {
        get { seldom.state?.pointee.snapshotWaiters ?? [] }
        set {
            guard !newValue.isEmpty || hasSeldom else { return }
            seldom.made().pointee.snapshotWaiters = newValue
        }
    }
    /// The machine is being brought to this one's state: nothing is applied to or asked of it.
    var restoring: SnapshotName? {
        get { seldom.state?.pointee.restoring }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.restoring = newValue
        }
    }
    /// The last snapshot that a leader offered, while this replica needs it.
    var offer: SnapshotOffer? {
        get { seldom.state?.pointee.offer }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.offer = newValue
        }
    }
    /// The newest snapshot that is durable here.
    var snapshot: SnapshotReference? {
        get { seldom.state?.pointee.snapshot }
        set {
            guard newValue != nil || hasSeldom else { return }
            seldom.made().pointee.snapshot = newValue
        }
    }

    private var hasSeldom: Bool { seldom.state != nil }

    // Asked in every turn: no array is handed out for that.
    var hasOrphaned: Bool { !(seldom.state?.pointee.orphaned.isEmpty ?? true) }
    var hasSnapshotWaiters: Bool { !(seldom.state?.pointee.snapshotWaiters.isEmpty ?? true) }
    var hasDamagedMembers: Bool { !(seldom.state?.pointee.damagedMembers.isEmpty ?? true) }
}
