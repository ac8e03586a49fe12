import KraftEngine
import KraftRouting
import RaftCore

/// A client's handle for one request.
public struct RequestID: Hashable, Sendable {
    let place: Int
}

/// How a request stands.
public enum RequestOutcome<Value> {
    case pending
    /// For a read, `index` is what the answering node had applied.
    case done(index: LogIndex, Value)
    /// Did not take effect and never will.
    case refused(Completion.Refusal)
    /// May or may not have taken effect: lost with its node, or so it was told.
    case unknown

    public var isPending: Bool { if case .pending = self { true } else { false } }
    public var isDone: Bool { if case .done = self { true } else { false } }
    public var isRefused: Bool { if case .refused = self { true } else { false } }
    public var value: Value? { if case .done(_, let value) = self { value } else { nil } }
}

/// What the simulation knows of one request. Its place in `Simulation.requests` is its token - 1.
struct Request<Machine: StateMachine> {
    enum Kind {
        case open, propose, read, transfer, remove, change, session, snapshot
        /// A life of a group goes, so that the next may come.
        case replace
    }

    var kind: Kind
    var node: Int
    var life: Int
    var group: Int
    var begun: UInt64
    /// When it must have ended, in simulated time.
    var due: UInt64 = .max
    var command: UInt64 = 0
    var ticket = RequestOracle.Ticket()
    var query: Machine.Query?
    /// What was known of the sessions that it uses or changes; none for others.
    var sessionTickets: [SessionOracle.Ticket] = []
    var change: SessionChange?
    var reply: RequestOutcome<Machine.Reply> = .pending
    /// Of `session` and `snapshot`.
    var sessions: RequestOutcome<[UInt8]> = .pending
    var answer: RequestOutcome<Machine.Answer> = .pending
    /// Done, refused or unknown, for any kind.
    var isEnded = false
    var changedThen: ((RequestOutcome<[UInt8]>) -> Void)?
    var repliedThen: ((RequestOutcome<Machine.Reply>) -> Void)?
    var answeredThen: ((RequestOutcome<Machine.Answer>) -> Void)?
}

extension Simulation {
    // MARK: Asking

    /// Proposes a command on a node, as a client of that node would. Never blocks: run the
    /// simulation, then look at `outcome(of:)`; or be called by `then`.
    ///
    /// - `session`: within a session of the group, that `changeSessions` opened; then it may be
    ///   proposed again, on any node, and takes effect once.
    @discardableResult
    public func propose(
        on node: NodeID, group: String, _ command: Machine.Command, session: SessionTag? = nil,
        timeout: Nanoseconds = .seconds(5), route: Epoch? = nil,
        then: ((RequestOutcome<Machine.Reply>) -> Void)? = nil
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let group = position(of: group)
        var writer = ByteWriter()
        command.encode(into: &writer)
        let hash = TraceHash.of(writer.bytes)
        let token = begin(.propose, on: node, group: group, timeout: timeout)
        let place = Int(token) - 1
        requests[place].command = hash
        detail("request \(token): propose \(hash) on node \(node.id), \(groupNames[group])")
        requests[place].repliedThen = then
        pastCoverage.count(.proposals)
        guard let (box, replica) = usable(node, group: group) else {
            end(place, .refused(.nodeStopped))
            return RequestID(place: place)
        }
        requests[place].ticket = oracles.requests.begin(replica.track)
        if let session {
            beginTry(place, of: session, command: hash, track: replica.track)
        } else if options.checks.commandsAreUnique {
            oracles.requests.remember(command: hash, request: place)
        }
        trace(node, 50, hash)
        let now = instant(node)
        writer.bytes.withUnsafeBytes { bytes in
            if let session {
                box.engine.propose(
                    replica.slot, bytes, session: session, route: route, token: token,
                    deadline: now + timeout, now: now)
            } else {
                box.engine.propose(
                    replica.slot, bytes, route: route, token: token, deadline: now + timeout,
                    now: now)
            }
        }
        touch(node)
        return RequestID(place: place)
    }

