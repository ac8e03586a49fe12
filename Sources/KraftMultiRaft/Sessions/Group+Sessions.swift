import KraftLoop

/// Sessions of one group (dissertation section 6.3). What the group keeps of a session is replicated:
/// it holds over changes of leaders, restarts, and through every node.
extension Group {
    /// Opens a session. See `GroupSession` for how long it lives.
    ///
    /// - `ttl`: 1 s to 24 h, in whole milliseconds: how long it may be idle, by the group's clock.
    ///
    /// Throws `overloaded` when the group has as many sessions as it may have (4,096).
    public func openSession(
        ttl: Duration = .seconds(60), timeout: Duration? = nil
    ) async throws(KraftError) -> GroupSession {
        let deadline = ContinuousClock.now + (timeout ?? requestTimeout)
        while true {
            // One id for each try: whichever of them is opened, none is opened twice.
            let id = SessionID.random()
            do throws(KraftError) {
                try await openSession(id, ttl: ttl, timeout: max(.zero, deadline - .now))
                return GroupSession(id: id, group: name, timeToLive: ttl) {
                    change, timeout throws(KraftError) in
                    try await changeSessions(change, timeout: timeout)
                }
            } catch {
                guard error.code == .outcomeUnknown, deadline > .now, !Task.isCancelled else {
                    throw error
                }
            }
        }
    }

    /// As `propose`; the command takes effect once, and is tried again until the deadline while its
    /// outcome is unknown. At most 256 commands of a session are under way; who comes then waits.
    ///
    /// Throws `sessionExpired` when the session has expired, `overloaded` when there is no room in
    /// it in time, `conflict` for a session of another group.
    public func propose(
        _ command: S.Command, session: GroupSession, route: Epoch? = nil,
        timeout: Duration? = nil
    ) async throws(KraftError) -> S.Reply {
        try await proposeIndexed(command, session: session, route: route, timeout: timeout).reply
    }

    /// As `propose`; also says at which index the command stands in the log.
    public func proposeIndexed(
        _ command: S.Command, session: GroupSession, route: Epoch? = nil,
        timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, reply: S.Reply) {
        guard session.group == name else {
            throw KraftError(.conflict, "a session of group \(session.group)", group: name)
        }
        let timeout = timeout ?? requestTimeout
        let deadline = ContinuousClock.now + timeout
        let sequence = try await session.window.take(deadline: deadline)
        defer { session.window.answered(sequence) }
        let tag = SessionTag(session: session.id, sequence: sequence)
        do throws(KraftError) {
            let result = try await propose(command, tag, route, timeout: deadline - .now)
            session.wasUsed()
            return result
        } catch {
            if error.code == .sessionExpired { session.window.close(error) }
            throw error
        }
    }

    // MARK: Numbering by the caller

    /// As `propose(_:session:)`, for who keeps id and sequences himself: over processes, say.
    ///
    /// - `sequence`: from 1, rising with each new command; a retry has the same as its first try, and
    ///   the same command. A number may be used when the one 256 before it has been answered.
    ///
    /// `outcomeUnknown` also when the sequence lies too far back for the group to tell.
    public func proposeIndexed(
        _ command: S.Command, session: SessionID, sequence: UInt64, route: Epoch? = nil,
        timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, reply: S.Reply) {
        let tag = SessionTag(session: session, sequence: sequence)
        return try await propose(command, tag, route, timeout: timeout ?? requestTimeout)
    }

    /// Opens a session of this id: a random number, used for nothing else, never 0. The same again
    /// is harmless. Nobody touches it but its user.
    ///
    /// Throws `conflict` when it is open with another `ttl`, `sessionExpired` when one of this id
    /// has ended.
    public func openSession(
        _ id: SessionID, ttl: Duration, timeout: Duration? = nil
    ) async throws(KraftError) {
        let milliseconds = ttl.components.seconds * 1_000
        guard (Duration.seconds(1)...(.seconds(86_400))).contains(ttl) else {
            throw KraftError(.badRequest, "ttl: must be from 1 s to 24 h", group: name)
        }
        let rest = ttl.components.attoseconds / 1_000_000_000_000_000
        _ = try await changeSessions(
            .open(id, ttlMilliseconds: UInt64(milliseconds + rest)), timeout: timeout)
    }

