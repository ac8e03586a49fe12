import KraftRouting
import RaftCore

/// Linearizable reads on any node: ReadIndex (dissertation section 6.4). The leader confirms that
/// it leads; the node that was asked answers once it has applied what was committed by then.
///
/// A group's waiting reads stand in the order of their coming: first those that have a ticket, an
/// index or an asked leader, at the end the `newReads` that have none.
extension Engine {
    /// `readsReady` names the token once this node has applied all that was committed when the
    /// read began; or it ends with a completion that says why not, at the latest shortly after
    /// `deadline`.
    ///
    /// A `lease` read asks nobody while this node holds the lease of the group, a `bounded` one while
    /// what was confirmed last is young enough; else both are as `linearizable`.
    public mutating func read(
        _ slot: GroupSlot, _ freshness: ReadFreshness = .linearizable, token: RequestToken,
        deadline: Instant, now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        guard groups.indices.contains(slot), isLive[slot], groups[slot].isOpened else {
            return refuse(.local(token), .groupNotFound)
        }
        guard !groups[slot].isStopped else { return refuse(.local(token), .groupStopped) }
        guard !groups[slot].isWitness else {
            return refuse(.local(token), .unavailable, leader: groups[slot].raft.leader)
        }
        switch freshness {
        case .linearizable: break
        case .lease:
            guard holdsLease(slot, now: now) else { break }
            rare.leaseReads += 1
            let index = groups[slot].raft.commitIndex
            return addRead(slot, .confirmed(index), origin: .local(token), deadline: deadline)
        case .bounded(let staleness):
            guard let since = groups[slot].freshSince, now <= since + staleness,
                !groups[slot].isRestoring, groups[slot].appliedIndex >= groups[slot].freshIndex
            else { break }
            rare.boundedReads += 1
            effects.readsReady.append((token, GroupSlot(rawValue: slot)))
            return
        }
        addRead(slot, .new, origin: .local(token), deadline: deadline)
    }

    /// False on a witness, whose state machine stays empty.
    public func holdsData(_ slot: GroupSlot) -> Bool { !groups[slot.rawValue].isWitness }

    /// Whether this node may answer for the group without asking (dissertation section 6.4.1).
    private mutating func holdsLease(_ slot: Int, now: Instant) -> Bool {
        guard configuration.timing.leaseDuration > .zero else { return false }
        return groups[slot].raft.holdsLease(by: peers, now: now)
    }

    private mutating func addRead(
        _ slot: Int, _ stage: WaitingRead.Stage, origin: Origin, deadline: Instant
    ) {
        guard groups[slot].isAccepting(configuration.limits.pendingProposalsPerGroup),
            waitingRequests < configuration.limits.pendingRequests
        else { return refuseRead(slot, origin, .overloaded) }
        if case .confirmed(let index) = stage, index <= groups[slot].appliedIndex,
            !groups[slot].isRestoring, case .local(let token) = origin
        {
            effects.readsReady.append((token, GroupSlot(rawValue: slot)))
            return
        }
        waitingRequests += 1
        let read = WaitingRead(origin: origin, stage: stage, deadline: deadline)
        if case .new = stage {
            groups[slot].reads.append(read)
            groups[slot].newReads += 1
        } else {
            // Before those that still have to ask.
            groups[slot].reads.insert(
                read, at: groups[slot].reads.count - groups[slot].newReads)
        }
        noteDeadline(deadline, slot)
        touch(slot)
    }

    private mutating func refuseRead(
        _ slot: Int, _ origin: Origin, _ refusal: Completion.Refusal
    ) {
        if case .peer(let node, let connection, let request) = origin {
            sendReadIndex(.zero, groups[slot].id, node, connection, request)
        } else {
            refuse(origin, refusal, leader: groups[slot].raft.leader)
        }
    }

    // MARK: Asking

