import KraftRouting
import RaftCore

/// Changes of a group's members: asked for on any node, begun by the leader, driven on by Raft; how
/// new replicas come to be, and how removed ones go.
extension Engine {
    // MARK: Changing

    /// Begins a change of members, on the leader, wherever it is. `token` completes when the
    /// change has begun: its name, an entry's position (term, then index), is the reply. All
    /// further steps follow of themselves; the change is over when `GroupStatus.finishedChange`
    /// names it. Refused with `conflict` while another change is under way, and with `badChange`
    /// if it doesn't fit the members of the moment.
    public mutating func changeMembers(
        _ slot: GroupSlot, _ change: MembershipChange, token: RequestToken, deadline: Instant,
        now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        guard groups.indices.contains(slot), isLive[slot], groups[slot].isRunning else {
            return refuse(.local(token), .groupNotFound)
        }
        takeChange(slot, change, origin: .local(token), deadline: deadline, now: now)
    }

    /// Changes of one group that wait to begin.
    private static let waitingChanges = 16

    private mutating func takeChange(
        _ slot: Int, _ change: MembershipChange, origin: Origin, deadline: Instant, now: Instant
    ) {
        guard groups[slot].changes.count < Engine.waitingChanges else {
            return endChange(slot, origin, .refused(.overloaded, leader: .none), .start)
        }
        waitingRequests += 1
        groups[slot].changes.append(
            WaitingChange(change: change, origin: origin, deadline: deadline, nextTry: now))
        noteDeadline(deadline, slot)
        tryChanges(of: slot, now: now)
    }

    /// Begins what waits, or asks the leader to; again until the deadline, as the leader may be
    /// unknown or too new.
    mutating func tryChanges(of slot: Int, now: Instant) {
        var place = 0
        while place < groups[slot].changes.count {
            let waiting = groups[slot].changes[place]
            if now >= waiting.deadline {
                groups[slot].changes.remove(at: place)
                waitingRequests -= 1
                // Who was asked may have begun it.
                endChange(
                    slot, waiting.origin,
                    waiting.request == 0 ? .refused(.unavailable, leader: .none) : .unknown, .start)
                continue
            }
            if now >= waiting.nextTry, waiting.request == 0 {
                groups[slot].changes[place].nextTry = now + .milliseconds(20)
                if tryChange(of: slot, place, now: now) { continue }
            }
            noteDeadline(min(waiting.deadline, groups[slot].changes[place].nextTry), slot)
            place += 1
        }
    }

    /// True if the change waits no more.
    private mutating func tryChange(of slot: Int, _ place: Int, now: Instant) -> Bool {
        let waiting = groups[slot].changes[place]
        guard groups[slot].raft.isLeader else {
            if case .local = waiting.origin { askForChange(of: slot, place) }
            return false
        }
        guard !leansOnDamaged(waiting.change, of: slot) else { return false }
        var outcome = Completion.Outcome.done(index: .zero, replyStart: 0, replyCount: 0)
        var position = EntryPosition.start
        do throws(Raft.ChangeRefusal) {
            for addition in waiting.change.add
            where addition.node != configuration.node
                && peers.contains(where: { $0.node == addition.node && !$0.hasLeft }) == false
            {
                throw .invalid(reason: "node \(addition.node) is not in the cluster")
            }
            position = try groups[slot].raft.propose(
                waiting.change, now: now, effects: &raftEffects)
        } catch {
            switch error {
            case .busy, .notLeader:
                guard groups[slot].raft.membership.goal == nil else {
                    outcome = .refused(.conflict, leader: configuration.node)
                    break
                }
                return false
            case .invalid:
                outcome = .refused(.badChange, leader: configuration.node)
            }
        }
        groups[slot].changes.remove(at: place)
        waitingRequests -= 1
        endChange(slot, waiting.origin, outcome, position)
        absorb(slot, now: now)
        return true
    }

    private mutating func askForChange(of slot: Int, _ place: Int) {
        let leader = groups[slot].raft.leader
        guard let peer = peerPlace(of: leader), peers[peer].isReady else { return }
        rare.changesForwarded += 1
        let request = peers[peer].nextChangeRequest
        peers[peer].nextChangeRequest += 1
        groups[slot].changes[place].request = request
        groups[slot].changes[place].asked = leader
        var writer = ByteWriter()
        writer.write(MessageTag.change.rawValue)
        writer.write(request)
        writer.write(groups[slot].id.rawValue)
        groups[slot].changes[place].change.encode(into: &writer)
        send(writer, to: peer)
    }

