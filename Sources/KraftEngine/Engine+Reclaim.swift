import RaftCore

/// The shared log gives its oldest segment back when it takes more than its budget.
///
/// Whatever counts there stands again behind first: of each group what the log says of it but for its
/// entries (a checkpoint), entries where they are few (`rewritten`), and what the log says of the node.
/// A group with many entries there is to be snapshotted instead, so that it needs them no more. Then
/// a record says where the log begins; the segment is needed until that is durable.
///
/// A little is done in each turn. A group whose log doesn't reach back that far costs one comparison.
extension Engine {
    mutating func reclaimSpace() {
        reclaim.wantsTurn = false
        // The disk can't keep up: this can wait.
        guard log.waitingBytes < configuration.limits.logQueueBytes / 2 else { return }
        var bytesLeft = Reclaim.bytesPerTurn
        if reclaim.isUrgent { bytesLeft *= 4 }
        let before = log.appendedBytes
        var isGoingOn = true
        while isGoingOn { isGoingOn = reclaimStep(&bytesLeft) }
        reclaim.movedBytes += log.appendedBytes - before
    }

    /// How many segments the log may take. On a full disk any that can be given back is one that needs
    /// no new space, as long as there is room to write again what still counts there.
    var reclaimBudget: Int {
        let budget = reclaim.budgetSegments
        guard disk.isFull, log.roomBytes > configuration.log.segmentSizeBytes / 2 else {
            return budget
        }
        return min(budget, max(1, log.usedSegments - 1))
    }

    /// Takes the next step; false when this turn should bring no other.
    private mutating func reclaimStep(_ bytesLeft: inout Int) -> Bool {
        switch reclaim.stage {
        case .idle:
            guard log.usedSegments > reclaimBudget, log.isAtRest(log.firstSegment)
            else { return false }
            reclaim.victim = log.firstSegment
            reclaim.allowance = reclaim.segmentLimit
            lookAnew()
            return true
        case .looking(let slot): return look(from: slot)
        case .moving(let slot): return moveRuns(then: slot, &bytesLeft)
        case .waiting:
            guard reclaim.isLookWorthwhile || isReclaimUrgent && !reclaim.isUrgent else {
                return false
            }
            lookAnew()
            return true
        case .ending(let batch):
            guard log.completed >= batch, log.isAtRest(reclaim.victim) else { return false }
            log.release(before: reclaim.victim + 1)
            rare.segmentsReleased += 1
            reclaim.stage = .idle
            return true
        }
    }

    private mutating func lookAnew() {
        reclaim.stage = .looking(0)
        reclaim.isHeld = false
        reclaim.isLookWorthwhile = false
        reclaim.isUrgent = isReclaimUrgent
    }

    /// Whether all is to be written again, whoever it belongs to. Where most of the log counts that
    /// gains little, and has no end where all of it does: it must be paid for by what comes new.
    private var isReclaimUrgent: Bool {
        let fresh = log.appendedBytes - reclaim.movedBytes
        return log.usedSegments >= reclaim.urgentSegments
            && reclaim.movedBytes < 4 * fresh + reclaim.freeBytes
    }

    // MARK: Looking

    private mutating func look(from start: Int) -> Bool {
        let end = min(groups.count, start + Reclaim.looksPerTurn)
        for slot in start..<max(start, end) {
            guard isLive[slot], groups[slot].oldestSegment <= reclaim.victim else { continue }
            look(at: slot)
            if reclaim.runs.count >= Reclaim.runLimit {
                reclaim.stage = .moving(then: slot + 1)
                return true
            }
        }
        if !reclaim.runs.isEmpty {
            reclaim.stage = .moving(then: end)
            return true
        }
        guard end >= groups.count else {
            reclaim.stage = .looking(end)
            reclaim.wantsTurn = true
            return false
        }
        finishLooking()
        return true
    }

