import DequeModule
import KraftRouting
import RaftCore

/// One node, whole: groups, the shared log, framing, liveness and requests, as one deterministic
/// value. It does no IO and reads no clock; a driver brings events and carries out `effects`.
///
/// A turn: any number of `step` and request calls, `endTurn`, then `nextApply` and `applied` until
/// there is nothing more to apply; then the driver carries out `effects` and clears them. The same
/// events give the same effects, whatever the process.
///
/// Where to read on: `Engine+Links` (connections, handshake, liveness), `Engine+Messages` (groups'
/// messages and the durability rule), `Engine+Log`, `Engine+Proposals`, `Engine+Reads`,
/// `Engine+Apply`, `Engine+Groups`.
public struct Engine: ~Copyable {
    public var effects = Effects()

    let configuration: EngineConfiguration
    let wire: any WireFormat
    let raftOptions: Raft.SharedOptions
    let boot: UInt64
    var dice: Dice

    // Groups.
    var groups = Slab<Group>()
    var isLive: [Bool] = []
    var freeSlots: [Int] = []
    var nextRoom = 0
    var ids = SlotTable()
    var names = SlotTable()
    var tombstones: [GroupName: UInt64] = [:]  // ordered: looked up only
    /// Replicas that were members once: none of them up to this one may live again.
    var formerReplicas: [GroupID: ReplicaID] = [:]  // ordered: looked up only
    /// How changes ended in groups that this node was removed from in this life.
    var formerChanges: [GroupName: [Membership.FinishedChange]] = [:]  // ordered: looked up only
    var nextSerial: UInt64 = 1
    var beginnings = Beginnings()

    // Links.
    var peers: [Peer] = []
    var strangers: [Stranger] = []
    var nextConnection: UInt64 = 2
    var nodeDeadline: Instant
    let bootRecord: BootRecord
    /// The nonces of this node's lives on this folder, by their number.
    var boots: [UInt64: UInt64]  // ordered: looked up only
    let oldestLife: UInt64
    /// The batch of this life's boot record: before it is durable nobody is told of this life.
    var bootBatch: UInt64 = 0
    var joining: Joining
    /// Who asked to join, and is answered when that is durable.
    var joinAnswers: [(batch: UInt64, connection: ConnectionID)] = []
    /// What peers are told of this node.
    var info: String
    var hasLeftCluster = false
    var gathering = Gathering()
    var ownGeneration: UInt64 = 0
    /// What an earlier life promised with its beats may bind until then.
    let votesHeldUntil: Instant
    var logWriteSince: Instant?
    var isDiskStalled = false
    var disk = DiskTrouble()
    /// Groups whose replica here must go.
    var leaving: [Int] = []
    var sparePool: [Block] = []

    // The log, and who waits for it.
    var log: SharedLog
    var appended = Deque<AppendedMark>()
    var deferred = Deque<DeferredMessage>()
    var reclaim: Reclaim
    /// Its log was damaged once: replicas may have lived here of which nothing is known any more.
    public let isForgetful: Bool
    /// Where this life's first batch goes.
    package let lifeStart: LogMark
    var durableTokens = Deque<(batch: UInt64, token: RequestToken)>()
    var readWaiters: [(slot: Int, serial: UInt64)] = []
    var declined: [DeclinedAppend] = []
    /// At most `Limits.repairsAtOnce`, and those that another leader began.
    var repairs: [Repair] = []

    // This turn.
    var raftEffects = RaftEffects()
    var touched: [Int] = []
    var stage = StagingBuffer()
    var awake: [Int] = []
    var nextScan: Instant = .never

    // Applying.
    var applyQueue = Deque<Int>()
    let applyScratch = ApplyScratch(capacity: Engine.applyLimit)
    /// When the turn was ended last.
    var turnTime = Instant.zero
    /// Where session entries are put together.
    var sessionScratch = ByteWriter()

    var snapshots = SnapshotTraffic()

    var waitingRequests = 0
    /// How many groups this node leads.
    public internal(set) var groupsLed = 0
    var isFenced = false
    var isHandingLeadersOver = false
    var counters = NodeMetrics()
    var rare = RareBranches()

