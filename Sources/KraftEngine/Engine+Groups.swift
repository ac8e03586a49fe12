import CXXHash
import KraftRouting
import RaftCore

/// The groups' lives on this node.
extension Engine {
    /// Creates a group, or opens the one that the log holds under this name (then what is on disk
    /// wins over `voters`). `token` completes when it is durable.
    ///
    /// All nodes derive the same id from a name and its incarnation, so a group can be created on
    /// each of its voters without asking anyone.
    ///
    /// Throws `conflict` when a group of this name is open already, `bad_request` for voters that
    /// aren't 1 to 16 distinct known nodes with this one among them.
    public mutating func openGroup(
        _ name: GroupName, voters: [NodeID], token: RequestToken, now: Instant
    ) throws(KraftError) -> GroupSlot {
        guard !isFenced else { throw KraftError(.unavailable, "the node is fenced") }
        if let slot = slotOfName[name] {
            guard !groups[slot].isOpened else {
                throw KraftError(.conflict, "group '\(name)' is open already", group: name)
            }
            groups[slot].isOpened = true
            complete(.local(token), .done(index: .zero, replyStart: 0, replyCount: 0))
            queueApply(slot)
            touch(slot)
            return GroupSlot(rawValue: slot)
        }
        let membership = try membership(voters, name)
        let incarnation = (tombstones[name] ?? 0) + 1
        let record = GroupRecord(
            name: name, incarnation: incarnation, voters: membership.members)
        let id = Engine.groupID(name, incarnation: incarnation)
        guard table.slot(of: id) == nil else {
            throw KraftError(
                .conflict, "the ids of group '\(name)' and of another collide", group: name)
        }
        let slot = insert(
            RecoveredGroup(
                id: id, name: name, incarnation: incarnation, voters: membership.members),
            membership, now: now)
        groups[slot].isOpened = true
        let batch = writeGroup(.groupCreated, record, id)
        // Nothing may be said in its name before it exists for good.
        groups[slot].hardStateBatch = batch
        durableTokens.append((batch, token))
        effects.notices.append(.groupCreated(slot: GroupSlot(rawValue: slot), name: name))
        touch(slot)
        return GroupSlot(rawValue: slot)
    }

    static func groupID(_ name: GroupName, incarnation: UInt64) -> GroupID {
        let bytes = Array(name.string.utf8)
        return GroupID(
            bytes.withUnsafeBytes { XXH64($0.baseAddress, $0.count, incarnation) })
    }

    private func membership(
        _ voters: [NodeID], _ name: GroupName
    ) throws(KraftError) -> Membership {
        guard let membership = Membership(voters: voters) else {
            throw KraftError(
                .badRequest, "voters: 1 to \(Membership.memberLimit) distinct nodes", group: name)
        }
        for voter in membership.members where voter != configuration.node {
            guard peerPlace(of: voter) != nil else {
                throw KraftError(.badRequest, "voters: node \(voter) is not known", group: name)
            }
        }
        guard membership.position(of: configuration.node) != nil else {
            throw KraftError(.badRequest, "voters: this node is not among them", group: name)
        }
        return membership
    }

    private mutating func writeGroup(
        _ kind: RecordKind, _ record: GroupRecord, _ id: GroupID
    ) -> UInt64 {
        let payload = record.encoded()
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: id, index: .zero, term: .zero, count: 0)
        return log.append(header) { target in
            payload.withUnsafeBytes {
                target.copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        }.batch
    }

    /// Groups that the log holds vote and store at once; they lead and apply when they have been
    /// opened.
    static func members(
        of recovered: [RecoveredGroup], node: NodeID
    ) throws(KraftError) -> [(RecoveredGroup, Membership)] {
        var adopted: [(RecoveredGroup, Membership)] = []
        for group in recovered {
            guard let membership = Membership(voters: group.voters),
                membership.position(of: node) != nil
            else {
                throw KraftError(
                    .storage, "group '\(group.name)' in the log doesn't have this node")
            }
            adopted.append((group, membership))
        }
        return adopted
    }