    private mutating func look(at slot: Int) {
        let victim = reclaim.victim
        if min(groups[slot].metadataAt, groups[slot].hardStateAt).segment <= victim {
            rare.checkpointsRewritten += 1
            writeCheckpoint(of: slot, isReset: false)
        }
        // A truncation may have left nothing of a run but what was compacted away.
        groups[slot].index.drop(upTo: groups[slot].raft.log.base.index)
        if groups[slot].index.byteCount(in: victim) > reclaim.groupLimit { dropTail(of: slot) }
        let held = groups[slot].index.byteCount(in: victim)
        guard held > 0 else { return }
        if held > reclaim.groupLimit || held > reclaim.allowance {
            if !groups[slot].isSnapshotWanted {
                groups[slot].isSnapshotWanted = true
                rare.snapshotsWanted += 1
                touch(slot)
                reclaim.wantsTurn = true
            }
            // What is urgent doesn't wait for it, but it must come: else all would go round for ever.
            guard reclaim.isUrgent else {
                reclaim.isHeld = true
                return
            }
        }
        reclaim.allowance -= held
        for place in 0..<groups[slot].index.runCount {
            let run = groups[slot].index.run(at: place)
            guard run.segment == victim else { continue }
            reclaim.runs.append(
                .init(
                    position: run.position, slot: slot, serial: groups[slot].serial,
                    first: run.first))
        }
    }

    /// Entries that a snapshot covers are kept for followers that are a little behind: these must do
    /// without.
    private mutating func dropTail(of slot: Int) {
        let raft = groups[slot].raft
        let snapshot = raft.snapshot
        guard snapshot.index > raft.log.base.index, snapshot.index <= raft.commitIndex,
            groups[slot].isWitness
                || groups[slot].snapshot?.name.position == snapshot
                    && groups[slot].appliedIndex >= snapshot.index
        else { return }
        groups[slot].raft.compact(upTo: snapshot.index, snapshot: snapshot)
        groups[slot].index.drop(upTo: snapshot.index)
        writeCheckpoint(of: slot, isReset: false)
    }

    /// All groups were looked at, and what was to be written again has been.
    private mutating func finishLooking() {
        guard !reclaim.isHeld else {
            reclaim.stage = .waiting
            return
        }
        // The one line that all depends on: nobody needs the segment any more.
        let isNeeded = groups.indices.contains {
            isLive[$0] && groups[$0].oldestSegment <= reclaim.victim
        }
        guard !isNeeded else { return lookAnew() }
        if reclaim.listsSegment <= reclaim.victim {
            reclaim.listsSegment = writeNodeLists().segment
        }
        reclaim.stage = .ending(log.appendStart(reclaim.victim + 1))
    }

    // MARK: Moving

    private mutating func moveRuns(then slot: Int, _ bytesLeft: inout Int) -> Bool {
        if reclaim.nextRun == 0 { reclaim.runs.sort { $0.position < $1.position } }
        while reclaim.nextRun < reclaim.runs.count {
            guard bytesLeft > 0 else {
                reclaim.wantsTurn = true
                return false
            }
            guard let written = move(reclaim.runs[reclaim.nextRun]) else { return false }
            bytesLeft -= written
            reclaim.nextRun += 1
        }
        reclaim.runs.removeAll(keepingCapacity: true)
        reclaim.nextRun = 0
        reclaim.stage = .looking(slot)
        return true
    }

    /// Writes a run again; returns how many bytes that took, or nil while they are to be read back.
    private mutating func move(_ moved: Reclaim.Run) -> Int? {
        let slot = moved.slot
        guard isLive[slot], groups[slot].serial == moved.serial,
            let place = groups[slot].index.place(of: moved.first)
        else { return 0 }
        let run = groups[slot].index.run(at: place)
        guard run.position == moved.position, run.last > groups[slot].raft.log.base.index else {
            return 0
        }
        guard let payload = log.payload(at: run.position, count: Int(run.payloadCount)) else {
            requestEntries(slot, at: run.first)
            return nil
        }
        // What was compacted away stays behind.
        let first = max(run.first, groups[slot].raft.log.firstIndex)
        let start = EntryRun.size(payload, count: first - run.first)
        let rest = UnsafeRawBufferPointer(rebasing: payload[start...])
        let count = run.last - first + 1
        let size = EntryRun.size(rest, count: count)
        guard let term = groups[slot].raft.log.term(at: run.last) else {
            preconditionFailure("entries that the log doesn't hold")
        }
        // The bytes may lie where the log's own memory is trimmed from; they are copied at once.
        let header = RecordHeader(
            kind: .rewritten, payloadCount: size, group: groups[slot].id, index: first, term: term,
            count: count)
        let position = log.append(header) { target in
            if let source = rest.baseAddress { target.copyMemory(from: source, byteCount: size) }
        }.position
        groups[slot].index.replace(
            first: first, count: count, position: position, payloadCount: size)
        rare.entriesRewritten += UInt64(count)
        return LogFormat.recordSize(payload: size)
    }
}
