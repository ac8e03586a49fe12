import KraftRouting
import RaftCore

/// Proposals from their coming to their answer: staged for this turn's run of entries where this
/// node leads, forwarded where another does, parked while nobody is known to.
extension Engine {
    /// Proposes a command. On a node that doesn't lead it is forwarded to the leader; while no
    /// leader is known it waits. Ends with one completion, at the latest shortly after `deadline`.
    ///
    /// `route`: the epoch by which the caller chose this group, checked when the command is applied.
    public mutating func propose(
        _ slot: GroupSlot, _ command: UnsafeRawBufferPointer, route: Epoch? = nil,
        token: RequestToken, deadline: Instant, now: Instant
    ) {
        take(
            slot.rawValue, .command, command, route: route?.rawValue ?? 0, origin: .local(token),
            deadline: deadline)
    }

    /// `kind`: `command`, `session` or `sessionCommand`; the latter two hold their route themselves.
    mutating func take(
        _ slot: Int, _ kind: EntryKind, _ command: UnsafeRawBufferPointer, route: UInt64,
        origin: Origin, deadline: Instant
    ) {
        let limits = configuration.limits
        guard !isFenced else { return refuse(origin, .nodeStopped) }
        guard groups.indices.contains(slot), isLive[slot], groups[slot].isOpened else {
            return refuse(origin, .groupNotFound)
        }
        guard !groups[slot].isStopped else { return refuse(origin, .groupStopped) }
        guard command.count - kind.proposalHeaderSize <= limits.commandSizeBytes else {
            return refuse(origin, .tooLarge)
        }
        guard groups[slot].isAccepting(limits.pendingProposalsPerGroup),
            groups[slot].pendingBytes + command.count <= limits.pendingBytesPerGroup,
            waitingRequests < limits.pendingRequests, log.waitingBytes < limits.logQueueBytes
        else { return refuse(origin, .overloaded, leader: groups[slot].raft.leader) }
        if disk.isReadOnly, groups[slot].raft.isLeader, !groups[slot].raft.isTransferring {
            return refuse(origin, .diskFull)
        }
        waitingRequests += 1
        groups[slot].pendingBytes += command.count
        if groups[slot].raft.isLeader, !groups[slot].raft.isTransferring {
            let place = stage.add(
                kind, command, route: route, origin: origin, deadline: deadline)
            if groups[slot].stagedCount == 0 {
                groups[slot].firstStaged = place
            } else {
                stage.link(groups[slot].lastStaged, to: place)
            }
            groups[slot].lastStaged = place
            groups[slot].stagedCount += 1
        } else {
            rare.proposalsParked += 1
            groups[slot].parked.append(
                ParkedProposal(
                    kind: kind, command: Array(command), route: route, origin: origin,
                    deadline: deadline))
            noteDeadline(deadline, slot)
        }
        touch(slot)
    }

    // MARK: Leading

    /// Puts the turn's proposals of a group into the log, in runs of bounded size.
    mutating func takeStaged(of slot: Int, now: Instant) {
        let proposals = stage.proposals
        var place = groups[slot].firstStaged
        groups[slot].firstStaged = -1
        groups[slot].stagedCount = 0
        let runLimit = min(1 << 20, configuration.log.segmentSizeBytes / 8)
        let stamp = groups[slot].sessions?.stamp(now) ?? 0
        while place >= 0 {
            let first = place
            var count = 0
            var size = 0
            while place >= 0 {
                let entrySize = proposals[Int(place)].entrySize
                if count > 0, size + entrySize > runLimit { break }
                count += 1
                size += entrySize
                place = proposals[Int(place)].next
            }
            guard let index = groups[slot].raft.propose(count: count) else {
                return parkStaged(of: slot, from: first, proposals)
            }
            let stage = stage
            writeRun(
                slot, first: index, term: groups[slot].raft.term, count: count,
                payloadCount: size, isTruncation: false
            ) { target in
                var target = target
                var next = first
                for _ in 0..<count {
                    target = stage.write(proposals[Int(next)], stamp: stamp, to: target)
                    next = proposals[Int(next)].next
                }
            }
            notePending(of: slot, from: first, count: count, index: index, proposals, now: now)
        }
    }