    /// Gives the new reads of a turn one ticket, or asks the leader once for all of them.
    mutating func askReads(of slot: Int, now: Instant) {
        guard groups[slot].isRunning else { return }
        let first = groups[slot].reads.count - groups[slot].newReads
        if groups[slot].raft.isLeader {
            guard let ticket = groups[slot].raft.requestRead() else { return }
            for place in first..<groups[slot].reads.count {
                groups[slot].reads[place].stage = .ticket(ticket, since: now)
            }
            groups[slot].newReads = 0
            return
        }
        let leader = groups[slot].raft.leader
        guard now >= groups[slot].parkedUntil, let peer = peerPlace(of: leader),
            peers[peer].isReady
        else { return }
        rare.readsForwarded += 1
        let request = peers[peer].nextReadRequest
        peers[peer].nextReadRequest += 1
        var out = FieldWriter(
            reserve(NodeMessage.ReadIndexRequest.size, to: peer), .readIndexRequest)
        out.put(request)
        out.put(groups[slot].id.rawValue)
        for place in first..<groups[slot].reads.count {
            groups[slot].reads[place].stage = .asked(leader, request: request, since: now)
        }
        groups[slot].newReads = 0
    }

    mutating func onReadIndexRequest(
        _ place: Int, _ request: NodeMessage.ReadIndexRequest, now: Instant
    ) {
        guard let slot = slot(ofGroup: request.group), groups[slot].isRunning,
            groups[slot].raft.isLeader
        else {
            sendReadIndex(
                .zero, request.group, peers[place].node, peers[place].connection,
                request.request)
            return
        }
        // As long as the asker waits at most; it asks again if this one gives up before.
        addRead(
            slot, .new,
            origin: .peer(peers[place].node, peers[place].connection, request: request.request),
            deadline: now + configuration.timing.electionTimeout)
    }

    private mutating func sendReadIndex(
        _ index: LogIndex, _ group: GroupID, _ node: NodeID, _ connection: ConnectionID,
        _ request: UInt64
    ) {
        guard let place = peerPlace(of: node), peers[place].isReady,
            peers[place].connection == connection
        else { return }
        var out = FieldWriter(
            reserve(NodeMessage.ReadIndexReply.size, to: place), .readIndexReply)
        out.put(request)
        out.put(group.rawValue)
        out.put(index.rawValue)
    }

    mutating func onReadIndexReply(
        _ place: Int, _ reply: NodeMessage.ReadIndexReply, now: Instant
    ) {
        guard let slot = slot(ofGroup: reply.group) else { return }
        let node = peers[place].node
        for number in groups[slot].reads.indices {
            guard
                case .asked(node, request: reply.request, let since) =
                    groups[slot].reads[number].stage
            else { continue }
            if reply.index > .zero { noteFresh(slot, reply.index, since: since) }
            groups[slot].reads[number].stage =
                reply.index == .zero ? .new : .confirmed(reply.index)
        }
        if reply.index == .zero {
            settleNewReads(slot)
            groups[slot].parkedUntil = now + .milliseconds(20)
            noteDeadline(groups[slot].parkedUntil, slot)
            return
        }
        answerReads(slot)
    }

    // MARK: Answering

    mutating func readsConfirmed(_ slot: Int, now: Instant) {
        let confirmed = groups[slot].raft.confirmedReads
        for place in groups[slot].reads.indices {
            guard case .ticket(let ticket, let since) = groups[slot].reads[place].stage,
                ticket.sequence <= confirmed
            else { continue }
            noteFresh(slot, ticket.index, since: since)
            if case .peer(let node, let connection, let request) =
                groups[slot].reads[place].origin
            {
                sendReadIndex(ticket.index, groups[slot].id, node, connection, request)
                groups[slot].reads[place].origin = .gone
                waitingRequests -= 1
            }
            groups[slot].reads[place].stage = .confirmed(ticket.index)
        }
        answerReads(slot)
    }

    /// A leader confirmed that at `since` all that was committed stood up to `index`.
    private mutating func noteFresh(_ slot: Int, _ index: LogIndex, since: Instant) {
        if let known = groups[slot].freshSince, known > since { return }
        groups[slot].freshSince = since
        groups[slot].freshIndex = max(groups[slot].freshIndex, index)
    }