    /// A read on a node, linearizable unless told otherwise.
    @discardableResult
    public func read(
        on node: NodeID, group: String, _ query: Machine.Query,
        freshness: ReadFreshness = .linearizable, timeout: Nanoseconds = .seconds(5),
        then: ((RequestOutcome<Machine.Answer>) -> Void)? = nil
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let group = position(of: group)
        let token = begin(.read, on: node, group: group, timeout: timeout)
        let place = Int(token) - 1
        requests[place].query = query
        detail("request \(token): read on node \(node.id), \(groupNames[group])")
        requests[place].answeredThen = then
        pastCoverage.count(.reads)
        guard let (box, replica) = usable(node, group: group) else {
            end(place, .refused(.nodeStopped))
            return RequestID(place: place)
        }
        requests[place].ticket = ticket(replica.track, freshness)
        trace(node, 51, token)
        let now = instant(node)
        box.engine.read(
            replica.slot, freshness, token: token, deadline: now + timeout, now: now)
        touch(node)
        return RequestID(place: place)
    }

    /// What a read must find. Staleness is by a clock that may run a tenth too slow.
    private func ticket(_ track: Int, _ freshness: ReadFreshness) -> RequestOracle.Ticket {
        oracles.requests.now = time
        guard case .bounded(let span) = freshness else { return oracles.requests.begin(track) }
        return oracles.requests.begin(track, staleness: span.rawValue / 89 * 100 + 100)
    }

    /// Reads what this node has applied, without asking anybody. Nil while the node can't answer.
    public func localRead(on node: NodeID, group: String, _ query: Machine.Query) -> Machine.Answer?
    {
        let node = nodes[position(of: node)]
        return usable(node, group: position(of: group))?.1.machine.answer(query)
    }

    /// Asks a node to hand a group's leadership to another.
    @discardableResult
    public func transfer(
        _ group: String, to target: NodeID, on node: NodeID, timeout: Nanoseconds = .seconds(5)
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let token = begin(.transfer, on: node, group: position(of: group), timeout: timeout)
        let place = RequestID(place: Int(token) - 1)
        guard let (box, replica) = usable(node, group: position(of: group)) else {
            end(place.place, .refused(.nodeStopped))
            return place
        }
        pastCoverage.count(.transfersAsked)
        trace(node, 52, UInt64(target.rawValue))
        let now = instant(node)
        box.engine.transfer(
            replica.slot, to: target, token: token, deadline: now + timeout, now: now)
        touch(node)
        return place
    }

    /// Asks a node for a change of a group's members; done when it has begun. The rest follows of
    /// itself.
    @discardableResult
    public func changeMembers(
        of group: String, _ change: MembershipChange, on node: NodeID,
        timeout: Nanoseconds = .seconds(5)
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let token = begin(.change, on: node, group: position(of: group), timeout: timeout)
        let place = RequestID(place: Int(token) - 1)
        guard let (box, replica) = usable(node, group: position(of: group)) else {
            end(place.place, .refused(.nodeStopped))
            return place
        }
        trace(node, 58, token)
        pastCoverage.count(.changesAsked)
        wishes[replica.group].isChanged = true
        note("\(group) is to change by \(change.summary), asked on node \(node.id)")
        let now = instant(node)
        box.engine.changeMembers(
            replica.slot, change, token: token, deadline: now + timeout, now: now)
        touch(node)
        return place
    }

    /// Asks a node for a snapshot of its state of a group.
    @discardableResult
    public func snapshot(
        _ group: String, on node: NodeID, timeout: Nanoseconds = .seconds(5)
    ) -> RequestID {
        let node = nodes[position(of: node)]
        let token = begin(.snapshot, on: node, group: position(of: group), timeout: timeout)
        let place = RequestID(place: Int(token) - 1)
        guard let (box, replica) = usable(node, group: position(of: group)) else {
            end(place.place, .refused(.nodeStopped))
            return place
        }
        pastCoverage.count(.snapshotsAsked)
        trace(node, 59, token)
        let now = instant(node)
        box.engine.snapshot(replica.slot, token: token, deadline: now + timeout, now: now)
        touch(node)
        return place
    }

