import KraftRouting
import RaftCore

/// Taking over a state that came from another replica, and bringing machines to the state of their
/// snapshots (dissertation, section 5.2).
///
/// A crash leaves the old or the new: the file has its name before the log speaks of it, the log's new
/// beginning is one record, and nothing is acknowledged before that is durable.
extension Engine {
    /// A snapshot is durable here, whole and checked.
    mutating func install(
        _ slot: Int, _ reference: SnapshotReference, _ state: EngineState, now: Instant
    ) {
        let position = reference.name.position
        guard !groups[slot].isStopped, !groups[slot].isLeaving else {
            effects.snapshotRemovals.append(reference.name)
            return
        }
        precondition(!groups[slot].isApplying, "installs while the machine is at work")
        let result = groups[slot].raft.install(
            position, state.configuration, now: now, effects: &raftEffects)
        guard result == .reset else {
            // The log holds it and goes on behind it: its entries bring the machine there.
            rare.installsRefused += 1
            effects.snapshotRemovals.append(reference.name)
            return absorb(slot, now: now)
        }
        rare.snapshotsInstalled += 1
        counters.snapshotsInstalled += 1
        effects.notices.append(
            .snapshotInstalled(
                slot: GroupSlot(rawValue: slot), index: position.index,
                byteCount: reference.byteCount))
        let old = groups[slot].snapshot
        groups[slot].snapshot = reference
        groups[slot].isSnapshotRotten = false
        let batch = beginAnew(slot, behind: position)
        if let old { retire(old, after: batch, now: now) }
        if groups[slot].isOpened { restore(slot) }
        absorb(slot, now: now)
    }

    /// A witness is given no state: its log begins anew, and that is all.
    mutating func installWitness(_ slot: Int, _ offer: Message.Snapshot, now: Instant) {
        let result = groups[slot].raft.install(
            offer.position, offer.configuration, now: now, effects: &raftEffects)
        if result == .reset {
            rare.snapshotsInstalled += 1
            _ = beginAnew(slot, behind: offer.position)
        }
        absorb(slot, now: now)
    }

    /// What the log says of the group's entries is void. Durable when the batch is that this returns.
    private mutating func beginAnew(_ slot: Int, behind position: EntryPosition) -> UInt64 {
        settlePending(slot, upTo: position.index)
        groups[slot].index = EntryIndex()
        groups[slot].bytesSinceCapture = 0
        let serial = groups[slot].serial
        appended.removeAll { $0.slot == slot && $0.serial == serial }
        let batch = writeCheckpoint(of: slot, isReset: true)
        appended.append(
            AppendedMark(batch: batch, slot: slot, serial: serial, last: position.index))
        return batch
    }

    /// The entries up to `last` won't be applied one by one here. Who waits for one of them can't be
    /// told whether it was his that was committed; the rest may live on elsewhere.
    private mutating func settlePending(_ slot: Int, upTo last: LogIndex) {
        orphanPending(of: slot, from: LogIndex(1))
        let orphaned = groups[slot].orphaned
        groups[slot].orphaned = orphaned.filter { $0.index > last }
        for orphan in orphaned where orphan.index <= last {
            groups[slot].pendingBytes -= orphan.byteCount
            if case .gone = orphan.origin { continue }
            waitingRequests -= 1
            rare.proposalsJumpedOver += 1
            complete(orphan.origin, .unknown)
        }
    }

    // MARK: Restoring

    /// Has the machine brought to the group's newest snapshot.
    mutating func restore(_ slot: Int) {
        guard let snapshot = groups[slot].snapshot, groups[slot].restoring == nil,
            !groups[slot].isDamaged
        else { return }
        groups[slot].restoring = snapshot.name
        effects.snapshotRestores.append(
            SnapshotRestore(slot: GroupSlot(rawValue: slot), name: snapshot.name))
    }

    /// Whether the group's machine is being brought to a snapshot: nobody may look at it meanwhile.
    public func isRestoring(_ slot: GroupSlot) -> Bool { groups[slot.rawValue].isRestoring }

    mutating func restored(
        _ slot: GroupSlot, _ name: SnapshotName, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced, isLive[slot], groups[slot].restoring == name else { return }
        groups[slot].restoring = nil
        // Another one was installed meanwhile.
        guard groups[slot].snapshot?.name == name else { return restore(slot) }
        let state: EngineState
        do throws(SnapshotDecoder.Damage) {
            state = try engineState(Array(bytes), of: name)
        } catch {
            return stateLost(slot, reason: error.description, now: now)
        }
        rare.snapshotsRestored += 1
        groups[slot].epoch = state.epoch
        groups[slot].sessions = state.sessions.map { GroupSessions($0, now: now) }
        groups[slot].appliedIndex = name.position.index
        groups[slot].lastCapture = now
        if let finished = state.configuration.membership.finished {
            noteFinished(finished, slot)
        }
        queueApply(slot)
        if !groups[slot].reads.isEmpty { answerReads(slot) }
        considerCapture(slot)
        touch(slot)
    }

    mutating func restoreFailed(
        _ slot: GroupSlot, _ name: SnapshotName, reason: String, now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced, isLive[slot], groups[slot].restoring == name else { return }
        groups[slot].restoring = nil
        guard groups[slot].snapshot?.name == name else { return restore(slot) }
        stateLost(slot, reason: reason, now: now)
    }

    /// The entries that led to the state are gone, and the state too: this replica says no more, in
    /// its next lives too, until another takes its place.
    private mutating func stateLost(_ slot: Int, reason: String, now: Instant) {
        rare.statesLost += 1
        effects.notices.append(.replicaDamaged(slot: GroupSlot(rawValue: slot), reason: reason))
        stopGroup(GroupSlot(rawValue: slot), now: now)
        groups[slot].isDamaged = true
        writeCheckpoint(of: slot, isReset: false)
        touch(slot)
        for place in peers.indices where peers[place].isReady { tellDamage(slot, to: place) }
    }

    // MARK: Going

    /// The group leaves this node; `batch` says so.
    mutating func dropSnapshots(of slot: Int, after batch: UInt64, now: Instant) {
        dropFetches(of: slot, now: now)
        groups[slot].restoring = nil
        if let snapshot = groups[slot].snapshot { retire(snapshot, after: batch, now: now) }
        groups[slot].snapshot = nil
        let id = groups[slot].id
        snapshots.serves.removeAll { $0.reference.name.group == id && $0.reading == nil }
    }

    mutating func tickSnapshots(now: Instant) {
        removeRetired(now: now)
        tickServes(now: now)
        tickFetches(now: now)
        tickBulk(now: now)
    }

    /// When a tick is due for them.
    var snapshotDeadline: Instant {
        var deadline = min(serveDeadline, fetchDeadline)
        for old in snapshots.retired where old.batch <= log.completed {
            deadline = min(deadline, old.until)
        }
        return min(deadline, bulkDeadline)
    }
}
