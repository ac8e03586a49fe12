import KraftRouting
import RaftCore

/// When a group's state is captured, and how its log gives way to the snapshot (dissertation, section
/// 5.1). Each replica does so by itself.
extension Engine {
    private var limits: EngineConfiguration.Snapshots { configuration.snapshots }

    // MARK: Asking

    /// Makes a snapshot of a group's state on this node. Done when it is durable and the log gives way
    /// to it: with its index, and as the reply its size in bytes (8 bytes). Of a state that has one
    /// already, done at once with that.
    public mutating func snapshot(
        _ slot: GroupSlot, token: RequestToken, deadline: Instant, now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        guard groups.indices.contains(slot), isLive[slot], groups[slot].isOpened else {
            return refuse(.local(token), .groupNotFound)
        }
        guard !groups[slot].isStopped, !groups[slot].isDamaged else {
            return refuse(.local(token), .groupStopped)
        }
        guard !groups[slot].isWitness else {
            return refuse(.local(token), .unavailable, leader: groups[slot].raft.leader)
        }
        guard groups[slot].snapshotWaiters.count < Engine.snapshotWaiterLimit else {
            return refuse(.local(token), .overloaded)
        }
        waitingRequests += 1
        groups[slot].snapshotWaiters.append(SnapshotWaiter(token: token, deadline: deadline))
        noteDeadline(deadline, slot)
        considerCapture(slot)
        touch(slot)
    }

    /// Requests for a snapshot of one group that wait.
    private static let snapshotWaiterLimit = 16

    private mutating func answer(_ waiter: SnapshotWaiter, _ reference: SnapshotReference?) {
        waitingRequests -= 1
        let start = effects.replyBytes.count
        effects.replyBytes.write(reference?.byteCount ?? 0)
        complete(
            .local(waiter.token),
            .done(
                index: reference?.name.position.index ?? .zero, replyStart: start, replyCount: 8))
    }

    /// Returns the earliest deadline that is left.
    mutating func expireSnapshotWaiters(of slot: Int, now: Instant) -> Instant {
        guard !groups[slot].snapshotWaiters.isEmpty || groups[slot].nextCapture > now else {
            return .never
        }
        let expired = groups[slot].snapshotWaiters.filter { $0.deadline <= now }
        groups[slot].snapshotWaiters.removeAll { $0.deadline <= now }
        for waiter in expired { drop(waiter, .unavailable) }
        let retry = groups[slot].nextCapture > now ? groups[slot].nextCapture : .never
        return groups[slot].snapshotWaiters.reduce(retry) { min($0, $1.deadline) }
    }

    /// Whether a snapshot that was begun will be made after all isn't known.
    private mutating func drop(_ waiter: SnapshotWaiter, _ refusal: Completion.Refusal) {
        waitingRequests -= 1
        if waiter.name == nil {
            refuse(.local(waiter.token), refusal)
        } else {
            complete(.local(waiter.token), .unknown)
        }
    }

    mutating func dropSnapshotWaiters(of slot: Int, _ refusal: Completion.Refusal) {
        let dropped = groups[slot].snapshotWaiters
        groups[slot].snapshotWaiters = []
        for waiter in dropped { drop(waiter, refusal) }
        let id = groups[slot].id
        let answers = snapshots.answers.filter { $0.reference.name.group == id }
        snapshots.answers.removeAll { $0.reference.name.group == id }
        for waiting in answers { drop(waiting.waiter, refusal) }
    }

    // MARK: When

    /// Puts the group into the queue if a snapshot of it is due.
    mutating func considerCapture(_ slot: Int) {
        guard !groups[slot].isCaptureQueued, isCaptureDue(slot) else { return }
        if groups[slot].isWitness { return compactWitness(slot) }
        groups[slot].isCaptureQueued = true
        snapshots.captureQueue.append((slot, groups[slot].serial))
    }

    private func isCaptureDue(_ slot: Int) -> Bool {
        if groups[slot].isDamaged { return false }
        let applied =
            groups[slot].isWitness ? groups[slot].raft.commitIndex : groups[slot].appliedIndex
        let held = groups[slot].raft.snapshot.index
        if groups[slot].hasSnapshotWaiters { return true }
        guard turnTime >= groups[slot].nextCapture else { return false }
        if groups[slot].isSnapshotRotten { return true }
        guard applied > held else { return false }
        let policy = snapshotPolicy(of: slot)
        return groups[slot].isSnapshotWanted || applied - held >= policy.entryLimit
            || groups[slot].bytesSinceCapture >= policy.sizeLimitBytes
            || policy.interval > .zero && turnTime >= groups[slot].lastCapture + policy.interval
    }

    /// When the group must be looked at because of the time that has passed since its last snapshot.
    func captureDeadline(of slot: Int) -> Instant {
        let interval = snapshotPolicy(of: slot).interval
        guard interval > .zero, groups[slot].capture == nil,
            !groups[slot].isCaptureQueued, groups[slot].isRunning,
            groups[slot].appliedIndex > groups[slot].raft.snapshot.index
        else { return .never }
        return max(groups[slot].lastCapture + interval, groups[slot].nextCapture)
    }