    /// Recovers from `directory` what is durable and becomes the node.
    ///
    /// - `boot`: a number that no other life of this node has used (random).
    /// - `seed`: of the engine's own dice.
    ///
    /// Throws `configuration` for limits that can't work, `storage` when the log can't be
    /// believed, `conflict` when it belongs to another node or cluster.
    public init(
        _ configuration: EngineConfiguration, directory: inout some LogDirectory, boot: UInt64,
        seed: UInt64, now: Instant, wire: any WireFormat = StandardWireFormat()
    ) throws(KraftError) {
        try configuration.validate()
        var dice = Dice(seed: seed ^ boot)
        let recovered = try LogRecovery.recover(
            &directory, node: configuration.node, clusterID: configuration.clusterID,
            limits: configuration.log, seed: dice.next())
        let snapshotNames = try directory.snapshotNames()
        self.configuration = configuration.fitted()
        self.wire = wire
        self.boot = boot
        var options = Raft.Options()
        options.electionTimeout = configuration.timing.electionTimeout
        options.electionSpread = configuration.timing.electionSpread
        options.appendWindowEntries = configuration.limits.appendWindowEntries
        options.appendWindowBytes = configuration.limits.appendWindowBytes
        options.catchUpTimeout = configuration.timing.catchUpTimeout
        raftOptions = Raft.SharedOptions(options)
        let store = recovered.store
        // A life whose record is lost counts, too.
        let lives = max(
            recovered.lists.boot?.lives ?? 0, recovered.lists.lives.last?.number ?? 0)
        let promised = recovered.lists.boot?.leaseMilliseconds ?? 0
        let isBootLost = recovered.isEndLost || lives > (recovered.lists.boot?.lives ?? 0)
        bootRecord = BootRecord(
            store: store, lives: lives + 1 + Engine.livesSkipped(by: recovered),
            leaseMilliseconds: configuration.leaseMilliseconds,
            earlierLeaseMilliseconds: isBootLost
                ? max(promised, configuration.leaseMilliseconds) : promised,
            boot: boot)
        log = SharedLog(
            recovered: recovered, node: configuration.node, clusterID: configuration.clusterID,
            life: .init(number: bootRecord.lives, boot: boot), limits: configuration.log,
            seed: dice.next())
        boots = [:]  // ordered: looked up only
        for life in recovered.lists.lives { boots[life.number] = life.boot }
        oldestLife = recovered.lists.lives.first?.number ?? 0
        boots[bootRecord.lives] = boot
        let held = max(
            recovered.lists.boot?.holdMilliseconds ?? 0,
            isBootLost ? bootRecord.holdMilliseconds : 0)
        votesHeldUntil = now + .milliseconds(UInt64(held))
        reclaim = Reclaim(
            firstSegment: recovered.firstSegment, limits: configuration.log)
        isForgetful = recovered.lists.isForgetful || !recovered.damages.isEmpty
        lifeStart = LogMark(position: recovered.end, nextSequence: recovered.nextSequence)
        self.dice = dice
        nodeDeadline = now
        joining = Joining(seeds: configuration.seeds, now: now)
        info = configuration.info
        peers = configuration.peers.filter { $0.node != configuration.node }
            .sorted { $0.node < $1.node }
            .map { Peer($0, now: now, pause: configuration.timing.reconnectMinimum) }
        if recovered.isTailTorn { rare.tornTailsDropped += 1 }
        for damage in recovered.damages {
            rare.damagesFound += 1
            effects.notices.append(
                .damaged(
                    segment: damage.segment, offset: damage.offset, reason: damage.reason))
        }
        for tombstone in recovered.lists.tombstones {
            tombstones[tombstone.name] = tombstone.incarnation
        }
        for former in recovered.lists.formers { formerReplicas[former.group] = former.replica }
        for group in recovered.groups where !QuorumRecovery.isDraft(group.name) {
            let slot = insert(group, now: now)
            if group.isDamaged { touch(slot) }
        }
        let named = groups.indices.compactMap { groups[$0].snapshot?.name }
        for name in snapshotNames where !named.contains(name) {
            // It was captured or fetched, and the log never came to speak of it.
            effects.snapshotRemovals.append(name)
        }
        restoreRoster(recovered, now: now)
        for draft in recovered.groups where QuorumRecovery.isDraft(draft.name) {
            let record = GroupRecord(
                name: draft.name, incarnation: draft.incarnation, replica: draft.replica,
                base: draft.base)
            _ = writeGroup(.groupRemoved, record, draft.id)
        }
        bootBatch = writeRecord(.boot, bootRecord)
    }

