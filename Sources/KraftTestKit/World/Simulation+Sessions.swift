import KraftEngine
import RaftCore

/// Sessions of groups: asking, and what the oracle is told of each try.
extension Simulation {
    /// Opens, touches or closes sessions of a group; see `sessionOutcome(of:)`, or be called by
    /// `then`.
    @discardableResult
    public func changeSessions(
        on node: NodeID, group: String, _ change: SessionChange,
        timeout: Nanoseconds = .seconds(5), then: ((RequestOutcome<[UInt8]>) -> Void)? = nil
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let group = position(of: group)
        let token = begin(.session, on: node, group: group, timeout: timeout)
        let place = Int(token) - 1
        requests[place].changedThen = then
        detail("request \(token): \(change) on node \(node.id), \(groupNames[group])")
        guard let (box, replica) = usable(node, group: group) else {
            end(place, .refused(.nodeStopped))
            return RequestID(place: place)
        }
        requests[place].change = change
        requests[place].sessionTickets = oracles.sessions.begin(replica.track, change, now: time)
        trace(node, 59, token)
        let now = instant(node)
        box.engine.changeSessions(
            replica.slot, change, token: token, deadline: now + timeout, now: now)
        touch(node)
        return RequestID(place: place)
    }

    /// How a change of sessions, or a request for a snapshot, stands, with its reply.
    public func sessionOutcome(of request: RequestID) -> RequestOutcome<[UInt8]> {
        requests[request.place].sessions
    }

    // MARK: The oracle

    func beginTry(_ place: Int, of tag: SessionTag, command: UInt64, track: Int) {
        let begun = oracles.sessions.begin(
            track, tag, command: options.checks.commandsAreUnique ? command : nil,
            floor: requests[place].ticket.floor)
        requests[place].ticket.floor = begun.floor
        requests[place].sessionTickets = [begun.ticket]
        if begun.isRetry { pastCoverage.count(.sessionRetries) }
    }

    func compareAnswers(_ place: Int, index: LogIndex, reply: ArraySlice<UInt8>) {
        for ticket in requests[place].sessionTickets {
            let (wasCompared, finding) = oracles.sessions.acknowledge(
                ticket, index: index, reply: TraceHash.of(Array(reply)))
            if wasCompared { pastCoverage.count(.sessionAnswersCompared) }
            report(finding)
        }
    }

    func finishChange(_ place: Int, index: LogIndex, reply: [UInt8]) {
        guard let change = requests[place].change else { return }
        let missing = stride(from: 0, to: reply.count, by: 8).map { start in
            let bytes = reply[start..<min(start + 8, reply.count)]
            return SessionID(bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) })
        }
        switch change {
        case .open: pastCoverage.count(.sessionsOpened)
        case .touch: pastCoverage.count(.sessionTouches)
        case .close: pastCoverage.count(.sessionsClosed)
        }
        report(
            oracles.sessions.acknowledge(
                requests[place].sessionTickets, change, index: index, missing: missing, now: time))
        requests[place].sessions = .done(index: index, reply)
        let then = requests[place].changedThen
        requests[place].changedThen = nil
        then?(requests[place].sessions)
    }

    /// - `reason`: nil when it lies too far back to tell.
    func refuseTries(_ place: Int, reason: Completion.Refusal?) {
        for ticket in requests[place].sessionTickets {
            if reason == .sessionExpired, ticket.wasOpen { pastCoverage.count(.sessionsToldOver) }
            report(oracles.sessions.refuse(ticket, reason: reason, now: time))
        }
    }
}
