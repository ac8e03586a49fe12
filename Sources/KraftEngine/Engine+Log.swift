import KraftRouting
import RaftCore

/// The groups' records in the shared log, and what becomes true when they are durable.
extension Engine {
    mutating func writeHardState(of slot: Int) {
        let state = groups[slot].raft.hardState
        let header = RecordHeader(
            kind: .hardState, payloadCount: 0, group: groups[slot].id, index: .zero,
            term: state.term, count: Int(state.vote.rawValue))
        let (position, batch) = log.append(header) { _ in }
        groups[slot].hardStateBatch = batch
        groups[slot].hardStateAt = position
    }

    /// Writes down all that the log says of a group but for its entries behind the base, as it is now;
    /// returns the batch that it is in. Term and vote are durable with it, too.
    ///
    /// - `isReset`: what the log said of the group's entries before is void. Then `index` holds none.
    @discardableResult
    mutating func writeCheckpoint(of slot: Int, isReset: Bool) -> UInt64 {
        precondition(!isReset || groups[slot].index.isEmpty, "a reset with entries")
        let checkpoint = groups[slot].checkpoint(isReset: isReset)
        var writer = ByteWriter()
        checkpoint.encode(into: &writer)
        let header = RecordHeader(
            kind: .checkpoint, payloadCount: writer.count, group: groups[slot].id,
            index: checkpoint.base.index, term: checkpoint.base.term, count: 0)
        let (position, batch) = write(header, writer)
        groups[slot].hardStateBatch = batch
        groups[slot].hardStateAt = position
        groups[slot].metadataAt = position
        reclaim.isLookWorthwhile = true
        return batch
    }

    /// What the log says of the node itself, once more. Returns where the first part stands.
    mutating func writeNodeLists() -> LogPosition {
        var first: LogPosition?
        for part in nodeLists.parts() {
            var writer = ByteWriter()
            part.encode(into: &writer)
            let header = RecordHeader(
                kind: .nodeLists, payloadCount: writer.count, group: GroupID(0), index: .zero,
                term: .zero, count: 0)
            let position = write(header, writer).position
            first = first ?? position
        }
        guard let first else { preconditionFailure("no lists") }
        return first
    }

    private mutating func write(
        _ header: RecordHeader, _ payload: ByteWriter
    ) -> (position: LogPosition, batch: UInt64) {
        log.append(header) { target in
            payload.bytes.withUnsafeBytes { bytes in
                if let source = bytes.baseAddress {
                    target.copyMemory(from: source, byteCount: bytes.count)
                }
            }
        }
    }

    /// A record of the node itself; `about` names the node that it speaks of.
    mutating func writeRecord(
        _ kind: RecordKind, _ content: some BinaryCodable, about node: NodeID = .none
    ) -> UInt64 {
        var writer = ByteWriter()
        content.encode(into: &writer)
        let header = RecordHeader(
            kind: kind, payloadCount: writer.count, group: GroupID(0), index: .zero,
            term: .zero, count: Int(node.rawValue))
        return write(header, writer).batch
    }

    /// Writes entries that the core took in: a new leader's own, or those of a message.
    mutating func writeEntries(
        _ append: RaftEffects.AppendedEntries, of slot: Int, from entries: UnsafeRawBufferPointer
    ) {
        if append.isTruncation { rare.truncations += 1 }
        switch append.source {
        case .noOp:
            writeRun(
                slot, first: append.first, term: append.term, count: 1,
                payloadCount: LogFormat.entryHeaderSize, isTruncation: append.isTruncation
            ) { target in
                target.storeBytes(of: 0, as: UInt32.self)
                target.storeBytes(of: EntryKind.noOp.rawValue, toByteOffset: 4, as: UInt8.self)
            }
        case .membership:
            let payload = groups[slot].raft.membership.encoded
            writeRun(
                slot, first: append.first, term: append.term, count: 1,
                payloadCount: LogFormat.entryHeaderSize + payload.count,
                isTruncation: append.isTruncation
            ) { target in
                target.storeBytes(of: UInt32(payload.count).littleEndian, as: UInt32.self)
                target.storeBytes(
                    of: EntryKind.membership.rawValue, toByteOffset: 4, as: UInt8.self)
                payload.withUnsafeBytes {
                    (target + LogFormat.entryHeaderSize).copyMemory(
                        from: $0.baseAddress!, byteCount: $0.count)
                }
            }
        case .message(let skipped):
            let start = EntryRun.size(entries, count: skipped)
            let tail = UnsafeRawBufferPointer(rebasing: entries[start...])
            writeRun(
                slot, first: append.first, term: append.term, count: append.count,
                payloadCount: tail.count, isTruncation: append.isTruncation
            ) { target in
                if let source = tail.baseAddress {
                    target.copyMemory(from: source, byteCount: tail.count)
                }
            }
        }
    }