    mutating func onForwardedChange(
        _ place: Int, _ forwarded: NodeMessage.ForwardedChange, now: Instant
    ) {
        let origin = Origin.peer(
            peers[place].node, peers[place].connection, request: forwarded.request)
        guard let slot = slot(ofGroup: forwarded.group), groups[slot].raft.isLeader,
            groups[slot].isRunning
        else {
            let leader = slot(ofGroup: forwarded.group).map { groups[$0].raft.leader } ?? .none
            return sendChangeReply(
                origin, forwarded.group, .refused(.unavailable, leader: leader), .start)
        }
        takeChange(
            slot, forwarded.change, origin: origin,
            deadline: now + configuration.timing.electionTimeout, now: now)
        touch(slot)
    }

    mutating func onChangeReply(_ place: Int, _ reply: NodeMessage.ChangeReply, now: Instant) {
        guard let slot = slot(ofGroup: reply.group) else { return }
        let node = peers[place].node
        let found = groups[slot].changes.firstIndex {
            $0.request == reply.request && $0.asked == node
        }
        guard let found else { return }
        if reply.code == Completion.Refusal.unavailable.rawValue {
            // It didn't begin there; the true leader may be known soon.
            groups[slot].changes[found].request = 0
            noteDeadline(groups[slot].changes[found].nextTry, slot)
            touch(slot)
            return
        }
        let waiting = groups[slot].changes.remove(at: found)
        waitingRequests -= 1
        var outcome = Completion.Outcome.done(index: .zero, replyStart: 0, replyCount: 0)
        if reply.code != 0 {
            outcome =
                Completion.Refusal(rawValue: reply.code).map {
                    .refused($0, leader: reply.leader)
                } ?? .unknown
        }
        endChange(slot, waiting.origin, outcome, reply.position)
    }

    /// The connection to a node that was asked is gone: whether it began the change isn't known.
    mutating func changesLost(to node: NodeID, _ slot: Int) {
        let lost = groups[slot].changes.filter { $0.request != 0 && $0.asked == node }
        guard !lost.isEmpty else { return }
        groups[slot].changes.removeAll { $0.request != 0 && $0.asked == node }
        for waiting in lost {
            waitingRequests -= 1
            endChange(slot, waiting.origin, .unknown, .start)
        }
    }

    mutating func dropChanges(of slot: Int, _ refusal: Completion.Refusal) {
        let dropped = groups[slot].changes
        groups[slot].changes = []
        for waiting in dropped {
            waitingRequests -= 1
            endChange(
                slot, waiting.origin,
                waiting.request == 0 ? .refused(refusal, leader: .none) : .unknown, .start)
        }
    }

    private mutating func endChange(
        _ slot: Int, _ origin: Origin, _ outcome: Completion.Outcome, _ position: EntryPosition
    ) {
        guard case .local(let token) = origin else {
            return sendChangeReply(origin, groups[slot].id, outcome, position)
        }
        guard case .done = outcome else { return complete(.local(token), outcome) }
        let start = effects.replyBytes.count
        effects.replyBytes.write(position: position)
        complete(
            origin, .done(index: position.index, replyStart: start, replyCount: 16))
    }

    private mutating func sendChangeReply(
        _ origin: Origin, _ group: GroupID, _ outcome: Completion.Outcome,
        _ position: EntryPosition
    ) {
        guard case .peer(let node, let connection, let request) = origin,
            let place = peerPlace(of: node), peers[place].isReady,
            peers[place].connection == connection
        else { return }
        var code: UInt8 = 0
        var leader = NodeID.none
        switch outcome {
        case .done: break
        case .unknown, .forgotten: code = NodeMessage.ForwardedOutcome.unknown
        case .refused(let refusal, let hint): (code, leader) = (refusal.rawValue, hint)
        }
        var out = FieldWriter(reserve(NodeMessage.ChangeReply.size, to: place), .changeReply)
        out.put(request)
        out.put(group.rawValue)
        out.put(code)
        out.put(leader.rawValue)
        out.put(position)
    }

    // MARK: Changed

