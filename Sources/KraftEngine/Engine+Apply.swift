import KraftRouting
import RaftCore

/// Committed entries on their way to the state machines, and the answers on their way back.
extension Engine {
    /// Commands in one piece of work for a state machine.
    static let applyLimit = 4_096

    mutating func queueApply(_ slot: Int) {
        guard !groups[slot].isApplyQueued,
            groups[slot].appliedIndex < groups[slot].raft.commitIndex
        else { return }
        groups[slot].isApplyQueued = true
        applyQueue.append(slot)
    }

    /// The next run of committed commands that a state machine must apply. The driver calls
    /// `applied` for it before it asks again. Nil when nothing is left: then `effects` is whole.
    public mutating func nextApply() -> ApplyWork? {
        while let slot = applyQueue.popFirst() {
            groups[slot].isApplyQueued = false
            guard isLive[slot], groups[slot].isRunning, !groups[slot].isApplying,
                !groups[slot].isWitness, !groups[slot].isRestoring, !isFenced,
                !groups[slot].isDamaged
            else { continue }
            if let work = prepareApply(slot) { return work }
        }
        if !isFenced {
            startCaptures()
            finishSends()
        }
        return nil
    }

    /// Gathers commands from one run; what concerns the engine alone is done here.
    private mutating func prepareApply(_ slot: Int) -> ApplyWork? {
        let first = groups[slot].appliedIndex.next
        let commit = groups[slot].raft.commitIndex
        guard first <= commit, let place = groups[slot].index.place(of: first) else { return nil }
        let run = groups[slot].index.run(at: place)
        guard let payload = log.payload(at: run.position, count: Int(run.payloadCount)) else {
            requestEntries(slot, at: first)
            return nil
        }
        let most = first + (Engine.applyLimit - 1)
        let last = min(min(run.last, commit), most)
        applyScratch.count = 0
        var offset = EntryRun.size(payload, count: first - run.first)
        var index = first
        while index <= last {
            let count = EntryRun.payloadCount(payload, at: offset)
            let start = offset + LogFormat.entryHeaderSize
            let bytes = UnsafeRawBufferPointer(rebasing: payload[start..<(start + count)])
            takeEntry(slot, index, EntryKind(rawValue: payload[offset + 4]), bytes)
            offset = start + count
            index = index.next
        }
        guard applyScratch.count > 0 else {
            settleSessions(slot, ReplyBuffer())
            finishApply(slot, upTo: last)
            return nil
        }
        groups[slot].isApplying = true
        return ApplyWork(
            slot: GroupSlot(rawValue: slot), lastIndex: last,
            batch: CommittedBatch(applyScratch.entries))
    }