    mutating func insert(
        _ recovered: RecoveredGroup, _ membership: Membership, now: Instant
    ) -> Int {
        let raft = Raft(
            node: configuration.node, membership: membership, hardState: recovered.hardState,
            log: recovered.terms, options: raftOptions, seed: dice.next(), now: now)
        let group = Group(
            id: recovered.id, name: recovered.name, incarnation: recovered.incarnation,
            serial: nextSerial, raft: raft, index: recovered.index,
            appliedIndex: recovered.terms.base.index)
        nextSerial += 1
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            groups[slot] = group
            isLive[slot] = true
        } else {
            slot = groups.count
            groups.append(group)
            isLive.append(true)
        }
        table.insert(recovered.id, slot: slot)
        slotOfName[recovered.name] = slot
        return slot
    }

    public func slot(of name: GroupName) -> GroupSlot? {
        slotOfName[name].map { GroupSlot(rawValue: $0) }
    }

    public func slot(of id: GroupID) -> GroupSlot? {
        table.slot(of: id).map { GroupSlot(rawValue: $0) }
    }

    /// All groups of the node, ascending.
    public var slots: [GroupSlot] {
        groups.indices.filter { isLive[$0] }.map { GroupSlot(rawValue: $0) }
    }

    // MARK: Stop, start, remove

    /// Stops a group on this node: it leads, votes, stores and applies no more until it is started.
    /// Who waits for it is refused, or told that the outcome is unknown.
    public mutating func stopGroup(_ slot: GroupSlot, now: Instant) {
        let slot = slot.rawValue
        guard isLive[slot], !groups[slot].isStopped else { return }
        groups[slot].raft.stepDown(now: now, effects: &raftEffects)
        absorb(slot, now: now)
        dropWaiting(of: slot, .groupStopped)
        groups[slot].isStopped = true
    }

    public mutating func startGroup(_ slot: GroupSlot, now: Instant) {
        let slot = slot.rawValue
        guard isLive[slot], groups[slot].isStopped else { return }
        groups[slot].isStopped = false
        // Who leads may have changed meanwhile.
        groups[slot].raft.leaderSuspected(now: now, after: configuration.timing.electionTimeout)
        queueApply(slot)
        touch(slot)
    }

    /// Removes a group from this node; a tombstone stays, so that a new one of this name has a
    /// higher incarnation. `token` completes when that is durable. Its slot is void at once.
    public mutating func removeGroup(_ slot: GroupSlot, token: RequestToken, now: Instant) {
        let slot = slot.rawValue
        precondition(isLive[slot], "removes a group that isn't there")
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        stopGroup(GroupSlot(rawValue: slot), now: now)
        dropWaiting(of: slot, .groupStopped)
        let group = groups[slot]
        let record = GroupRecord(
            name: group.name, incarnation: group.incarnation,
            voters: group.raft.membership.members)
        let batch = writeGroup(.groupRemoved, record, group.id)
        durableTokens.append((batch, token))
        tombstones[group.name] = group.incarnation
        table.remove(group.id)
        slotOfName[group.name] = nil
        isLive[slot] = false
        groups[slot].isTouched = false
        groups[slot].isApplyQueued = false
        touched.removeAll { $0 == slot }
        awake.removeAll { $0 == slot }
        applyQueue.removeAll { $0 == slot }
        freeSlots.append(slot)
        effects.notices.append(
            .groupRemoved(slot: GroupSlot(rawValue: slot), name: group.name))
    }

    // MARK: Leadership

    /// Hands leadership to a voter (dissertation section 3.10); done when this node sees it lead.
    /// On a node that doesn't lead, the leader is asked.
    public mutating func transfer(
        _ slot: GroupSlot, to node: NodeID, token: RequestToken, deadline: Instant, now: Instant
    ) {
        let slot = slot.rawValue
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        guard isLive[slot], groups[slot].isRunning else {
            return refuse(.local(token), .groupNotFound)
        }
        guard groups[slot].raft.membership.position(of: node) != nil else {
            return refuse(.local(token), .transferFailed, leader: groups[slot].raft.leader)
        }
        if groups[slot].raft.leader == node {
            complete(.local(token), .done(index: .zero, replyStart: 0, replyCount: 0))
            return
        }
        guard groups[slot].transfer == nil else { return refuse(.local(token), .overloaded) }
        groups[slot].transfer = WaitingTransfer(
            target: node, token: token, deadline: deadline, nextTry: now)
        waitingRequests += 1
        noteDeadline(deadline, slot)
        tryTransfer(slot, now: now)
        touch(slot)
    }

    /// Starts the transfer that waits, or asks the leader to; again and again until its deadline, as
    /// the leader may be unknown, or the target behind.
    mutating func tryTransfer(_ slot: Int, now: Instant) {
        guard let transfer = groups[slot].transfer, now >= transfer.nextTry else { return }
        let pause = Nanoseconds(configuration.timing.electionTimeout.rawValue / 2)
        groups[slot].transfer?.nextTry = now + pause
        noteDeadline(now + pause, slot)
        let leader = groups[slot].raft.leader
        if groups[slot].raft.isLeader {
            startTransfer(slot, to: transfer.target, now: now)
        } else if let place = peerPlace(of: leader), peers[place].isReady {
            var out = FieldWriter(
                reserve(NodeMessage.ForwardedTransfer.size, to: place), .transfer)
            out.put(groups[slot].id.rawValue)
            out.put(transfer.target.rawValue)
        }
    }

    mutating func startTransfer(_ slot: Int, to target: NodeID, now: Instant) {
        guard groups[slot].isRunning, !groups[slot].raft.isTransferring else { return }
        _ = groups[slot].raft.transfer(to: target, now: now, effects: &raftEffects)
        absorb(slot, now: now)
    }

    /// Gives all leaderships away, as far as others can take them: before a shutdown. To the member
    /// that has most of the log; the lowest id among equals.
    public mutating func handOver(now: Instant) {
        isHandingLeadersOver = true
        for slot in groups.indices where isLive[slot] && groups[slot].raft.isLeader {
            let raft = groups[slot].raft
            var best: Int?
            for position in raft.progress.indices
            where raft.membership.members[position] != configuration.node {
                guard raft.progress[position].state != .unreachable else { continue }
                if let known = best, raft.progress[known].match >= raft.progress[position].match {
                    continue
                }
                best = position
            }
            if let best { startTransfer(slot, to: raft.membership.members[best], now: now) }
        }
    }

    /// Whether this node still leads a group that it is handing over.
    public var isHandingOver: Bool {
        guard isHandingLeadersOver else { return false }
        return groups.indices.contains { slot in
            isLive[slot] && groups[slot].raft.isLeader && groups[slot].raft.isTransferring
        }
    }
}