    /// Which members there are, by this replica's log, is another.
    mutating func membershipChanged(_ slot: Int, now: Instant) {
        rare.membershipsChanged += 1
        if groups[slot].raft.isLeader {
            noteVouchers(slot)
            noteUnreachable(slot)
            // Of those who vote now some may have died before they did.
            groups[slot].raft.checkQuorum(
                alive: aliveMembers(of: slot), now: now, effects: &raftEffects)
            if !groups[slot].raft.isLeader { absorb(slot, now: now) }
        }
        effects.notices.append(.membersChanged(slot: GroupSlot(rawValue: slot)))
        touch(slot)
    }

    /// A configuration is committed: a change may have come to its end.
    mutating func membershipApplied(_ slot: Int, _ payload: UnsafeRawBufferPointer) {
        effects.notices.append(.membersChanged(slot: GroupSlot(rawValue: slot)))
        if let finished = try? Membership.decode(payload).finished { noteFinished(finished, slot) }
    }

    mutating func noteFinished(_ finished: Membership.FinishedChange, _ slot: Int) {
        guard groups[slot].finishedChanges.last != finished else { return }
        groups[slot].finishedChanges.append(finished)
        if groups[slot].finishedChanges.count > Group.finishedLimit {
            groups[slot].finishedChanges.removeFirst()
        }
    }

    /// How a change of members stands, as far as this replica knows.
    public func state(of change: EntryPosition, in slot: GroupSlot) -> ChangeState {
        let slot = slot.rawValue
        if let end = ChangeState(of: change, in: groups[slot].endedChanges) { return end }
        let isHeld = groups[slot].raft.configurations.contains {
            $0.membership.goal?.change == change || $0.membership.finished?.change == change
        }
        if isHeld || groups[slot].raft.commitIndex < change.index { return .running }
        if change.index <= groups[slot].raft.log.base.index { return .forgotten }
        // Something else was committed in its place.
        let isThere = groups[slot].raft.log.term(at: change.index) == change.term
        return isThere ? .forgotten : .lost
    }

    /// As that, for a group that this node was removed from: nil unless it saw the change end.
    public func state(of change: EntryPosition, inFormer name: GroupName) -> ChangeState? {
        ChangeState(of: change, in: formerChanges[name] ?? [])
    }

    // MARK: Coming

    /// A leader's message for a replica that isn't here: it may have something to say about that.
    mutating func tellUnknown(_ place: Int, _ envelope: RaftEnvelope, _ message: Message) {
        switch message {
        case .append, .heartbeat, .timeoutNow, .snapshot: break
        default: return
        }
        var out = FieldWriter(
            reserve(NodeMessage.UnknownReplica.size, to: place), .unknownReplica)
        out.put(envelope.group.rawValue)
        out.put(envelope.to)
    }

    mutating func onUnknownReplica(_ place: Int, _ unknown: NodeMessage.UnknownReplica) {
        let replica = Replica(peers[place].node, unknown.replica)
        guard let slot = slot(ofGroup: unknown.group), groups[slot].raft.isLeader,
            let position = groups[slot].raft.membership.position(of: replica),
            !isHeldBack(replica, slot)
        else { return }
        let isWitness = groups[slot].raft.membership.witnesses.contains(position)
        var writer = ByteWriter()
        writer.write(MessageTag.invitation.rawValue)
        writer.write(unknown.group.rawValue)
        writer.write(voucher(for: replica, in: slot))
        // What held entries once has lost its memory, and must not live again as if it hadn't.
        let record = GroupRecord(
            name: groups[slot].name, incarnation: groups[slot].incarnation,
            replica: unknown.replica, base: groups[slot].base, isWitness: isWitness,
            isDamaged: groups[slot].raft.progress[position].match > .zero)
        writer.write(raw: record.encoded)
        send(writer, to: place)
    }

    /// Whether the configuration that is committed still has another replica on that node: it must not
    /// go before the group can do without it for good.
    private func isHeldBack(_ replica: Replica, _ slot: Int) -> Bool {
        groups[slot].raft.configurations.contains { configuration in
            configuration.membership.members.contains {
                $0.node == replica.node && $0.id != replica.id
            }
        }
    }