    private mutating func takeEntry(
        _ slot: Int, _ index: LogIndex, _ kind: EntryKind?, _ bytes: UnsafeRawBufferPointer
    ) {
        switch kind {
        case .command: applyScratch.append(.init(index: index, bytes: bytes))
        case .routedCommand:
            let epoch = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
            if Epoch(epoch) == groups[slot].epoch {
                let command = UnsafeRawBufferPointer(rebasing: bytes[8...])
                applyScratch.append(.init(index: index, bytes: command))
            } else {
                rare.staleRoutes += 1
                refusePending(slot, at: index, .staleRoute)
            }
        case .descriptor:
            let epoch = Epoch(UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)))
            groups[slot].epoch = max(groups[slot].epoch, epoch)
        case .membership: membershipApplied(slot, bytes)
        case .session: changeSessions(slot, index, bytes)
        case .sessionCommand: takeSessionCommand(slot, index, bytes)
        case .noOp, .withheld, nil: break
        }
    }

    /// An entry was committed, but isn't for the state machine.
    private mutating func refusePending(
        _ slot: Int, at index: LogIndex, _ refusal: Completion.Refusal
    ) {
        guard let origin = takePending(slot, at: index) else { return }
        refuse(origin, refusal, leader: groups[slot].raft.leader)
    }

    /// Who waits on this node for the entry that was committed at `index`; from now on nobody does.
    mutating func takePending(_ slot: Int, at index: LogIndex) -> Origin? {
        var (low, high) = (0, groups[slot].pending.count)
        while low < high {
            let middle = (low + high) / 2
            if groups[slot].pending[middle].index < index {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < groups[slot].pending.count else { return nil }
        let pending = groups[slot].pending[low]
        guard pending.index == index, pending.term == groups[slot].raft.log.term(at: index) else {
            return nil
        }
        if case .gone = pending.origin { return nil }
        forgetPending(slot, low)
        return pending.origin
    }

    /// `work` has been applied; `replies` holds one reply a command.
    public mutating func applied(
        _ work: ApplyWork, replies: borrowing ReplyBuffer, now: Instant
    ) {
        let slot = work.slot.rawValue
        guard isLive[slot], groups[slot].isApplying else { return }
        precondition(replies.count == work.batch.count, "one reply a command")
        groups[slot].isApplying = false
        settleSessions(slot, replies)
        if !groups[slot].pending.isEmpty { answer(work, replies, now: now) }
        groups[slot].commandsApplied += UInt64(work.batch.count)
        groups[slot].bytesApplied += UInt64(work.batch.byteCount)
        finishApply(slot, upTo: work.lastIndex)
    }

    private mutating func answer(
        _ work: ApplyWork, _ replies: borrowing ReplyBuffer, now: Instant
    ) {
        let slot = work.slot.rawValue
        let base = effects.replyBytes.count
        var isCopied = false
        let term = groups[slot].raft.log.term(at: work.lastIndex)
        for (number, entry) in work.batch.entries.enumerated() {
            while let pending = groups[slot].pending.first, pending.index < entry.index {
                dropOverwritten(slot)
            }
            guard let pending = groups[slot].pending.first, pending.index == entry.index else {
                continue
            }
            guard pending.term == term else {
                dropOverwritten(slot)
                continue
            }
            groups[slot].pending.removeFirst()
            groups[slot].pendingBytes -= pending.byteCount
            if case .gone = pending.origin { continue }
            waitingRequests -= 1
            groups[slot].seldom.record(latency: now - pending.proposedAt)
            guard let range = replies.reply(number) else {
                refuse(pending.origin, .malformed)
                continue
            }
            if !isCopied {
                isCopied = true
                effects.replyBytes.write(raw: replies.writer.bytes)
            }
            complete(
                pending.origin,
                .done(
                    index: entry.index, replyStart: base + range.lowerBound,
                    replyCount: range.count))
        }
    }

    /// Another leader's entry was committed in the place of the first pending proposal: it never
    /// took effect, and never will.
    private mutating func dropOverwritten(_ slot: Int) {
        let pending = groups[slot].pending.removeFirst()
        groups[slot].pendingBytes -= pending.byteCount
        if case .gone = pending.origin { return }
        waitingRequests -= 1
        rare.proposalsOverwritten += 1
        refuse(pending.origin, .unavailable, leader: groups[slot].raft.leader)
    }

    /// Entries from `first` on were overwritten: who proposed them waits until it is settled which
    /// entries are committed there.
    mutating func orphanPending(of slot: Int, from first: LogIndex) {
        guard let last = groups[slot].pending.last, last.index >= first else { return }
        var orphaned = groups[slot].orphaned
        while let pending = groups[slot].pending.last, pending.index >= first {
            groups[slot].pending.removeLast()
            orphaned.append(pending)
        }
        groups[slot].orphaned = orphaned
    }

    private mutating func settleOrphans(_ slot: Int, upTo last: LogIndex) {
        let orphaned = groups[slot].orphaned
        groups[slot].orphaned = orphaned.filter { $0.index > last }
        for orphan in orphaned where orphan.index <= last {
            groups[slot].pendingBytes -= orphan.byteCount
            if case .gone = orphan.origin { continue }
            waitingRequests -= 1
            if groups[slot].raft.log.term(at: orphan.index) == orphan.term {
                // It came back by another leader, and took effect; its reply is not at hand.
                complete(orphan.origin, .unknown)
            } else {
                rare.proposalsOverwritten += 1
                refuse(orphan.origin, .unavailable, leader: groups[slot].raft.leader)
            }
        }
    }

    private mutating func finishApply(_ slot: Int, upTo last: LogIndex) {
        if groups[slot].hasOrphaned { settleOrphans(slot, upTo: last) }
        while let pending = groups[slot].pending.first, pending.index <= last {
            dropOverwritten(slot)
        }
        groups[slot].appliedIndex = last
        if !groups[slot].reads.isEmpty { answerReads(slot) }
        if groups[slot].newReads > 0 || groups[slot].isLeaving { touch(slot) }
        queueApply(slot)
        considerCapture(slot)
    }
}

/// Where the engine lists the commands of one piece of work.
final class ApplyScratch {
    private let base: UnsafeMutablePointer<CommittedBatch.Entry>
    private let capacity: Int
    /// Unchecked: only the engine that owns the list uses it.
    @exclusivity(unchecked) var count = 0

    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit { base.deallocate() }

    func append(_ entry: CommittedBatch.Entry) {
        precondition(count < capacity, "more commands than one piece of work holds")
        (base + count).initialize(to: entry)
        count += 1
    }

    var entries: UnsafeBufferPointer<CommittedBatch.Entry> {
        UnsafeBufferPointer(start: base, count: count)
    }
}

/// Committed commands for one state machine.
public struct ApplyWork {
    public let slot: GroupSlot
    /// The group's applied index once these are.
    public let lastIndex: LogIndex
    /// Valid until the engine is called next.
    public let batch: CommittedBatch
}