    /// Orders captures of what is due, at the end of a turn: nothing is applied any more before the
    /// driver carries them out.
    mutating func startCaptures() {
        guard !snapshots.captureQueue.isEmpty else { return }
        for _ in 0..<snapshots.captureQueue.count {
            guard snapshots.capturing.count < limits.captureLimit,
                let (slot, serial) = snapshots.captureQueue.popFirst()
            else { return }
            guard isLive[slot], groups[slot].serial == serial else { continue }
            groups[slot].isCaptureQueued = false
            guard groups[slot].isRunning, !groups[slot].isRestoring, groups[slot].capture == nil,
                !groups[slot].isApplying, isCaptureDue(slot)
            else { continue }
            capture(slot)
        }
    }

    private mutating func capture(_ slot: Int) {
        let index = groups[slot].appliedIndex
        if index == groups[slot].raft.snapshot.index, !groups[slot].isSnapshotRotten {
            let waiters = groups[slot].snapshotWaiters
            groups[slot].snapshotWaiters = []
            for waiter in waiters { answer(waiter, groups[slot].snapshot) }
            return
        }
        guard let term = groups[slot].raft.log.term(at: index) else {
            preconditionFailure("applied \(index), which the log doesn't hold")
        }
        let name = SnapshotName(
            group: groups[slot].id, position: EntryPosition(index: index, term: term),
            nonce: dice.next())
        let state = EngineState(
            name: groups[slot].name, incarnation: groups[slot].incarnation,
            epoch: groups[slot].epoch, configuration: groups[slot].raft.configuration(at: index),
            sessions: groups[slot].sessions?.table)
        var writer = ByteWriter()
        state.encode(into: &writer)
        groups[slot].capture = name
        groups[slot].bytesSinceCapture = 0
        groups[slot].lastCapture = turnTime
        groups[slot].isSnapshotRotten = false
        for place in groups[slot].snapshotWaiters.indices {
            groups[slot].snapshotWaiters[place].name = name
        }
        snapshots.capturing.append(name)
        effects.snapshotCaptures.append(
            SnapshotCapture(
                slot: GroupSlot(rawValue: slot), name: name, engineState: writer.bytes))
    }

    // MARK: Captured

    mutating func captured(_ name: SnapshotName, byteCount: UInt64, now: Instant) {
        guard !isFenced else { return }
        snapshots.capturing.removeAll { $0 == name }
        guard let slot = slot(ofGroup: name.group), groups[slot].capture == name else {
            effects.snapshotRemovals.append(name)
            return
        }
        groups[slot].capture = nil
        let reference = SnapshotReference(name: name, byteCount: byteCount)
        guard name.position.index >= groups[slot].raft.snapshot.index else {
            // Another replica's newer one was installed meanwhile.
            effects.snapshotRemovals.append(name)
            answerWaiters(of: slot, for: name, groups[slot].snapshot, batch: log.completed)
            return
        }
        rare.snapshotsCaptured += 1
        counters.snapshotsTaken += 1
        effects.notices.append(
            .snapshotTaken(
                slot: GroupSlot(rawValue: slot), index: name.position.index, byteCount: byteCount))
        let batch = giveWay(slot, to: reference, now: now)
        answerWaiters(of: slot, for: name, reference, batch: batch)
        considerCapture(slot)
        touch(slot)
    }

    private mutating func answerWaiters(
        of slot: Int, for name: SnapshotName, _ reference: SnapshotReference?, batch: UInt64
    ) {
        let waiters = groups[slot].snapshotWaiters.filter { $0.name == name }
        groups[slot].snapshotWaiters.removeAll { $0.name == name }
        for waiter in waiters {
            guard let reference, batch > log.completed else {
                answer(waiter, reference)
                continue
            }
            snapshots.answers.append((batch, waiter, reference))
        }
    }

    mutating func captureFailed(_ name: SnapshotName, reason: String, now: Instant) {
        guard !isFenced else { return }
        snapshots.capturing.removeAll { $0 == name }
        guard let slot = slot(ofGroup: name.group), groups[slot].capture == name else { return }
        groups[slot].capture = nil
        // As much as would make another due at once.
        groups[slot].bytesSinceCapture = snapshotPolicy(of: slot).sizeLimitBytes
        groups[slot].nextCapture = now + .seconds(1)
        groups[slot].lastCapture = .zero
        noteDeadline(groups[slot].nextCapture, slot)
        if name.position.index == groups[slot].raft.snapshot.index {
            groups[slot].isSnapshotRotten = true
        }
        let failed = groups[slot].snapshotWaiters.filter { $0.name == name }
        groups[slot].snapshotWaiters.removeAll { $0.name == name }
        for waiter in failed {
            waitingRequests -= 1
            refuse(.local(waiter.token), .unavailable)
        }
        effects.notices.append(.snapshotFailed(slot: GroupSlot(rawValue: slot), reason: reason))
        touch(slot)
    }

