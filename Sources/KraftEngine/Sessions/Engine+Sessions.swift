import KraftRouting
import RaftCore

/// Commands that take effect once, however often and through whichever node they are proposed
/// (dissertation section 6.3). A retry is an entry like the first try; what tells them apart is the
/// group's table of sessions, when they are applied.
extension Engine {
    // MARK: Asking

    /// As `propose`, within a session of the group: among all entries with this tag one takes
    /// effect, and each is answered as that one was, with its index.
    ///
    /// Refused with `sessionExpired` when the session isn't open when it is applied. `forgotten` when
    /// the sequence lies too far back to tell, as `SessionTable` bounds it. A `staleRoute` isn't
    /// remembered: the sequence may be used for the same command again.
    public mutating func propose(
        _ slot: GroupSlot, _ command: UnsafeRawBufferPointer, session tag: SessionTag,
        route: Epoch? = nil, token: RequestToken, deadline: Instant, now: Instant
    ) {
        guard tag.isValid else { return refuse(.local(token), .malformed) }
        proposeEntry(slot, .sessionCommand, token: token, deadline: deadline) { writer in
            SessionEntry.write(tag, route: route?.rawValue ?? 0, command, into: &writer)
        }
    }

    /// Opens, touches or closes sessions of the group. Ends like a proposal; the reply is empty, but
    /// for `touch`. Refused with `overloaded` when the group has as many sessions as it may have,
    /// with `sessionTaken` or `sessionExpired` for an id that had another one.
    public mutating func changeSessions(
        _ slot: GroupSlot, _ change: SessionChange, token: RequestToken, deadline: Instant,
        now: Instant
    ) {
        guard change.isValid else { return refuse(.local(token), .malformed) }
        proposeEntry(slot, .session, token: token, deadline: deadline) { writer in
            SessionEntry.write(change, into: &writer)
        }
    }

    private mutating func proposeEntry(
        _ slot: GroupSlot, _ kind: EntryKind, token: RequestToken, deadline: Instant,
        _ fill: (inout ByteWriter) -> Void
    ) {
        var writer = ByteWriter()
        swap(&writer, &sessionScratch)
        writer.removeAll()
        fill(&writer)
        writer.bytes.withUnsafeBytes { payload in
            take(
                slot.rawValue, kind, payload, route: 0, origin: .local(token), deadline: deadline)
        }
        // Memory beyond the ordinary is given back.
        if writer.count <= 64 << 10 { swap(&writer, &sessionScratch) }
    }

    // MARK: Applying

    mutating func changeSessions(
        _ slot: Int, _ index: LogIndex, _ payload: UnsafeRawBufferPointer
    ) {
        guard let change = SessionEntry.change(payload) else {
            preconditionFailure("a session entry that was let into the log can't be read")
        }
        let sessions = sessions(of: slot)
        advanceClock(sessions, slot, by: payload)
        let ending: GroupSessions.Ending
        switch change {
        case .open(let id, let ttl):
            switch sessions.table.open(id, ttl: ttl, at: index) {
            case .opened(let first): ending = .done(index: first, reply: [])
            case .taken: ending = .refused(.sessionTaken)
            case .ended: ending = .refused(.sessionExpired)
            case .full: ending = .refused(.overloaded)
            }
        case .touch(let ids):
            var missing = ByteWriter()
            for id in ids where !sessions.table.touch(id) { missing.write(id.rawValue) }
            ending = .done(index: index, reply: missing.bytes)
        case .close(let id):
            sessions.table.close(id)
            ending = .done(index: index, reply: [])
        }
        sessions.notes.append(.ended(index: index, ending))
    }

    mutating func takeSessionCommand(
        _ slot: Int, _ index: LogIndex, _ payload: UnsafeRawBufferPointer
    ) {
        guard let command = SessionEntry.command(payload) else {
            preconditionFailure("a session command that was let into the log can't be read")
        }
        let sessions = sessions(of: slot)
        advanceClock(sessions, slot, by: payload)
        let note: GroupSessions.Note
        switch sessions.table.fate(of: command.tag) {
        case .new:
            guard command.route == 0 || Epoch(command.route) == groups[slot].epoch else {
                rare.staleRoutes += 1
                sessions.notes.append(.ended(index: index, .refused(.staleRoute)))
                return
            }
            let ticket = sessions.table.record(command.tag, at: index)
            note = .carriedOut(ticket, position: applyScratch.count)
            applyScratch.append(.init(index: index, bytes: command.bytes))
        case .repeated(let first, let reply):
            rare.sessionRepeats += 1
            note = repetition(sessions, command.tag, index, first, reply)
        case .forgotten:
            rare.sessionRepeatsForgotten += 1
            note = .ended(index: index, .forgotten)
        case .expired:
            rare.sessionsRefused += 1
            note = .ended(index: index, .refused(.sessionExpired))
        }
        sessions.notes.append(note)
    }