    /// Counts as a use of each of these sessions (at most 1,024). Says which of them aren't open.
    public func touchSessions(
        _ ids: [SessionID], timeout: Duration? = nil
    ) async throws(KraftError) -> [SessionID] {
        let reply = try await changeSessions(.touch(ids), timeout: timeout)
        var missing: [SessionID] = []
        reply.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            while let id = try? reader.read(UInt64.self) { missing.append(SessionID(id)) }
        }
        return missing
    }

    /// Ends a session; nothing happens when it isn't open.
    public func closeSession(
        _ id: SessionID, timeout: Duration? = nil
    ) async throws(KraftError) {
        _ = try await changeSessions(.close(id), timeout: timeout)
    }

    // MARK: How

    /// The reply of a change of the group's sessions.
    private func changeSessions(
        _ change: SessionChange, timeout: Duration?
    ) async throws(KraftError) -> [UInt8] {
        guard change.isValid else {
            throw KraftError(.badRequest, "session: an id that can't be, or too many", group: name)
        }
        let call = SessionCall(change, group: name)
        let submission = submission(.changeSessions, call, timeout: timeout)
        return try await call.value { queue.submit(submission) }.get()
    }

    /// Tries until the outcome is known, or the deadline has come.
    private func propose(
        _ command: S.Command, _ tag: SessionTag, _ route: Epoch?, timeout: Duration
    ) async throws(KraftError) -> (index: LogIndex, reply: S.Reply) {
        guard tag.isValid else {
            throw KraftError(.badRequest, "sequence: must be from 1 to 2^62 - 1", group: name)
        }
        var writer = ByteWriter(capacity: 80)
        writer.write(tag.session.rawValue)
        writer.write(tag.sequence)
        command.encode(into: &writer)
        let bytes = writer
        let deadline = ContinuousClock.now + timeout
        var retries = SessionRetries(group: name)
        while true {
            let call = ProposeCall(group: name)
            let submission = submission(
                .proposeInSession, call, route: route, timeout: max(.zero, deadline - .now))
            await call.ended { queue.submit(submission, bytes) }
            do throws(KraftError) {
                return (call.index, try call.reply())
            } catch {
                let rest = Task.isCancelled || call.isFinal ? .zero : deadline - .now
                let pause = try retries.pause(after: error, rest: rest)
                try? await Task.sleep(for: pause)
            }
        }
    }
}

/// What to do when a try within a session has failed: a value.
struct SessionRetries {
    let group: GroupName
    /// Some try's outcome is unknown: then no refusal of a later one says what became of it.
    private(set) var isUnknown = false
    private var nextPause: Duration = .milliseconds(10)
    private static let pauseLimit: Duration = .milliseconds(500)

    init(group: GroupName) { self.group = group }

    /// How long to wait before the next try. Throws the error that is to be told when there is none.
    ///
    /// - `rest`: the time that is left.
    mutating func pause(
        after error: KraftError, rest: Duration
    ) throws(KraftError) -> Duration {
        if error.code == .outcomeUnknown { isUnknown = true }
        // Nothing has been left open: all that can be told is told.
        guard isUnknown else { throw error }
        switch error.code {
        // These hold for all tries: a repetition of what was carried out is never refused so.
        case .badRequest, .staleRoute: throw error
        case .outcomeUnknown, .unavailable, .overloaded: break
        default: throw unknown(error)
        }
        guard rest > nextPause else { throw unknown(error) }
        defer { nextPause = min(nextPause * 2, SessionRetries.pauseLimit) }
        return nextPause
    }

    private func unknown(_ error: KraftError) -> KraftError {
        guard error.code != .outcomeUnknown else { return error }
        return KraftError(
            .outcomeUnknown, "the outcome is unknown, and then: \(error.message)", group: group,
            leader: error.leader)
    }
}

extension SessionID {
    /// From the system's randomness; never 0.
    public static func random() -> SessionID { SessionID(.random(in: 1...(.max))) }
}
