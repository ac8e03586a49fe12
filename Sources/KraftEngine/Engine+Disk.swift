import RaftCore

/// What is wrong with the disk, short of what fences the node.
struct DiskTrouble {
    /// The log can't grow for lack of space.
    var isFull = false
    /// It is full, and whoever could lead in this node's place has been asked to: what it still leads
    /// is read-only.
    var isReadOnly = false
    /// When preparations and writes for which there was no space may be tried again.
    var prepareAt = Instant.zero
    var writeAt = Instant.zero
    /// It is the latest preparation that failed, or a write.
    var isPreparationFailed = false
    var isWriteFailed = false
    /// The latest write found no space: nothing can be written down, not even a vote.
    var isUnwritable = false
    /// Several writes in a row took long.
    var isSlow = false
    /// How many writes in a row took long, or didn't.
    var slowWrites = 0
    var quickWrites = 0
    /// When leaderships are offered to others next.
    var shedAt = Instant.never
}

/// A disk that is full, slow or hanging fails nobody: whoever leads hands over to nodes that fare
/// better, and takes part as well as it can. Only where nobody fares better a full node goes on
/// leading, and its groups are read-only.
///
/// A sync that fails is another matter: see `fence`.
extension Engine {
    /// In a row; so many make a disk slow, or end that.
    static let slowWriteLimit = 4
    static let quickWriteLimit = 16

    /// Others should lead.
    var isBurdened: Bool { disk.isFull || disk.isSlow || isDiskStalled }

    /// How the disk does.
    public var diskCondition: DiskCondition {
        if isFenced { return .failed }
        if disk.isFull { return .full }
        if isDiskStalled { return .stalled }
        return disk.isSlow ? .slow : .sound
    }

    /// When something about the disk is due.
    var diskDeadline: Instant {
        var deadline = disk.shedAt
        if let since = logWriteSince, !isDiskStalled {
            deadline = min(deadline, since + configuration.timing.diskStallTimeout)
        }
        if disk.isPreparationFailed { deadline = min(deadline, disk.prepareAt) }
        if disk.isWriteFailed { deadline = min(deadline, disk.writeAt) }
        return deadline
    }

    mutating func checkDisk(now: Instant) {
        if disk.isPreparationFailed, now >= disk.prepareAt { disk.isPreparationFailed = false }
        if disk.isWriteFailed, now >= disk.writeAt {
            disk.isWriteFailed = false
            rare.writesTriedAgain += 1
            logWriteSince = now
        }
        if let since = logWriteSince, !isDiskStalled,
            now >= since + configuration.timing.diskStallTimeout
        {
            diskStalls(now: now)
        }
        if now >= disk.shedAt { shedLeaderships(now: now) }
    }

    // MARK: Hanging

    /// A write of the log that doesn't end: whoever leads here can acknowledge nothing, and others
    /// might.
    private mutating func diskStalls(now: Instant) {
        isDiskStalled = true
        rare.diskStalls += 1
        effects.notices.append(.diskStalled(true))
        for slot in groups.indices where isLive[slot] && groups[slot].raft.isLeader {
            // Alone, there is nobody to lead instead.
            guard groups[slot].raft.membership.members.count > 1 else { continue }
            groups[slot].raft.stepDown(now: now, effects: &raftEffects)
            rare.leadersResigned += 1
            absorb(slot, now: now)
        }
        burdenChanged(now: now)
    }

    /// A write has ended well.
    mutating func writeEnded(now: Instant) {
        let took = logWriteSince.map { now - $0 } ?? .zero
        logWriteSince = nil
        if disk.isUnwritable {
            disk.isUnwritable = false
            for slot in groups.indices where isLive[slot] { touch(slot) }
        }
        if took > configuration.timing.diskSlowTimeout {
            disk.slowWrites += 1
            disk.quickWrites = 0
        } else {
            disk.slowWrites = 0
            disk.quickWrites += 1
        }
        if isDiskStalled {
            isDiskStalled = false
            effects.notices.append(.diskStalled(false))
            burdenChanged(now: now)
            for slot in groups.indices where isLive[slot] { touch(slot) }
        }
        if disk.isFull { checkSpace(now: now) }
        if !disk.isSlow, disk.slowWrites >= Engine.slowWriteLimit {
            disk.isSlow = true
            rare.disksSlow += 1
            effects.notices.append(.diskSlow(true))
            burdenChanged(now: now)
        } else if disk.isSlow, disk.quickWrites >= Engine.quickWriteLimit {
            disk.isSlow = false
            effects.notices.append(.diskSlow(false))
            burdenChanged(now: now)
        }
    }