    // MARK: Giving way

    /// A snapshot is durable: the log goes up to a tail. Returns the batch that says so.
    private mutating func giveWay(
        _ slot: Int, to reference: SnapshotReference, now: Instant
    ) -> UInt64 {
        let old = groups[slot].snapshot
        groups[slot].snapshot = reference
        let target = compactionTarget(of: slot, reference.name.position)
        groups[slot].isSnapshotWanted = false
        groups[slot].raft.compact(upTo: target, snapshot: reference.name.position)
        groups[slot].index.drop(upTo: target)
        let batch = writeCheckpoint(of: slot, isReset: false)
        if let old { retire(old, after: batch, now: now) }
        return batch
    }

    /// A witness has no state: what is committed goes, as it is never asked for it.
    private mutating func compactWitness(_ slot: Int) {
        let index = groups[slot].raft.commitIndex
        guard let term = groups[slot].raft.log.term(at: index) else { return }
        groups[slot].bytesSinceCapture = 0
        groups[slot].lastCapture = turnTime
        groups[slot].isSnapshotWanted = false
        groups[slot].raft.compact(
            upTo: index, snapshot: EntryPosition(index: index, term: term))
        groups[slot].index.drop(upTo: index)
        _ = writeCheckpoint(of: slot, isReset: false)
    }

    /// How far the log may go: not what followers that are a little behind, or that are catching up,
    /// will ask for soon.
    private func compactionTarget(of slot: Int, _ position: EntryPosition) -> LogIndex {
        if groups[slot].isSnapshotWanted { return position.index }
        let tail = start(
            of: slot, before: position.index, entries: limits.tailEntries,
            bytes: limits.tailSizeBytes)
        guard let needed = needed(by: slot), needed < tail else { return tail }
        let grace = start(
            of: slot, before: position.index, entries: limits.graceEntries,
            bytes: limits.graceSizeBytes)
        return max(needed, grace)
    }

    /// Where the last entries up to `index` begin that stay within both limits; never before the base.
    private func start(of slot: Int, before index: LogIndex, entries: Int, bytes: Int) -> LogIndex {
        let base = groups[slot].raft.log.base.index
        var start = index - base > entries ? LogIndex(index.rawValue - UInt64(entries)) : base
        var byteCount = 0
        var place = groups[slot].index.runCount
        while place > 0 {
            place -= 1
            let run = groups[slot].index.run(at: place)
            guard run.first <= index else { continue }
            byteCount += Int(run.payloadCount)
            if byteCount > bytes { return max(start, min(run.last, index)) }
            if run.first <= start { break }
        }
        start = max(start, base)
        return start
    }

    /// The entry behind which the slowest follower goes on that can be reached; nil if there is none.
    private func needed(by slot: Int) -> LogIndex? {
        let raft = groups[slot].raft
        guard raft.isLeader else { return nil }
        var needed: LogIndex?
        func note(_ index: LogIndex) { needed = min(needed ?? index, index) }
        for (position, progress) in raft.progress.enumerated()
        where raft.membership.members[position].node != configuration.node {
            switch progress.state {
            case .replicate: note(progress.match)
            case .probe: note(progress.next.previous)
            // Whoever is on its way through a snapshot goes on behind it.
            case .snapshot: note(raft.snapshot.index)
            case .unreachable: break
            }
        }
        for serve in snapshots.serves where serve.reference.name.group == groups[slot].id {
            note(serve.reference.name.position.index)
        }
        return needed
    }

    // MARK: Old files

    /// The file goes when the log has another for it, and nobody fetches it any more.
    mutating func retire(_ reference: SnapshotReference, after batch: UInt64, now: Instant) {
        snapshots.retired.append(
            .init(reference: reference, batch: batch, until: now + limits.retention))
    }

    mutating func removeRetired(now: Instant) {
        guard !snapshots.retired.isEmpty else { return }
        let retired = snapshots.retired
        snapshots.retired.removeAll()
        for old in retired {
            let isFree = !snapshots.isServed(old.reference.name) || now >= old.until
            if old.batch <= log.completed, isFree {
                effects.snapshotRemovals.append(old.reference.name)
            } else {
                snapshots.retired.append(old)
            }
        }
    }

    /// Checkpoints may be durable now.
    mutating func checkpointsWritten(now: Instant) {
        if !snapshots.retired.isEmpty { removeRetired(now: now) }
        guard !snapshots.answers.isEmpty else { return }
        let answers = snapshots.answers
        snapshots.answers.removeAll()
        for waiting in answers {
            if waiting.batch <= log.completed {
                answer(waiting.waiter, waiting.reference)
            } else {
                snapshots.answers.append(waiting)
            }
        }
    }
}