    /// Names the confirmed reads whose index is applied, and forgets those that are over.
    mutating func answerReads(_ slot: Int) {
        // A machine that is being restored answers nothing.
        let applied = groups[slot].isRestoring ? .zero : groups[slot].appliedIndex
        var kept = groups[slot].reads
        groups[slot].reads.removeAll()
        while let read = kept.popFirst() {
            if case .gone = read.origin { continue }
            if case .confirmed(let index) = read.stage, index <= applied,
                case .local(let token) = read.origin
            {
                waitingRequests -= 1
                effects.readsReady.append((token, GroupSlot(rawValue: slot)))
            } else {
                groups[slot].reads.append(read)
            }
        }
    }

    // MARK: Loss

    /// This node doesn't lead any more: its tickets are void, and the reads look for the new leader.
    mutating func ticketsLost(_ slot: Int) {
        guard !groups[slot].reads.isEmpty else { return }
        for place in groups[slot].reads.indices {
            switch groups[slot].reads[place].stage {
            case .ticket, .new: break
            case .asked, .confirmed: continue
            }
            if case .peer(let node, let connection, let request) =
                groups[slot].reads[place].origin
            {
                sendReadIndex(.zero, groups[slot].id, node, connection, request)
                groups[slot].reads[place].origin = .gone
                waitingRequests -= 1
            }
            groups[slot].reads[place].stage = .new
        }
        settleNewReads(slot)
    }

    /// The connection to a node that was asked is gone.
    mutating func questionsLost(to node: NodeID, _ slot: Int) {
        guard !groups[slot].reads.isEmpty else { return }
        for place in groups[slot].reads.indices {
            if case .asked(node, _, _) = groups[slot].reads[place].stage {
                groups[slot].reads[place].stage = .new
            }
        }
        settleNewReads(slot)
    }

    /// Moves the reads that must ask anew behind the others.
    private mutating func settleNewReads(_ slot: Int) {
        var settled: [WaitingRead] = []
        var new: [WaitingRead] = []
        for read in groups[slot].reads {
            if case .gone = read.origin { continue }
            if case .new = read.stage { new.append(read) } else { settled.append(read) }
        }
        groups[slot].reads = .init(settled + new)
        groups[slot].newReads = new.count
        touch(slot)
    }

    /// Returns the earliest deadline that is left.
    mutating func expireReads(of slot: Int, now: Instant) -> Instant {
        var next = Instant.never
        guard !groups[slot].reads.isEmpty else { return next }
        for place in groups[slot].reads.indices {
            let read = groups[slot].reads[place]
            if case .gone = read.origin { continue }
            if read.deadline <= now {
                groups[slot].reads[place].origin = .gone
                waitingRequests -= 1
                refuseRead(slot, read.origin, .unavailable)
            } else {
                next = min(next, read.deadline)
            }
        }
        settleNewReads(slot)
        return next
    }

    mutating func dropReads(of slot: Int, _ refusal: Completion.Refusal) {
        for read in groups[slot].reads {
            if case .gone = read.origin { continue }
            waitingRequests -= 1
            refuseRead(slot, read.origin, refusal)
        }
        groups[slot].reads.removeAll()
        groups[slot].newReads = 0
    }
}

/// How fresh a read's answer must be.
public enum ReadFreshness: Sendable, Hashable {
    /// It sees all that was answered before it began.
    case linearizable
    /// As that, if the clocks keep to `EngineConfiguration.Timing.clockDriftPerMille`.
    case lease
    /// It sees all that was answered longer ago than this, by this node's clock.
    case bounded(Nanoseconds)
}

extension Raft {
    mutating func holdsLease(by peers: [Peer], now: Instant) -> Bool {
        guard isLeader else { return false }
        return holdsLease(now: now) { node in
            peers.first { $0.node == node }?.supportedUntil ?? .zero
        }
    }
}
