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
        if let slot = slot(named: name) {
            guard !groups[slot].isOpened else {
                throw KraftError(.conflict, "group '\(name)' is open already", group: name)
            }
            guard !groups[slot].isLeaving else {
                throw KraftError(.conflict, "this node was removed from the group", group: name)
            }
            groups[slot].isOpened = true
            complete(.local(token), .done(index: .zero, replyStart: 0, replyCount: 0))
            restore(slot)
            queueApply(slot)
            touch(slot)
            return GroupSlot(rawValue: slot)
        }
        guard !QuorumRecovery.isDraft(name) else {
            throw KraftError(.badRequest, "group names that begin so are reserved", group: name)
        }
        let membership = try membership(voters, name)
        // A group that this node has forgotten may have lived here: then it must not begin anew.
        let record = GroupRecord(
            name: name, incarnation: (tombstones[name] ?? 0) + 1, replica: .initial,
            base: membership, isDamaged: isForgetful)
        let id = Engine.groupID(record)
        guard formerReplicas[id] == nil else {
            throw KraftError(
                .conflict,
                "this node was removed from the group; it comes back when it is added again",
                group: name)
        }
        guard slot(ofGroup: id) == nil else {
            throw KraftError(
                .conflict, "the ids of group '\(name)' and of another collide", group: name)
        }
        let slot = create(id, record, now: now)
        groups[slot].isOpened = true
        durableTokens.append((groups[slot].hardStateBatch, token))
        touch(slot)
        return GroupSlot(rawValue: slot)
    }

    /// A replica that holds nothing yet. Nothing may be said in its name before it exists for good.
    mutating func create(_ id: GroupID, _ record: GroupRecord, now: Instant) -> Int {
        let slot = insert(
            RecoveredGroup(
                id: id, name: record.name, incarnation: record.incarnation,
                replica: record.replica, isWitness: record.isWitness, base: record.base,
                configurations: [.init(index: .zero, membership: record.base)],
                isDamaged: record.isDamaged),
            now: now)
        let (position, batch) = writeGroup(.groupCreated, record, id)
        groups[slot].hardStateBatch = batch
        groups[slot].metadataAt = position
        groups[slot].hardStateAt = position
        effects.notices.append(
            .groupCreated(slot: GroupSlot(rawValue: slot), name: record.name))
        return slot
    }

    /// All nodes derive the same id from a group's name, incarnation and first members. Two nodes
    /// that were told different first members have two groups, of which one at most has a quorum.
    static func groupID(_ record: GroupRecord) -> GroupID {
        var writer = ByteWriter()
        writer.writeString(record.name.string)
        for member in record.base.members { writer.write(member.node.rawValue) }
        return GroupID(
            writer.bytes.withUnsafeBytes {
                XXH64($0.baseAddress, $0.count, record.incarnation)
            })
    }

    private func membership(
        _ voters: [NodeID], _ name: GroupName
    ) throws(KraftError) -> Membership {
        guard let membership = Membership(voters: voters) else {
            throw KraftError(
                .badRequest, "voters: 1 to \(Membership.memberLimit) distinct nodes", group: name)
        }
        for voter in membership.members where voter.node != configuration.node {
            guard peerPlace(of: voter.node) != nil else {
                throw KraftError(
                    .badRequest, "voters: node \(voter.node) is not known", group: name)
            }
        }
        guard membership.position(of: configuration.node) != nil else {
            throw KraftError(.badRequest, "voters: this node is not among them", group: name)
        }
        return membership
    }

    mutating func writeGroup(
        _ kind: RecordKind, _ record: GroupRecord, _ id: GroupID
    ) -> (position: LogPosition, batch: UInt64) {
        let payload = record.encoded
        let header = RecordHeader(
            kind: kind, payloadCount: payload.count, group: id, index: .zero, term: .zero, count: 0)
        return log.append(header) { target in
            payload.withUnsafeBytes {
                target.copyMemory(from: $0.baseAddress!, byteCount: $0.count)
            }
        }
    }

    /// Groups that the log holds vote and store at once; they lead and apply when they have been
    /// opened.
    mutating func insert(_ recovered: RecoveredGroup, now: Instant) -> Int {
        // Of a damaged log the entry may be missing that the snapshot ends with.
        let position = recovered.snapshot?.name.position
        let isHeld = position.map { recovered.terms.term(at: $0.index) == $0.term } ?? false
        let beginning = beginnings.shared(recovered.base)
        let raft = Raft(
            replica: Replica(configuration.node, recovered.replica),
            configurations: beginning.sharing(recovered.configurations),
            hardState: recovered.hardState,
            log: recovered.terms, snapshot: isHeld ? position : nil,
            options: raftOptions, seed: dice.next(),
            isWitness: recovered.isWitness, votesHeldUntil: votesHeldUntil, now: now)
        // With a snapshot, the machine is nowhere before it is restored.
        let applied = recovered.snapshot == nil ? recovered.terms.base.index : .zero
        var group = Group(
            id: recovered.id, name: recovered.name, incarnation: recovered.incarnation,
            serial: nextSerial, beginning: beginning, raft: raft, index: recovered.index,
            appliedIndex: applied)
        group.snapshot = recovered.snapshot
        group.lastCapture = now
        for place in 0..<recovered.index.runCount {
            let run = recovered.index.run(at: place)
            if run.last > raft.snapshot.index { group.bytesSinceCapture += Int(run.payloadCount) }
        }
        group.metadataAt = recovered.metadataAt
        group.hardStateAt = recovered.hardStateAt
        group.isDamaged = recovered.isDamaged
        if recovered.isDamaged, !recovered.isMarkedDamaged {
            // No segment may go before its records say so: what shows it may stand in the first.
            group.metadataAt = LogPosition(rawValue: 0)
        }
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
        groups[slot].raft.isReluctant = isBurdened
        precondition(self.slot(ofGroup: recovered.id) == nil, "a group id twice")
        Engine.insert(slot, into: &ids, of: groups) { Engine.hash($0.id) }
        // Of two lives of a name the later one is found.
        if let other = self.slot(named: recovered.name) {
            names.remove(other, hash: hash(recovered.name))
        }
        let seed = boot
        Engine.insert(slot, into: &names, of: groups) { Engine.hash($0.name, seed: seed) }
        return slot
    }

    private static func insert(
        _ slot: Int, into table: inout SlotTable, of groups: borrowing Slab<Group>,
        hash: (borrowing Group) -> Int
    ) {
        table.insert(slot, hash: hash(groups[slot])) { hash(groups[$0]) }
    }

    /// Ids are hashes themselves.
    private static func hash(_ id: GroupID) -> Int { Int(truncatingIfNeeded: id.rawValue) }
    private static func hash(_ name: GroupName, seed: UInt64) -> Int {
        var string = name.string
        return string.withUTF8 {
            Int(truncatingIfNeeded: XXH64($0.baseAddress, $0.count, seed))
        }
    }

    /// Names are the users': with a seed that is random in each life, none can be chosen so that many
    /// stand in one place of the table. What is found doesn't hang on where it stands.
    func hash(_ name: GroupName) -> Int { Engine.hash(name, seed: boot) }

    /// For the path of every message.
    @inline(__always)
    func slot(ofGroup id: GroupID) -> Int? {
        ids.slot(hash: Engine.hash(id)) { groups[$0].id == id }
    }

    func slot(named name: GroupName) -> Int? {
        names.slot(hash: hash(name)) { groups[$0].name == name }
    }

    public func slot(of name: GroupName) -> GroupSlot? {
        slot(named: name).map { GroupSlot(rawValue: $0) }
    }

    public func slot(of id: GroupID) -> GroupSlot? {
        slot(ofGroup: id).map { GroupSlot(rawValue: $0) }
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
        guard isLive[slot], groups[slot].isStopped, !groups[slot].isDamaged else { return }
        groups[slot].isStopped = false
        // Who leads may have changed meanwhile; what was promised to who led holds on.
        let leader = groups[slot].raft.leader
        suspectLeader(of: slot, after: configuration.timing.electionTimeout, now: now)
        // It must hear on this very connection that it is followed no more, before any beat that
        // it could take for a promise.
        if leader != configuration.node { inquire(slot, at: leader) }
        queueApply(slot)
        touch(slot)
    }

    /// Removes a group from this node; a tombstone stays, so that a new one of this name has a
    /// higher incarnation. `token` completes when that is durable. Its slot is void at once.
    public mutating func removeGroup(_ slot: GroupSlot, token: RequestToken, now: Instant) {
        let slot = slot.rawValue
        precondition(isLive[slot], "removes a group that isn't there")
        guard !isFenced else { return refuse(.local(token), .nodeStopped) }
        tombstones[groups[slot].name] = groups[slot].incarnation
        durableTokens.append((discard(slot, isFormerMember: false, now: now), token))
    }

    /// Ends a replica's life for good; returns the batch that says so.
    mutating func discard(_ slot: Int, isFormerMember: Bool, now: Instant) -> UInt64 {
        stopGroup(GroupSlot(rawValue: slot), now: now)
        dropWaiting(of: slot, .groupStopped)
        var record = groups[slot].record
        record.isFormerMember = isFormerMember
        if isFormerMember { formerChanges[record.name] = groups[slot].endedChanges }
        let batch = writeGroup(.groupRemoved, record, groups[slot].id).batch
        dropSnapshots(of: slot, after: batch, now: now)
        ids.remove(slot, hash: Engine.hash(groups[slot].id))
        names.remove(slot, hash: hash(record.name))
        isLive[slot] = false
        reclaim.isLookWorthwhile = true
        groups[slot].isTouched = false
        groups[slot].isApplyQueued = false
        touched.removeAll { $0 == slot }
        awake.removeAll { $0 == slot }
        applyQueue.removeAll { $0 == slot }
        leaving.removeAll { $0 == slot }
        freeSlots.append(slot)
        effects.notices.append(
            .groupRemoved(
                slot: GroupSlot(rawValue: slot), name: record.name, id: groups[slot].id,
                isFormerMember: isFormerMember))
        return batch
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
        let membership = groups[slot].raft.membership
        guard let position = membership.position(of: node), membership.canLead(position) else {
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
            let best =
                successor(of: slot) { !$0.isBurdened } ?? successor(of: slot) { _ in true }
            if let best { startTransfer(slot, to: best, now: now) }
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

extension Engine {
    /// Gives leadership of a group up, without a successor in mind; nothing if this node doesn't
    /// lead it.
    public mutating func stepDown(_ slot: GroupSlot, now: Instant) {
        let slot = slot.rawValue
        guard !isFenced, isLive[slot], groups[slot].raft.isLeader else { return }
        groups[slot].raft.stepDown(now: now, effects: &raftEffects)
        absorb(slot, now: now)
    }

    /// Forces an election of a group: its leader steps down, any other replica campaigns although
    /// there is a leader. What leases promise is kept. False if this replica can't lead.
    public mutating func forceElection(_ slot: GroupSlot, now: Instant) -> Bool {
        let slot = slot.rawValue
        guard !isFenced, isLive[slot], groups[slot].isRunning, !groups[slot].isDamaged else {
            return false
        }
        let leader = groups[slot].raft.leader
        if groups[slot].raft.isLeaderSupported, let place = peerPlace(of: leader),
            peers[place].isReady, now < peers[place].promisedUntil
        {
            // Bound by a lease, which the leader alone can end: it is asked to step down.
            var out = FieldWriter(
                reserve(NodeMessage.ForwardedTransfer.size, to: place), .transfer)
            out.put(groups[slot].id.rawValue)
            out.put(NodeID.none.rawValue)
            return true
        }
        keepPromise(slot)
        let isForced = groups[slot].raft.forceElection(now: now, effects: &raftEffects)
        absorb(slot, now: now)
        return isForced
    }

    /// 1 to 10 (as it is at the start): the lower, the later this replica campaigns when a leader is
    /// lost, so that others win. 0: never, but when it is told to.
    public mutating func setPriority(_ slot: GroupSlot, _ priority: UInt8) {
        guard isLive[slot.rawValue] else { return }
        groups[slot.rawValue].raft.priority = min(priority, 10)
    }
}