    /// When the end of the log is lost, lives may have gone with it that others remember. None of them
    /// must come again, so numbers are left out: more than anybody has lives, and more each time, as
    /// the log goes on in a later segment than it ever did. Nothing that this node still holds counts
    /// then, so it need not know those lives: each of its groups is damaged.
    private static func livesSkipped(by recovered: RecoveredLog) -> UInt64 {
        recovered.isEndLost ? recovered.end.segment << 20 : 0
    }

    /// Whether this life is known to the disk, so that others may be told of it.
    var isIntroduced: Bool { bootBatch <= log.completed }

    // MARK: Turns

    /// Takes in one event. Cheap: work is collected until `endTurn`.
    public mutating func step(_ event: Event, now: Instant) {
        switch event {
        case .tick: tick(now: now)
        case .accepted(let connection): accepted(connection, now: now)
        case .connected(let connection): connected(connection, now: now)
        case .received(let connection, let bytes): received(connection, bytes, now: now)
        case .sent(let connection, let count): sent(connection, count, now: now)
        case .closed(let connection): closed(connection, now: now)
        case .logWritten(let id): logWritten(id, now: now)
        case .segmentPrepared(let number): segmentPrepared(number, now: now)
        case .logRead(let id, let bytes): logRead(id, bytes, now: now)
        case .logWriteFailed(let id, let reason, let isOutOfSpace):
            logWriteFailed(id, reason, isOutOfSpace: isOutOfSpace, now: now)
        case .segmentFailed(let number, let reason, let isOutOfSpace):
            segmentFailed(number, reason, isOutOfSpace: isOutOfSpace, now: now)
        case .logReadFailed(_, let reason): fence("a log read failed: \(reason)", now: now)
        case .snapshotCaptured(let name, let count): captured(name, byteCount: count, now: now)
        case .snapshotCaptureFailed(let name, let reason):
            captureFailed(name, reason: reason, now: now)
        case .snapshotRead(let id, let bytes): snapshotRead(id, bytes, now: now)
        case .snapshotReadFailed(let id, let reason):
            snapshotReadFailed(id, reason: reason, now: now)
        case .snapshotWritten(let id): snapshotWritten(id, now: now)
        case .snapshotWriteFailed(let id, let reason):
            snapshotWriteFailed(id, reason: reason, now: now)
        case .restored(let slot, let name, let bytes): restored(slot, name, bytes, now: now)
        case .restoreFailed(let slot, let name, let reason):
            restoreFailed(slot, name, reason: reason, now: now)
        }
    }

    /// Ends a turn: batches what was collected, and starts the next log write if none is under way.
    public mutating func endTurn(now: Instant) {
        guard !isFenced else { return }
        turnTime = now
        considerGathering(now: now)
        var place = 0
        while place < touched.count {
            finishTurn(of: touched[place], now: now)
            place += 1
        }
        touched.removeAll(keepingCapacity: true)
        if gathering.held.isEmpty { stage.removeAll() }
        if !leaving.isEmpty { removeLeavers(now: now) }
        if log.usedSegments > reclaimBudget || !reclaim.isIdle {
            reclaimSpace()
            guard !isFenced else { return }
        }
        effects.segmentRemovals += log.takeRemovals()
        if now >= disk.prepareAt || log.canRecycle {
            while var preparation = log.takePreparation() {
                if disk.isFull { preparation.isUrgent = true }
                effects.segmentPreparations.append(preparation)
            }
        }
        if let write = now >= disk.writeAt ? log.takeWrite() : nil {
            counters.logWrites += 1
            counters.logBytesWritten += UInt64(write.byteCount)
            effects.logWrites.append(write)
        }
        if logWriteSince == nil, log.waitingBytes > 0, !log.isWriteToRepeat,
            log.isWriteUnderWay || !disk.isFull
        {
            // Also while a segment is being prepared for it.
            logWriteSince = now
            updateNodeDeadline()
        }
        log.trim()
    }

    /// The log can't go on before the segment is there that is being prepared.
    public var isWaitingForSegment: Bool { log.isWaitingForSegment }

    /// When `tick` is due at the latest. `.never` when nothing is.
    public var nextWakeUp: Instant {
        if isFenced { return .never }
        if reclaim.wantsTurn { return turnTime }
        return min(gatheringDeadline, min(nodeDeadline, nextScan))
    }

    private mutating func tick(now: Instant) {
        guard !isFenced else { return }
        if now >= nodeDeadline {
            checkDisk(now: now)
            tickLinks(now: now)
            giveRoomBack()
        }
        if now >= nextScan { scanAwake(now: now) }
    }