    /// One record of entries, whose bytes `fill` writes: the one copy that log, sockets and
    /// `apply` read.
    mutating func writeRun(
        _ slot: Int, first: LogIndex, term: Term, count: Int, payloadCount: Int,
        isTruncation: Bool, _ fill: (UnsafeMutableRawPointer) -> Void
    ) {
        let header = RecordHeader(
            kind: .entries, payloadCount: payloadCount, group: groups[slot].id, index: first,
            term: term, count: count)
        let (position, batch) = log.append(header, fill)
        groups[slot].index.append(
            first: first, count: count, position: position, payloadCount: payloadCount)
        if isTruncation {
            forgetMarks(of: slot, from: first)
            orphanPending(of: slot, from: first)
        }
        appended.append(
            AppendedMark(
                batch: batch, slot: slot, serial: groups[slot].serial, last: first + (count - 1)))
        groups[slot].bytesSinceCapture += payloadCount
        counters.entriesAppended += UInt64(count)
    }

    /// Entries from `first` on are overwritten by the record that comes next: those that were on
    /// their way to the disk don't count when they get there, even where index and term will be
    /// the same again.
    private mutating func forgetMarks(of slot: Int, from first: LogIndex) {
        let serial = groups[slot].serial
        for place in appended.indices
        where appended[place].slot == slot && appended[place].serial == serial
            && appended[place].last >= first
        {
            appended[place].last = first.previous
        }
    }

    mutating func logWritten(_ id: LogWrite.ID, now: Instant) {
        guard !isFenced, log.written(id) else { return }
        writeEnded(now: now)
        // What waits was said before what is said now: an acknowledgement must not overtake a
        // rejection, which would seem to take it back.
        releaseDeferred(now: now)
        while let mark = appended.first, mark.batch <= log.completed {
            appended.removeFirst()
            guard isLive[mark.slot], groups[mark.slot].serial == mark.serial else { continue }
            groups[mark.slot].raft.persisted(
                upTo: mark.last, now: now, effects: &raftEffects)
            absorb(mark.slot, now: now)
        }
        while let waiting = durableTokens.first, waiting.batch <= log.completed {
            durableTokens.removeFirst()
            complete(.local(waiting.token), .done(index: .zero, replyStart: 0, replyCount: 0))
        }
        if !joinAnswers.isEmpty { answerJoins() }
        if !declined.isEmpty { answerDeclined(now: now) }
        checkpointsWritten(now: now)
        // The first write tells the disk of this life: now others may hear of it.
        if bootBatch > 0, isIntroduced {
            bootBatch = 0
            updateNodeDeadline()
        }
    }

    // MARK: Reading back

    /// Asks the disk for a group's entry at `index`; the group is looked at again when it is here.
    mutating func requestEntries(_ slot: Int, at index: LogIndex) {
        guard let place = groups[slot].index.place(of: index) else { return }
        let run = groups[slot].index.run(at: place)
        if log.isDamaged(at: run.position, count: Int(run.payloadCount)) {
            fence(
                "entry \(index) of group \(groups[slot].name) at segment "
                    + "\(run.position.segment), offset \(run.position.offset), is damaged",
                now: .zero)
            return
        }
        let serial = groups[slot].serial
        if !readWaiters.contains(where: { $0.slot == slot && $0.serial == serial }) {
            readWaiters.append((slot, serial))
        }
        if let read = log.requestRead(at: run.position, count: Int(run.payloadCount)) {
            rare.readBacks += 1
            effects.logReads.append(read)
        }
    }

    mutating func logRead(
        _ id: LogRead.ID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        guard !isFenced else { return }
        guard log.wasRead(id, bytes) else {
            return fence("the log ends before what was written there", now: now)
        }
        let waiters = readWaiters
        readWaiters.removeAll(keepingCapacity: true)
        for waiter in waiters
        where isLive[waiter.slot] && groups[waiter.slot].serial == waiter.serial {
            queueApply(waiter.slot)
            touch(waiter.slot)
        }
    }
}