    /// Removes a group from one node, for good.
    @discardableResult
    public func removeGroup(_ group: String, on node: NodeID) -> RequestID {
        let node = nodes[position(of: node)]
        let group = position(of: group)
        let token = begin(.remove, on: node, group: group)
        let place = RequestID(place: Int(token) - 1)
        guard let (box, replica) = usable(node, group: group) else {
            end(place.place, .refused(.nodeStopped))
            return place
        }
        node.forget(replica)
        oracles.durability.remove(replica.track)
        trace(node, 53, UInt64(group))
        box.engine.removeGroup(replica.slot, token: token, now: instant(node))
        touch(node)
        return place
    }

    // MARK: Outcomes

    /// How a proposal stands.
    public func outcome(of request: RequestID) -> RequestOutcome<Machine.Reply> {
        requests[request.place].reply
    }

    /// How a read stands.
    public func answer(of request: RequestID) -> RequestOutcome<Machine.Answer> {
        requests[request.place].answer
    }

    /// Whether a request of any kind has ended, well or not.
    public func isEnded(_ request: RequestID) -> Bool { requests[request.place].isEnded }

    /// Whether a transfer or removal ended well.
    public func isDone(_ request: RequestID) -> Bool {
        requests[request.place].isEnded && requests[request.place].ticket.isDone
    }

    // MARK: The driver's part

    func begin(
        _ kind: Request<Machine>.Kind, on node: SimulatedNode<Machine>, group: Int,
        timeout: Nanoseconds? = nil
    ) -> RequestToken {
        var request = Request<Machine>(
            kind: kind, node: node.position, life: node.life, group: group, begun: time)
        if let timeout { request.due = time + timeout.rawValue }
        requests.append(request)
        pendingRequests += 1
        if node.openRequests.count >= 256 { node.openRequests.removeAll { requests[$0].isEnded } }
        node.openRequests.append(requests.count - 1)
        return RequestToken(requests.count)
    }

    private func close(_ place: Int) {
        requests[place].isEnded = true
        pendingRequests -= 1
    }

    func usable(
        _ node: SimulatedNode<Machine>, group: Int
    ) -> (EngineBox, Replica<Machine>)? {
        guard let box = node.box, !node.isPaused, let replica = node.replica(of: group),
            replica.isOpen
        else { return nil }
        return (box, replica)
    }

    /// A read may run now, on the machine as it is.
    func answer(_ node: SimulatedNode<Machine>, token: RequestToken, slot: GroupSlot) {
        guard let place = pending(token, node), let replica = node.replica(at: slot),
            let query = requests[place].query
        else { return }
        trace(node, 54, token)
        let index = replica.lastLook?.applied ?? .zero
        let applied = max(index, replica.appliedIndex)
        oracles.requests.now = time
        report(
            oracles.requests.read(
                requests[place].ticket, node: node.id, applied: replica.appliedIndex))
        pastCoverage.count(.readsAnswered)
        close(place)
        requests[place].answer = .done(index: applied, replica.machine.answer(query))
        detail("request \(place + 1): answered at \(applied)")
        requests[place].answeredThen?(requests[place].answer)
        requests[place].answeredThen = nil
    }

    func complete(
        _ node: SimulatedNode<Machine>, _ completion: Completion, replies: [UInt8]
    ) {
        guard let place = pending(completion.token, node) else { return }
        switch completion.outcome {
        case .done(let index, let start, let count):
            trace(node, 55, completion.token)
            guard start >= 0, count >= 0, start + count <= replies.count else {
                report((.interface, "node \(node.id) names a reply outside the reply bytes"))
                return
            }
            finish(place, index: index, reply: replies[start..<start + count])
        case .refused(let reason, _):
            trace(node, 56, UInt64(reason.rawValue))
            end(place, .refused(reason))
        case .unknown, .forgotten:
            trace(node, 57, completion.token)
            if case .forgotten = completion.outcome { refuseTries(place, reason: nil) }
            end(place, .unknown)
        }
    }