    /// Of very many groups that campaign at once: so many, then peers are heard again. A turn that took
    /// longer than they wait for this node would end in campaigns without end.
    private static let ticksPerTurn = 1_024

    /// A few groups a beat, all in turn: those that were busy shall not keep their queues' memory.
    /// Without peers there is no beat: a group gives it back when its last request's time is over.
    private mutating func giveRoomBack() {
        for _ in 0..<min(groups.count, Engine.roomsGivenBack) {
            nextRoom = nextRoom + 1 < groups.count ? nextRoom + 1 : 0
            groups[nextRoom].giveRoomBack()
        }
    }

    private static var roomsGivenBack: Int { 8 }

    /// Looks at the groups of which something is due. Groups at rest aren't in the list.
    private mutating func scanAwake(now: Instant) {
        nextScan = .never
        var kept = 0
        var ticked = 0
        for place in awake.indices {
            let slot = awake[place]
            guard isLive[slot], groups[slot].wakeAt != .never else {
                groups[slot].isAwake = false
                continue
            }
            awake[kept] = slot
            kept += 1
            if groups[slot].wakeAt > now {
                nextScan = min(nextScan, groups[slot].wakeAt)
                continue
            }
            if isTicking(slot), groups[slot].raft.nextDeadline <= now {
                guard ticked < Engine.ticksPerTurn else {
                    nextScan = now
                    continue
                }
                ticked += 1
                groups[slot].raft.tick(now: now, effects: &raftEffects)
                absorb(slot, now: now)
            }
            if groups[slot].requestDeadline <= now { expireRequests(of: slot, now: now) }
            if groups[slot].repairDeadline <= now { repairDue(slot, now: now) }
            touch(slot)
        }
        awake.removeLast(awake.count - kept)
    }

    /// Whether the group's own timers count: not without a state machine; and a node that is about
    /// to go, or can't write its vote down, doesn't campaign.
    func isTicking(_ slot: Int) -> Bool {
        // Who restores a state can't serve it soon: others may.
        let isHindered = isHandingLeadersOver || isDiskStalled || disk.isUnwritable
        return groups[slot].isRunning && !groups[slot].isDamaged
            && (groups[slot].raft.isLeader || !(isHindered || groups[slot].isRestoring))
    }

    /// Has `endTurn` look at the group.
    mutating func touch(_ slot: Int) {
        guard !groups[slot].isTouched else { return }
        groups[slot].isTouched = true
        touched.append(slot)
    }

    private mutating func finishTurn(of slot: Int, now: Instant) {
        guard isLive[slot] else { return }
        groups[slot].isTouched = false
        if groups[slot].stagedCount > 0, !isHolding(slot) { takeStaged(of: slot, now: now) }
        if !groups[slot].parked.isEmpty { unpark(slot, now: now) }
        if groups[slot].stagedCount > 0 {
            if isHolding(slot) {
                hold(slot)
            } else {
                takeStaged(of: slot, now: now)
            }
        }
        if groups[slot].newReads > 0 { askReads(of: slot, now: now) }
        considerCapture(slot)
        if groups[slot].isLeaving, !leaving.contains(slot) { leaving.append(slot) }
        if groups[slot].isDamaged, groups[slot].repairDeadline == .never {
            groups[slot].repairDeadline = now + tellingPause
        }
        if groups[slot].raft.isLeader, !groups[slot].isStopped {
            if needsRepair(slot) { considerRepairs(of: slot, now: now) }
            sendEntries(of: slot)
            groups[slot].raft.flush(now: now, effects: &raftEffects)
            absorb(slot, now: now)
            // The flush itself doesn't call for another look.
            groups[slot].isTouched = false
            if touched.last == slot { touched.removeLast() }
        }
        let raftDeadline = isTicking(slot) ? groups[slot].raft.nextDeadline : .never
        let wakeAt = min(
            min(raftDeadline, groups[slot].requestDeadline),
            min(captureDeadline(of: slot), groups[slot].repairDeadline))
        groups[slot].wakeAt = wakeAt
        guard wakeAt != .never else { return }
        nextScan = min(nextScan, wakeAt)
        if !groups[slot].isAwake {
            groups[slot].isAwake = true
            awake.append(slot)
        }
    }