    private mutating func notePending(
        of slot: Int, from first: Int32, count: Int, index: LogIndex,
        _ proposals: [StagingBuffer.Proposal], now: Instant
    ) {
        let term = groups[slot].raft.term
        var next = first
        for number in 0..<count {
            let proposal = proposals[Int(next)]
            groups[slot].pending.append(
                PendingProposal(
                    index: index + number, term: term, origin: proposal.origin,
                    deadline: proposal.deadline, proposedAt: now, byteCount: proposal.count))
            noteDeadline(proposal.deadline, slot)
            next = proposal.next
        }
    }

    /// Leadership went, or is being handed over, within the turn.
    private mutating func parkStaged(
        of slot: Int, from first: Int32, _ proposals: [StagingBuffer.Proposal]
    ) {
        var next = first
        while next >= 0 {
            let proposal = proposals[Int(next)]
            groups[slot].parked.append(
                ParkedProposal(
                    kind: proposal.kind, command: Array(stage.command(of: proposal)),
                    route: proposal.route, origin: proposal.origin, deadline: proposal.deadline))
            noteDeadline(proposal.deadline, slot)
            next = proposal.next
        }
    }

    // MARK: Waiting for a leader

    /// Sends parked proposals on their way, if there is one.
    mutating func unpark(_ slot: Int, now: Instant) {
        guard groups[slot].isRunning else { return }
        if groups[slot].raft.isLeader {
            guard !groups[slot].raft.isTransferring else { return }
            for parked in takeParked(of: slot) {
                waitingRequests -= 1
                groups[slot].pendingBytes -= parked.command.count
                parked.command.withUnsafeBytes { command in
                    take(
                        slot, parked.kind, command, route: parked.route, origin: parked.origin,
                        deadline: parked.deadline)
                }
            }
            return
        }
        let leader = groups[slot].raft.leader
        guard now >= groups[slot].parkedUntil, !leader.isNone,
            let place = peerPlace(of: leader), peers[place].isReady
        else { return }
        for parked in takeParked(of: slot) {
            if case .peer = parked.origin {
                // Forwarded once: whoever sent it here looks for the leader itself.
                unwait(slot, parked.command.count)
                refuse(parked.origin, .unavailable, leader: leader)
            } else if hasRoom(place) {
                forward(parked, of: slot, to: place, now: now)
            } else {
                unwait(slot, parked.command.count)
                refuse(parked.origin, .overloaded, leader: leader)
            }
        }
    }

    private mutating func takeParked(of slot: Int) -> [ParkedProposal] {
        let parked = Array(groups[slot].parked)
        groups[slot].parked.removeAll()
        return parked
    }

    /// Touches the groups in which somebody waits for a leader that can be reached.
    mutating func touchWaiting() {
        for slot in groups.indices
        where isLive[slot] && (!groups[slot].parked.isEmpty || groups[slot].newReads > 0) {
            touch(slot)
        }
    }

    private mutating func unwait(_ slot: Int, _ byteCount: Int) {
        waitingRequests -= 1
        groups[slot].pendingBytes -= byteCount
    }

    // MARK: Forwarding