    /// Each token ends exactly once, on the node that it was given to.
    private func pending(_ token: RequestToken, _ node: SimulatedNode<Machine>) -> Int? {
        guard token >= 1, token <= UInt64(requests.count) else {
            report((.interface, "node \(node.id) ends request \(token), which nobody made"))
            return nil
        }
        let place = Int(token) - 1
        let request = requests[place]
        guard request.node == node.position, request.life == node.life, !request.isEnded else {
            report((.interface, "node \(node.id) ends request \(token) twice or for another"))
            return nil
        }
        return place
    }

    private func finish(_ place: Int, index: LogIndex, reply bytes: ArraySlice<UInt8>) {
        let request = requests[place]
        let node = nodes[request.node]
        close(place)
        requests[place].ticket.isDone = true
        switch request.kind {
        case .open:
            guard let replica = node.replica(of: request.group) else { return }
            replica.isOpen = true
            // The operators may have changed their minds meanwhile.
            reconcile(request.group, on: node)
        case .remove:
            node.removedGroups.append(request.group)
        case .replace: reconcile(request.group, on: node)
        case .change: pastCoverage.count(.changesBegun)
        case .snapshot: requests[place].sessions = .done(index: index, Array(bytes))
        case .transfer:
            pastCoverage.count(.transfersDone)
        case .session:
            finishChange(place, index: index, reply: Array(bytes))
        case .read:
            report((.interface, "a read ended with a reply"))
        case .propose:
            pastCoverage.count(.acknowledged)
            oracles.requests.now = time
            report(
                oracles.acknowledge(
                    request.ticket, command: request.command, request: place, index: index))
            compareAnswers(place, index: index, reply: bytes)
            let decoded = bytes.withUnsafeBytes { bytes in
                var reader = ByteReader(bytes)
                return try? Machine.Reply(from: &reader)
            }
            guard let decoded else {
                report((.interface, "the reply to request \(place + 1) can't be decoded"))
                return
            }
            requests[place].reply = .done(index: index, decoded)
            detail("request \(place + 1): done at \(index)")
            requests[place].repliedThen?(requests[place].reply)
            requests[place].repliedThen = nil
        }
    }

    func end(_ place: Int, _ outcome: RequestOutcome<Void>) {
        let kind = requests[place].kind
        close(place)
        detail("request \(place + 1): \(outcome)")
        let then = (requests[place].repliedThen, requests[place].answeredThen)
        let changedThen = requests[place].changedThen
        requests[place].changedThen = nil
        requests[place].repliedThen = nil
        requests[place].answeredThen = nil
        if case .refused(let reason) = outcome {
            requests[place].reply = .refused(reason)
            requests[place].answer = .refused(reason)
            requests[place].sessions = .refused(reason)
            switch (kind, reason) {
            case (.read, _): pastCoverage.count(.readsRefused)
            case (.change, _): pastCoverage.count(.changesRefused)
            case (.propose, .overloaded): pastCoverage.count(.overloaded)
            case (.propose, .staleRoute): pastCoverage.count(.staleRoutes)
            case (.propose, _): pastCoverage.count(.refused)
            case (.open, _):
                report((.interface, "a group could not be opened: \(reason)"))
            default: break
            }
            refuseTries(place, reason: reason)
            if kind == .propose, requests[place].sessionTickets.isEmpty {
                let command = requests[place].command
                report(oracles.requests.refuse(command: command, reason: reason))
            }
        } else {
            requests[place].reply = .unknown
            requests[place].answer = .unknown
            requests[place].sessions = .unknown
            if kind == .propose { pastCoverage.count(.unknown) }
        }
        then.0?(requests[place].reply)
        then.1?(requests[place].answer)
        changedThen?(requests[place].sessions)
    }

    /// A node has died: nobody knows what became of the requests that it was asked.
    func abandonRequests(of node: SimulatedNode<Machine>) {
        for place in openRequests(of: node) { end(place, .unknown) }
    }

    func openRequests(of node: SimulatedNode<Machine>) -> [Int] {
        node.openRequests.filter { !requests[$0].isEnded }
    }
}

extension MembershipChange {
    /// For a log.
    var summary: String {
        let parts = add.map { "+\($0.node) \($0.kind)" } + remove.map { "-\($0)" }
        return parts.isEmpty ? "nothing" : parts.joined(separator: ", ")
    }
}