    // MARK: Full

    mutating func logWriteFailed(
        _ id: LogWrite.ID, _ reason: String, isOutOfSpace: Bool, now: Instant
    ) {
        guard isOutOfSpace else { return fence("a log write failed: \(reason)", now: now) }
        guard !isFenced, log.repeatWrite(id) else { return }
        disk.isWriteFailed = true
        disk.isUnwritable = true
        // Cheap to try, and without it this node can't even vote.
        let timing = configuration.timing
        let pause = min(timing.diskFullPause.rawValue, timing.electionTimeout.rawValue / 2)
        disk.writeAt = now + Nanoseconds(pause)
        // It doesn't hang: the disk answered.
        logWriteSince = nil
        diskIsFull(now: now)
    }

    mutating func segmentFailed(
        _ number: UInt64, _ reason: String, isOutOfSpace: Bool, now: Instant
    ) {
        guard isOutOfSpace else {
            return fence("log segment \(number) could not be prepared: \(reason)", now: now)
        }
        guard !isFenced else { return }
        log.preparationFailed(number)
        disk.isPreparationFailed = true
        disk.prepareAt = now + configuration.timing.diskFullPause
        diskIsFull(now: now)
    }

    mutating func segmentPrepared(_ number: UInt64, now: Instant) {
        log.segmentPrepared(number)
        if disk.isFull { checkSpace(now: now) }
    }

    private mutating func diskIsFull(now: Instant) {
        if !disk.isFull {
            disk.isFull = true
            rare.disksFull += 1
            effects.notices.append(.diskFull(true))
            burdenChanged(now: now)
        }
        updateNodeDeadline()
    }

    /// Space is there again when the next segment is, and no write waits for any: one that is being
    /// tried again may fail again, and whoever took this node for well would hand it what it can't lead.
    private mutating func checkSpace(now: Instant) {
        guard log.isSegmentAhead, !log.isWriteToRepeat, !disk.isUnwritable else { return }
        disk.isFull = false
        disk.isReadOnly = false
        disk.isPreparationFailed = false
        disk.isWriteFailed = false
        effects.notices.append(.diskFull(false))
        burdenChanged(now: now)
        if !declined.isEmpty { answerDeclined(now: now) }
        for slot in groups.indices where isLive[slot] { touch(slot) }
    }

    /// Whether entries of a leader may be taken in; if not, it is told later when they may. What a full
    /// disk has left is kept for terms and votes, and for what frees space.
    var hasLogRoom: Bool {
        guard log.waitingBytes < configuration.limits.logQueueBytes else { return false }
        return !disk.isFull || log.roomBytes > configuration.log.segmentSizeBytes / 4
    }

    // MARK: Letting others lead

    private mutating func burdenChanged(now: Instant) {
        let isBurdened = isBurdened
        for slot in groups.indices where isLive[slot] {
            groups[slot].raft.isReluctant = isBurdened
        }
        // Told at once, so that nobody hands over to one that would hand over again.
        for place in peers.indices where peers[place].isReady { peers[place].nextBeat = now }
        // Not at once: where all disks are full together nobody could even write a vote down, and
        // to hand over would cost the reads as well. Until then others can still commit.
        disk.shedAt = isBurdened ? now + configuration.timing.diskFullPause : .never
        updateNodeDeadline()
    }

    /// Offers what this node leads to members that fare better; again and again, as they may come
    /// back or be behind.
    private mutating func shedLeaderships(now: Instant) {
        disk.isReadOnly = disk.isFull
        disk.shedAt = now + configuration.timing.diskFullPause
        for slot in groups.indices where isLive[slot] && groups[slot].raft.isLeader {
            guard let successor = successor(of: slot, isFit: { !$0.isBurdened && $0.isAlive })
            else { continue }
            rare.leadersShed += 1
            startTransfer(slot, to: successor, now: now)
        }
        updateNodeDeadline()
    }

    /// The member that would best lead a group in this node's place: the one that has most of the
    /// log; the lowest id among equals.
    func successor(of slot: Int, isFit: (Peer) -> Bool) -> NodeID? {
        let raft = groups[slot].raft
        var best: Int?
        for position in raft.progress.indices
        where raft.membership.members[position].node != configuration.node
            && raft.membership.canLead(position)
        {
            guard raft.progress[position].state != .unreachable,
                let place = peerPlace(of: raft.membership.members[position].node),
                isFit(peers[place])
            else { continue }
            if let known = best, raft.progress[known].match >= raft.progress[position].match {
                continue
            }
            best = position
        }
        return best.map { raft.membership.members[$0].node }
    }
}