    private mutating func forward(
        _ proposal: ParkedProposal, of slot: Int, to place: Int, now: Instant
    ) {
        rare.proposalsForwarded += 1
        let request =
            peers[place].firstForwarded + UInt64(peers[place].forwarded.count)
        let count = proposal.command.count
        let target = reserve(NodeMessage.ForwardedProposal.headerSize + count, to: place)
        var out = FieldWriter(target, .proposal)
        out.put(request)
        out.put(groups[slot].id.rawValue)
        out.put((proposal.deadline - now).rawValue)
        out.put(proposal.route)
        out.put(proposal.kind.rawValue)
        out.put(UInt32(count))
        proposal.command.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress {
                out.place.copyMemory(from: source, byteCount: count)
            }
        }
        peers[place].forwarded.append(
            ForwardedRequest(slot: slot, serial: groups[slot].serial, proposal: proposal))
        peers[place].forwardDeadline = min(peers[place].forwardDeadline, proposal.deadline)
        noteDeadline(proposal.deadline, slot)
    }

    mutating func onForwardedProposal(
        _ place: Int, _ header: NodeMessage.ForwardedProposal, _ command: UnsafeRawBufferPointer,
        now: Instant
    ) {
        let origin = Origin.peer(
            peers[place].node, peers[place].connection, request: header.request)
        guard let slot = slot(ofGroup: header.group) else {
            return refuse(origin, .groupNotFound)
        }
        guard groups[slot].raft.isLeader else {
            return refuse(origin, .unavailable, leader: groups[slot].raft.leader)
        }
        take(
            slot, header.kind, command, route: header.route, origin: origin,
            deadline: now + header.timeout)
    }

    mutating func onOutcome(
        _ place: Int, _ outcome: NodeMessage.ForwardedOutcome, _ reply: UnsafeRawBufferPointer,
        now: Instant
    ) {
        let first = peers[place].firstForwarded
        guard outcome.request >= first,
            outcome.request - first < UInt64(peers[place].forwarded.count)
        else { return }
        let position = Int(outcome.request - first)
        guard !peers[place].forwarded[position].isDone else { return }
        let request = peers[place].forwarded[position]
        forwardDone(place, position)
        switch outcome.code {
        case NodeMessage.ForwardedOutcome.done:
            let start = effects.replyBytes.count
            effects.replyBytes.write(raw: reply)
            complete(
                request.proposal.origin,
                .done(index: outcome.index, replyStart: start, replyCount: reply.count))
        case NodeMessage.ForwardedOutcome.forgotten:
            complete(request.proposal.origin, .forgotten)
        case NodeMessage.ForwardedOutcome.unknown: complete(request.proposal.origin, .unknown)
        default:
            let refusal = Completion.Refusal(rawValue: outcome.code) ?? .unavailable
            let isAlive =
                isLive[request.slot] && groups[request.slot].serial == request.serial
                && groups[request.slot].isRunning
            // Who led may have been removed from the group meanwhile.
            let mayMove =
                refusal == .unavailable || refusal == .groupStopped || refusal == .groupNotFound
            if mayMove, isAlive, now < request.proposal.deadline {
                // It took no effect there, so it may be tried at the true leader.
                park(request, now: now)
            } else {
                refuse(request.proposal.origin, refusal, leader: outcome.leader)
            }
        }
    }

    private mutating func park(_ request: ForwardedRequest, now: Instant) {
        let slot = request.slot
        waitingRequests += 1
        groups[slot].pendingBytes += request.proposal.command.count
        groups[slot].parked.append(request.proposal)
        groups[slot].parkedUntil = now + .milliseconds(20)
        noteDeadline(groups[slot].parkedUntil, slot)
        touch(slot)
    }

    /// Takes a forwarded request off the books.
    private mutating func forwardDone(_ place: Int, _ position: Int) {
        let request = peers[place].forwarded[position]
        peers[place].forwarded[position].isDone = true
        peers[place].forwarded[position].proposal.command = []
        waitingRequests -= 1
        if isLive[request.slot], groups[request.slot].serial == request.serial {
            groups[request.slot].pendingBytes -= request.proposal.command.count
        }
        while let first = peers[place].forwarded.first, first.isDone {
            peers[place].forwarded.removeFirst()
            peers[place].firstForwarded += 1
        }
    }

    /// The connection went: what was forwarded on it may or may not take effect.
    mutating func forwardsLost(_ place: Int, now: Instant) {
        finishForwards(place) { _ in true }
        peers[place].forwardDeadline = .never
    }

    private mutating func finishForwards(
        _ place: Int, where isOver: (ForwardedRequest) -> Bool
    ) {
        var position = 0
        while position < peers[place].forwarded.count {
            let request = peers[place].forwarded[position]
            let count = peers[place].forwarded.count
            if !request.isDone, isOver(request) {
                complete(request.proposal.origin, .unknown)
                forwardDone(place, position)
            }
            // Taking off the books may have moved the rest forward.
            position += 1 - (count - peers[place].forwarded.count)
            position = max(position, 0)
        }
    }

    private mutating func expireForwards(now: Instant) {
        for place in peers.indices where peers[place].forwardDeadline <= now {
            finishForwards(place) { $0.proposal.deadline <= now }
            var deadline = Instant.never
            for request in peers[place].forwarded where !request.isDone {
                deadline = min(deadline, request.proposal.deadline)
            }
            peers[place].forwardDeadline = deadline
        }
    }

    // MARK: Deadlines

    mutating func noteDeadline(_ deadline: Instant, _ slot: Int) {
        if deadline < groups[slot].requestDeadline { groups[slot].requestDeadline = deadline }
    }

    /// Ends what has waited past its deadline. What may be in a log is unknown, all else refused.
    mutating func expireRequests(of slot: Int, now: Instant) {
        expireForwards(now: now)
        var next = Instant.never
        for place in groups[slot].pending.indices {
            let pending = groups[slot].pending[place]
            if case .gone = pending.origin { continue }
            if pending.deadline <= now {
                forgetPending(slot, place)
                complete(pending.origin, .unknown)
            } else {
                next = min(next, pending.deadline)
            }
        }
        next = min(next, expireOrphans(of: slot, now: now))
        for parked in takeParked(of: slot) {
            if parked.deadline <= now {
                unwait(slot, parked.command.count)
                refuse(parked.origin, .unavailable, leader: groups[slot].raft.leader)
            } else {
                groups[slot].parked.append(parked)
                let retry = groups[slot].parkedUntil > now ? groups[slot].parkedUntil : .never
                next = min(next, min(parked.deadline, retry))
            }
        }
        next = min(next, expireReads(of: slot, now: now))
        next = min(next, expireSnapshotWaiters(of: slot, now: now))
        if !groups[slot].changes.isEmpty {
            tryChanges(of: slot, now: now)
            for waiting in groups[slot].changes {
                next = min(next, waiting.deadline)
                if waiting.request == 0 { next = min(next, waiting.nextTry) }
            }
        }
        if let transfer = groups[slot].transfer {
            if transfer.deadline <= now {
                groups[slot].transfer = nil
                waitingRequests -= 1
                refuse(
                    .local(transfer.token), .transferFailed, leader: groups[slot].raft.leader)
            } else {
                tryTransfer(slot, now: now)
                let nextTry = groups[slot].transfer?.nextTry ?? .never
                next = min(next, min(transfer.deadline, nextTry))
            }
        }
        if groups[slot].newReads > 0, groups[slot].parkedUntil > now {
            next = min(next, groups[slot].parkedUntil)
        }
        for peer in peers { next = min(next, peer.forwardDeadline) }
        // A storm of deadlines is handled in strokes, not one by one.
        groups[slot].requestDeadline = next == .never ? .never : max(next, now + .milliseconds(5))
        // A node without peers has no beat to do this at.
        if next == .never { groups[slot].giveRoomBack() }
    }

    /// Nobody waits for it any more; its place is kept until its index is applied.
    mutating func forgetPending(_ slot: Int, _ place: Int) {
        waitingRequests -= 1
        groups[slot].pendingBytes -= groups[slot].pending[place].byteCount
        groups[slot].pending[place].byteCount = 0
        groups[slot].pending[place].origin = .gone
    }

    private mutating func expireOrphans(of slot: Int, now: Instant) -> Instant {
        guard !groups[slot].orphaned.isEmpty else { return .never }
        var next = Instant.never
        var kept: [PendingProposal] = []
        for orphan in groups[slot].orphaned {
            var isGone = false
            if case .gone = orphan.origin { isGone = true }
            if isGone || orphan.deadline <= now {
                // Nobody waits any more, and this node's log doesn't hold it.
                groups[slot].pendingBytes -= orphan.byteCount
                if !isGone {
                    waitingRequests -= 1
                    complete(orphan.origin, .unknown)
                }
            } else {
                kept.append(orphan)
                next = min(next, orphan.deadline)
            }
        }
        groups[slot].orphaned = kept
        return next
    }

    /// Ends all that waits for a group on this node.
    mutating func dropWaiting(of slot: Int, _ refusal: Completion.Refusal) {
        takeStaged(of: slot, now: .zero)
        for pending in Array(groups[slot].pending) + groups[slot].orphaned {
            if case .gone = pending.origin { continue }
            waitingRequests -= 1
            complete(pending.origin, .unknown)
        }
        groups[slot].pending.removeAll()
        groups[slot].orphaned = []
        for parked in takeParked(of: slot) {
            unwait(slot, parked.command.count)
            refuse(parked.origin, refusal)
        }
        dropReads(of: slot, refusal)
        dropChanges(of: slot, refusal)
        dropSnapshotWaiters(of: slot, refusal)
        if let transfer = groups[slot].transfer {
            groups[slot].transfer = nil
            waitingRequests -= 1
            refuse(.local(transfer.token), refusal)
        }
        let serial = groups[slot].serial
        for place in peers.indices {
            finishForwards(place) { $0.slot == slot && $0.serial == serial }
        }
        groups[slot].pendingBytes = 0
        groups[slot].requestDeadline = .never
    }

    // MARK: Answers

    mutating func refuse(
        _ origin: Origin, _ refusal: Completion.Refusal, leader: NodeID = .none
    ) {
        counters.proposalsRefused += 1
        complete(origin, .refused(refusal, leader: leader))
    }

    /// Answers whoever asked; a reply's bytes lie in `effects.replyBytes`.
    mutating func complete(_ origin: Origin, _ outcome: Completion.Outcome) {
        if case .unknown = outcome { rare.outcomesUnknown += 1 }
        switch origin {
        case .gone: return
        case .local(let token):
            effects.completions.append(Completion(token: token, outcome: outcome))
        case .peer(let node, let connection, let request):
            guard let place = peerPlace(of: node), peers[place].isReady,
                peers[place].connection == connection
            else { return }
            sendOutcome(outcome, request: request, to: place)
        }
    }

    private mutating func sendOutcome(
        _ outcome: Completion.Outcome, request: UInt64, to place: Int
    ) {
        var code = NodeMessage.ForwardedOutcome.unknown
        var leader = NodeID.none
        var index = LogIndex.zero
        var reply = 0..<0
        switch outcome {
        case .unknown: break
        case .forgotten: code = NodeMessage.ForwardedOutcome.forgotten
        case .refused(let refusal, let hint):
            code = refusal.rawValue
            leader = hint
        case .done(_, _, let count) where count > 8 << 20: break  // Over a frame's limit.
        case .done(let done, let start, let count):
            code = NodeMessage.ForwardedOutcome.done
            index = done
            reply = start..<(start + count)
        }
        let target = reserve(NodeMessage.ForwardedOutcome.headerSize + reply.count, to: place)
        var out = FieldWriter(target, .outcome)
        out.put(request)
        out.put(code)
        out.put(leader.rawValue)
        out.put(index.rawValue)
        out.put(UInt32(reply.count))
        effects.replyBytes.bytes[reply].withUnsafeBytes { bytes in
            if let source = bytes.baseAddress {
                out.place.copyMemory(from: source, byteCount: bytes.count)
            }
        }
    }
}