    /// Begins as the replica that a leader takes this node for: empty. Not in the place of one that
    /// was removed before: ids only rise.
    mutating func onInvitation(
        _ place: Int, _ invitation: NodeMessage.Invitation, now: Instant
    ) {
        var record = invitation.record
        let id = invitation.group
        if isForgetful, invitation.boot != boot {
            // This very replica may have lived here and been forgotten, unless it was added in this
            // life of the node.
            rare.invitationsDoubted += 1
            record.isDamaged = true
        }
        guard Engine.groupID(record) == id else {
            return badFrame(place, "an invitation to another group than it says", now: now)
        }
        if let former = formerReplicas[id], record.replica <= former { return }
        if let removed = tombstones[record.name], record.incarnation <= removed { return }
        if let slot = slot(ofGroup: id) {
            // The life before was removed, and nobody told it: nothing that it holds counts.
            guard groups[slot].raft.replica.id < record.replica, !groups[slot].isApplying else {
                return
            }
            formerReplicas[id] = groups[slot].raft.replica.id
            _ = discard(slot, isFormerMember: true, now: now)
        } else if let slot = slot(named: record.name) {
            // Two groups of one name: this node was told of others first, or has missed the end of an
            // earlier life. Without a log and a vote nobody has ever counted on it here.
            let here = groups[slot].incarnation
            let raft = groups[slot].raft
            guard raft.log.lastIndex == .zero, raft.hardState == HardState(),
                !groups[slot].isOpened, here <= record.incarnation
            else {
                if here == record.incarnation {
                    effects.notices.append(.contradicted(slot: GroupSlot(rawValue: slot)))
                }
                return
            }
            formerReplicas[groups[slot].id] = raft.replica.id
            _ = discard(slot, isFormerMember: true, now: now)
        }
        rare.replicasInvited += 1
        touch(create(id, record, now: now))
        var out = FieldWriter(reserve(NodeMessage.ReplicaBegun.size, to: place), .replicaBegun)
        out.put(id.rawValue)
        out.put(record.replica)
    }

    /// What was sent to the replica before it was there is lost: nobody waits for its answer.
    mutating func onReplicaBegun(_ place: Int, _ begun: NodeMessage.ReplicaBegun) {
        let replica = Replica(peers[place].node, begun.replica)
        guard let slot = slot(ofGroup: begun.group), groups[slot].raft.isLeader,
            groups[slot].raft.membership.position(of: replica) != nil
        else { return }
        groups[slot].raft.peerConnected(replica.node)
        touch(slot)
    }

    /// A replica here can't find its leader, or has let go of it: whoever leads, or knows that it
    /// is no member any more, says so. To one node, or to all that can be reached.
    mutating func inquire(_ slot: Int, at node: NodeID?) {
        for place in peers.indices
        where peers[place].isReady && (node == nil || peers[place].node == node) {
            var out = FieldWriter(
                reserve(NodeMessage.UnknownReplica.size, to: place), .inquiry)
            out.put(groups[slot].id.rawValue)
            out.put(groups[slot].raft.replica.id)
        }
    }

    mutating func onInquiry(_ place: Int, _ inquiry: NodeMessage.UnknownReplica, now: Instant) {
        guard let slot = slot(ofGroup: inquiry.group), !groups[slot].isStopped,
            !groups[slot].isDamaged
        else { return }
        groups[slot].raft.onInquiry(
            from: Replica(peers[place].node, inquiry.replica), effects: &raftEffects)
        absorb(slot, now: now)
    }

    // MARK: Going

    /// Discards the replicas that are members no more, when they have applied what is committed.
    mutating func removeLeavers(now: Instant) {
        for slot in leaving where isLive[slot] && !groups[slot].isApplying {
            let isBehind =
                groups[slot].isRunning && !groups[slot].isWitness && !groups[slot].isDamaged
                && groups[slot].appliedIndex < groups[slot].raft.commitIndex
            if isBehind { continue }
            rare.replicasRemoved += 1
            formerReplicas[groups[slot].id] = groups[slot].raft.replica.id
            _ = discard(slot, isFormerMember: true, now: now)
        }
        leaving = leaving.filter { isLive[$0] && groups[$0].isLeaving }
    }

    mutating func send(_ writer: ByteWriter, to place: Int) {
        let target = reserve(writer.count, to: place)
        writer.bytes.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress {
                target.copyMemory(from: source, byteCount: bytes.count)
            }
        }
    }
}

/// How a change of members stands.
public enum ChangeState: String, Sendable {
    case running
    case done
    /// The new members didn't catch up in time; the group is as it was before.
    case abandoned
    /// Its leader was lost before the first step was committed: nothing came of it.
    case lost
    /// It ended so long ago that how is forgotten.
    case forgotten

    fileprivate init?(of change: EntryPosition, in ended: [Membership.FinishedChange]) {
        guard let end = ended.last(where: { $0.change == change }) else { return nil }
        self = end.isAbandoned ? .abandoned : .done
    }
}