    private mutating func repetition(
        _ sessions: GroupSessions, _ tag: SessionTag, _ index: LogIndex, _ first: LogIndex,
        _ reply: SessionTable.Reply
    ) -> GroupSessions.Note {
        switch reply {
        case .awaited:
            guard let position = sessions.position(of: tag) else {
                preconditionFailure("a reply is awaited that no work will bring")
            }
            return .repeats(index: index, first: first, position: position)
        case .kept(let bytes): return .ended(index: index, .done(index: first, reply: bytes))
        case .refused: return .ended(index: index, .refused(.malformed))
        case .dropped:
            rare.sessionRepeatsForgotten += 1
            return .ended(index: index, .forgotten)
        }
    }

    private mutating func sessions(of slot: Int) -> GroupSessions {
        if let sessions = groups[slot].sessions { return sessions }
        let sessions = GroupSessions(now: turnTime)
        groups[slot].sessions = sessions
        return sessions
    }

    private mutating func advanceClock(
        _ sessions: GroupSessions, _ slot: Int, by payload: UnsafeRawBufferPointer
    ) {
        let expired = sessions.advance(
            to: SessionEntry.stamp(of: payload), isLeader: groups[slot].raft.isLeader,
            now: turnTime)
        rare.sessionsExpired += UInt64(expired)
    }

    // MARK: Answering

    /// The machine has replied to the work's commands: keeps the replies of those of sessions, and
    /// answers who waits for entries that weren't for the machine.
    mutating func settleSessions(_ slot: Int, _ replies: borrowing ReplyBuffer) {
        guard let sessions = groups[slot].sessions, !sessions.notes.isEmpty else { return }
        for note in sessions.notes {
            switch note {
            case .carriedOut(let ticket, let position):
                guard let range = replies.reply(position) else {
                    sessions.table.finish(ticket, reply: nil)
                    continue
                }
                replies.writer.bytes[range].withUnsafeBytes {
                    sessions.table.finish(ticket, reply: $0)
                }
            case .repeats(let index, let first, let position):
                guard let range = replies.reply(position) else {
                    end(slot, index, .refused(.malformed))
                    continue
                }
                let reply = Array(replies.writer.bytes[range])
                end(slot, index, .done(index: first, reply: reply))
            case .ended(let index, let ending): end(slot, index, ending)
            }
        }
        sessions.notes.removeAll(keepingCapacity: sessions.notes.count <= 256)
    }

    private mutating func end(
        _ slot: Int, _ index: LogIndex, _ ending: GroupSessions.Ending
    ) {
        guard let origin = takePending(slot, at: index) else { return }
        switch ending {
        case .done(let first, let reply):
            let start = effects.replyBytes.count
            effects.replyBytes.write(raw: reply)
            complete(origin, .done(index: first, replyStart: start, replyCount: reply.count))
        case .refused(let refusal):
            refuse(origin, refusal, leader: groups[slot].raft.leader)
        case .forgotten: complete(origin, .forgotten)
        }
    }

    // MARK: Looking

    /// How many sessions are open in a group, as far as this node has applied its log.
    public func sessionCount(of slot: GroupSlot) -> Int {
        groups[slot.rawValue].sessions?.table.count ?? 0
    }

    /// 64-bit hash of a group's sessions: equal on every replica that has applied the same index.
    /// Zero for a group that has never had any.
    package func sessionDigest(of slot: GroupSlot) -> UInt64 {
        groups[slot.rawValue].sessions?.table.digest() ?? 0
    }
}

extension EntryKind {
    /// What an entry of this kind holds besides what a client proposes.
    var proposalHeaderSize: Int {
        switch self {
        case .sessionCommand: SessionEntry.commandHeaderSize
        // Bounded by itself, and no client's command at all.
        case .session: SessionEntry.changeHeaderSize + 8 * SessionChange.touchLimit
        default: 0
        }
    }
}
