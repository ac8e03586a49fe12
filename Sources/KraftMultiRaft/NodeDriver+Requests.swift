extension NodeDriver {
    /// Marks tokens of the loop's own clients.
    static let localBit: UInt64 = 1 << 63

    /// Gives one call's requests to the engine.
    func submit(_ submission: Submission, _ bytes: UnsafeRawBufferPointer) {
        guard let slot = slot(of: submission) else {
            let call = submission.call.takeRetainedValue()
            return call.fail(KraftError(.notFound, "the group was removed", group: call.group))
        }
        if submission.kind == .localRead {
            let call = submission.call.takeRetainedValue()
            guard engine.holdsData(slot) else {
                return call.fail(
                    KraftError(.unavailable, "a witness holds no data", group: call.group))
            }
            return answer(call, slot)
        }
        guard let token = calls.add(retained: submission.call, count: submission.requestCount)
        else {
            let call = submission.call.takeRetainedValue()
            return call.fail(
                KraftError(.overloaded, "too many requests are under way", group: call.group))
        }
        noteNews()
        let command = UnsafeRawBufferPointer(
            rebasing: bytes[submission.start..<submission.start + submission.count])
        switch submission.kind {
        case .propose:
            engine.propose(
                slot, command, route: submission.route, token: token,
                deadline: submission.deadline, now: now)
        case .proposeMany:
            guard let call = submission.call.takeUnretainedValue() as? ProposeManyCall else {
                preconditionFailure("many proposals are a ProposeManyCall")
            }
            proposeMany(call.ends, submission, slot, command, token)
        case .read:
            engine.read(
                slot, submission.freshness, token: token, deadline: submission.deadline, now: now)
        case .localRead: break
        case .proposeInSession: proposeInSession(submission, slot, command, token)
        case .changeSessions:
            guard let call = submission.call.takeUnretainedValue() as? SessionCall else {
                preconditionFailure("a change of sessions is a SessionCall")
            }
            engine.changeSessions(
                slot, call.change, token: token, deadline: submission.deadline, now: now)
        }
    }

    private func proposeInSession(
        _ submission: Submission, _ slot: GroupSlot, _ bytes: UnsafeRawBufferPointer,
        _ token: RequestToken
    ) {
        func load(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        engine.propose(
            slot, UnsafeRawBufferPointer(rebasing: bytes[16...]),
            session: SessionTag(session: SessionID(load(0)), sequence: load(8)),
            route: submission.route, token: token, deadline: submission.deadline, now: now)
    }

    /// A group that was removed from this node and came back may have another slot.
    private func slot(of submission: Submission) -> GroupSlot? {
        func isHere(_ slot: GroupSlot) -> Bool {
            slot.rawValue < groups.count && groups[slot.rawValue]?.id == submission.group
        }
        if isHere(submission.slot) { return submission.slot }
        return engine.slot(of: submission.group).flatMap { isHere($0) ? $0 : nil }
    }

    private func proposeMany(
        _ ends: [Int], _ submission: Submission, _ slot: GroupSlot,
        _ commands: UnsafeRawBufferPointer,
        _ token: RequestToken
    ) {
        var start = 0
        for (position, end) in ends.enumerated() {
            engine.propose(
                slot, UnsafeRawBufferPointer(rebasing: commands[start..<end]),
                route: submission.route, token: token + UInt64(position),
                deadline: submission.deadline, now: now)
            start = end
        }
    }

    // MARK: Clients on the loop

    /// Proposes from the loop itself, with no lock, hop or allocation: for benchmarks. The token is
    /// the client's own, not 0 and below 2^63; `sink` gets its completion.
    package func propose(
        _ slot: GroupSlot, _ command: UnsafeRawBufferPointer, token: RequestToken,
        deadline: Instant
    ) {
        noteNews()
        engine.propose(
            slot, command, token: token | NodeDriver.localBit, deadline: deadline, now: now)
    }

    /// As `propose`, for a read: `sink` is told when it may run, or why it may not.
    package func read(
        _ slot: GroupSlot, _ freshness: ReadFreshness, token: RequestToken, deadline: Instant
    ) {
        noteNews()
        engine.read(
            slot, freshness, token: token | NodeDriver.localBit, deadline: deadline, now: now)
    }

    /// Runs a query on the group's state machine as it is now; nil while that can't be asked, or if
    /// it isn't an `S`.
    package func answer<S: StateMachine & Sendable>(
        _ query: S.Query, of slot: GroupSlot, _ type: S.Type
    ) -> S.Answer? {
        guard let box = groups[slot.rawValue]?.box as? TypedMachineBox<S>, box.readiness == .ready
        else { return nil }
        return box.machine.answer(query)
    }

    package func slot(of name: GroupName) -> GroupSlot? { engine.slot(of: name) }
    package func status(of slot: GroupSlot) -> GroupStatus { engine.status(of: slot) }
    package var nodeMetrics: NodeMetrics { engine.nodeMetrics }
}

/// Where the ends of loop-confined requests are told. Called on the loop; more requests may be made
/// from inside.
package protocol CompletionSink: AnyObject {
    /// A proposal ended, or a read that never became ready.
    func completed(_ token: RequestToken, _ outcome: Completion.Outcome)
    /// A read may run now, and has to at once.
    func readReady(_ token: RequestToken, _ slot: GroupSlot)
}