    /// After a failed write nothing that this node holds in memory may be believed to be durable,
    /// ever: it says no more, and whoever waits is told so.
    mutating func fence(_ reason: String, now: Instant) {
        guard !isFenced else { return }
        isFenced = true
        for slot in groups.indices where isLive[slot] { dropWaiting(of: slot, .nodeStopped) }
        for waiting in durableTokens { complete(.local(waiting.token), .unknown) }
        durableTokens.removeAll()
        for place in peers.indices {
            if case .down = peers[place].link { continue }
            effects.closes.append(peers[place].connection)
            peers[place].link = .down
            guard peers[place].bulk.state != .down else { continue }
            effects.closes.append(peers[place].bulk.connection)
            peers[place].bulk = BulkLink()
        }
        for stranger in strangers { effects.closes.append(stranger.connection) }
        strangers = []
        deferred.removeAll()
        effects.notices.append(.fenced(reason: reason))
    }
}

/// A record went into a batch: when that is durable, the group's entries up to `last` are.
struct AppendedMark {
    var batch: UInt64
    var slot: Int
    var serial: UInt64
    var last: LogIndex
}

/// A message that may leave when a batch is durable.
struct DeferredMessage {
    var batch: UInt64
    var slot: Int
    var serial: UInt64
    var to: Replica
    var message: Message
}

/// Entries that found no room in the log's queue: one a group at most.
struct DeclinedAppend {
    var slot: Int
    var serial: UInt64
    var from: Replica
    var append: Message.Append
}

/// How often rare branches were taken, so that tests can tell whether they reached them.
package struct RareBranches: Sendable {
    package var truncations: UInt64 = 0
    package var appendsDeclined: UInt64 = 0
    package var tornTailsDropped: UInt64 = 0
    package var damagesFound: UInt64 = 0
    package var segmentsReleased: UInt64 = 0
    package var entriesRewritten: UInt64 = 0
    package var checkpointsRewritten: UInt64 = 0
    package var snapshotsWanted: UInt64 = 0
    package var proposalsForwarded: UInt64 = 0
    package var readsForwarded: UInt64 = 0
    package var proposalsParked: UInt64 = 0
    package var outcomesUnknown: UInt64 = 0
    package var proposalsOverwritten: UInt64 = 0
    package var staleRoutes: UInt64 = 0
    package var readBacks: UInt64 = 0
    package var leadersResigned: UInt64 = 0
    package var connectionsReplaced: UInt64 = 0
    package var replicasInvited: UInt64 = 0
    package var replicasRemoved: UInt64 = 0
    package var membershipsChanged: UInt64 = 0
    package var changesForwarded: UInt64 = 0
    package var leaseReads: UInt64 = 0
    package var boundedReads: UInt64 = 0
    package var identitiesRefused: UInt64 = 0
    package var diskStalls: UInt64 = 0
    package var disksFull: UInt64 = 0
    package var disksSlow: UInt64 = 0
    package var writesTriedAgain: UInt64 = 0
    package var leadersShed: UInt64 = 0
    package var sessionRepeats: UInt64 = 0
    package var sessionRepeatsForgotten: UInt64 = 0
    package var sessionsExpired: UInt64 = 0
    package var sessionsRefused: UInt64 = 0
    package var snapshotsCaptured: UInt64 = 0
    package var snapshotsInstalled: UInt64 = 0
    package var snapshotsRestored: UInt64 = 0
    package var snapshotsRenewed: UInt64 = 0
    package var installsRefused: UInt64 = 0
    package var offersMade: UInt64 = 0
    package var offersReceived: UInt64 = 0
    package var fetchesBegun: UInt64 = 0
    package var fetchesResumed: UInt64 = 0
    package var fetchesHeldBack: UInt64 = 0
    package var fetchesDamaged: UInt64 = 0
    package var fetchesAbandoned: UInt64 = 0
    package var proposalsJumpedOver: UInt64 = 0
    package var statesLost: UInt64 = 0
    package var damagesTold: UInt64 = 0
    package var replacementsBegun: UInt64 = 0
    package var replacementsDone: UInt64 = 0
    package var repairsHeldBack: UInt64 = 0
    package var invitationsDoubted: UInt64 = 0
}

extension EngineConfiguration {
    /// An append becomes one record of the follower, which its segments must hold.
    func fitted() -> EngineConfiguration {
        var fitted = self
        fitted.limits.appendSizeBytes = min(limits.appendSizeBytes, log.segmentSizeBytes / 4)
        return fitted
    }

    /// Throws `configuration`, naming the field, for what can't work.
    package func validate() throws(KraftError) {
        func fail(_ field: String, _ reason: String) -> KraftError {
            KraftError(.configuration, "\(field): \(reason)")
        }
        if node.isNone { throw fail("node", "0 is not a node id") }
        guard (1...Hello.clusterIDLimit).contains(clusterID.utf8.count) else {
            throw fail("clusterID", "must have 1 to \(Hello.clusterIDLimit) bytes")
        }
        guard info.utf8.count <= Hello.infoLimit else {
            throw fail("info", "must have at most \(Hello.infoLimit) bytes")
        }
        let ids = peers.map(\.node)
        if ids.contains(.none) { throw fail("peers", "0 is not a node id") }
        for (place, id) in ids.enumerated() where ids[..<place].contains(id) {
            throw fail("peers", "node \(id) twice")
        }
        guard log.segmentSizeBytes % LogFormat.blockSize == 0,
            (64 << 10...1 << 30).contains(log.segmentSizeBytes)
        else {
            throw fail("log.segmentSizeBytes", "must be a multiple of 4096 from 64 KiB to 1 GiB")
        }
        guard limits.commandSizeBytes > 0,
            limits.commandSizeBytes <= min(8 << 20, log.segmentSizeBytes / 4)
        else {
            throw fail(
                "limits.commandSizeBytes", "must be at most a quarter of a segment, and 8 MiB")
        }
        guard (1...8 << 20).contains(limits.appendSizeBytes) else {
            throw fail("limits.appendSizeBytes", "must be at most 8 MiB")
        }
        for (name, value) in [
            ("appendWindowEntries", limits.appendWindowEntries),
            ("appendWindowBytes", limits.appendWindowBytes),
            ("peerQueueBytes", limits.peerQueueBytes),
            ("pendingHandshakes", limits.pendingHandshakes),
            ("repairsAtOnce", limits.repairsAtOnce),
            ("logQueueBytes", limits.logQueueBytes),
            ("pendingRequests", limits.pendingRequests),
            ("pendingProposalsPerGroup", limits.pendingProposalsPerGroup),
            ("pendingBytesPerGroup", limits.pendingBytesPerGroup),
        ] where value < 1 { throw fail("limits.\(name)", "must be at least 1") }
        guard log.budgetSizeBytes > 0 else {
            throw fail("log.budgetSizeBytes", "must be at least 1")
        }
        guard log.cacheSizeBytes >= 0, log.batchSizeBytes >= LogFormat.blockSize else {
            throw fail("log.batchSizeBytes", "must be at least 4096")
        }
        try snapshots.validate()
        guard address.utf8.count <= RosterEntry.addressLimit,
            seeds.allSatisfy({ $0.utf8.count <= RosterEntry.addressLimit })
        else { throw fail("address", "must have at most \(RosterEntry.addressLimit) bytes") }
        guard timing.leaseDuration <= .seconds(60), timing.clockDriftPerMille < 500 else {
            throw fail("timing.leaseDuration", "must be at most 60 s, and the drift below half")
        }
        guard timing.beatInterval > .zero,
            timing.electionTimeout.rawValue >= 2 * timing.beatInterval.rawValue
        else { throw fail("timing.electionTimeout", "must be at least two beat intervals") }
        guard timing.gatherInterval < timing.beatInterval, timing.gatherLeast > 0 else {
            throw fail(
                "timing.gatherInterval", "must be below the beat interval, and the least above 0")
        }
    }
}

extension EngineConfiguration.Snapshots {
    func validate() throws(KraftError) {
        for (name, value) in [
            ("entryLimit", entryLimit), ("sizeLimitBytes", sizeLimitBytes),
            ("captureLimit", captureLimit), ("installLimit", installLimit),
            ("serveLimit", serveLimit), ("bytesPerSecond", bytesPerSecond),
        ] where value < 1 {
            throw KraftError(.configuration, "snapshots.\(name): must be at least 1")
        }
        for (name, value) in [
            ("tailEntries", tailEntries), ("tailSizeBytes", tailSizeBytes),
            ("graceEntries", graceEntries), ("graceSizeBytes", graceSizeBytes),
        ] where value < 0 {
            throw KraftError(.configuration, "snapshots.\(name): must not be negative")
        }
        guard (256...Engine.chunkLimit).contains(chunkSizeBytes) else {
            throw KraftError(
                .configuration, "snapshots.chunkSizeBytes: must be from 256 B to 1 MiB")
        }
    }
}
