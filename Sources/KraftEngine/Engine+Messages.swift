import DequeModule
import KraftRouting
import RaftCore

/// Messages between nodes, and what the groups' Raft cores want done.
extension Engine {
    // MARK: In

    mutating func onMessages(_ place: Int, _ body: UnsafeRawBufferPointer, now: Instant) {
        var reader = ByteReader(body)
        let connection = peers[place].connection
        while reader.remaining > 0 {
            guard let message = try? WireMessage.read(from: &reader) else {
                return badFrame(place, "a malformed message", now: now)
            }
            onMessage(place, message, now: now)
            guard peers[place].isReady, peers[place].connection == connection, !isFenced else {
                return
            }
        }
    }

    private mutating func onMessage(_ place: Int, _ message: IncomingMessage, now: Instant) {
        switch message {
        case .raft(let envelope, let message, let entries):
            onRaft(place, envelope, message, entries, now: now)
        case .beat(let beat): onBeat(place, beat, now: now)
        case .proposal(let header, let command):
            onForwardedProposal(place, header, command, now: now)
        case .outcome(let outcome, let reply): onOutcome(place, outcome, reply, now: now)
        case .readIndexRequest(let request): onReadIndexRequest(place, request, now: now)
        case .readIndexReply(let reply): onReadIndexReply(place, reply, now: now)
        case .transfer(let transfer):
            guard let slot = slot(ofGroup: transfer.group) else { return }
            if transfer.target.isNone {
                return stepDown(GroupSlot(rawValue: slot), now: now)
            }
            startTransfer(slot, to: transfer.target, now: now)
        case .unknownReplica(let unknown): onUnknownReplica(place, unknown)
        case .damagedReplica(let told): onDamagedReplica(place, told, now: now)
        case .inquiry(let inquiry): onInquiry(place, inquiry, now: now)
        case .invitation(let invitation): onInvitation(place, invitation, now: now)
        case .replicaBegun(let begun): onReplicaBegun(place, begun)
        case .roster(let entries): onRoster(entries, now: now)
        case .info(let info): peers[place].info = info
        case .change(let change): onForwardedChange(place, change, now: now)
        case .changeReply(let reply): onChangeReply(place, reply, now: now)
        case .fetch(let fetch): onFetch(place, fetch, now: now)
        case .fetchEnd(let end): onFetchEnd(place, end, now: now)
        case .chunk: badFrame(place, "a snapshot's bytes on the wrong connection", now: now)
        }
    }

    private mutating func onRaft(
        _ place: Int, _ envelope: RaftEnvelope, _ message: Message,
        _ entries: UnsafeRawBufferPointer, now: Instant
    ) {
        guard entries.count <= configuration.log.segmentSizeBytes / 2 else {
            return badFrame(place, "more entries than this node's segments hold", now: now)
        }
        guard let slot = slot(ofGroup: envelope.group),
            groups[slot].raft.replica.id >= envelope.to
        else { return tellUnknown(place, envelope, message) }
        // What was meant for an earlier life here, or comes to one that must go, is void.
        guard groups[slot].raft.replica.id == envelope.to, !groups[slot].isLeaving else { return }
        if groups[slot].isDamaged {
            return onRaftDamaged(place, slot, envelope, message, now: now)
        }
        guard !groups[slot].isStopped else { return }
        if !hasLogRoom,
            case .append(let append) = message, append.count > 0,
            !groups[slot].raft.holdsEntries(of: append)
        {
            return decline(slot, append, from: Replica(peers[place].node, envelope.from))
        }
        if case .timeoutNow = message, !isTicking(slot) { return }
        if case .vote(let vote) = message, vote.isForced { keepPromise(slot) }
        groups[slot].raft.step(
            from: Replica(peers[place].node, envelope.from), message,
            memberships: envelope.memberships, now: now, effects: &raftEffects)
        let offer = raftEffects.offer
        absorb(slot, entries: entries, now: now)
        if let offer {
            onOffer(slot, offer, envelope.snapshot, from: peers[place].node, now: now)
        }
    }

    /// There is no room for entries now; what brings none is heard all the same. Their leader is told when there is: of each group, for the
    /// first that were left out.
    private mutating func decline(_ slot: Int, _ append: Message.Append, from sender: Replica) {
        rare.appendsDeclined += 1
        let serial = groups[slot].serial
        if let known = declined.firstIndex(where: { $0.serial == serial }) {
            guard declined[known].append.term < append.term else { return }
            declined.remove(at: known)
        }
        declined.append(.init(slot: slot, serial: serial, from: sender, append: append))
    }

    mutating func answerDeclined(now: Instant) {
        guard hasLogRoom, log.waitingBytes <= configuration.limits.logQueueBytes / 2 else { return }
        let all = declined
        declined.removeAll(keepingCapacity: true)
        for one in all where isLive[one.slot] && groups[one.slot].serial == one.serial {
            groups[one.slot].raft.declined(one.append, by: one.from, effects: &raftEffects)
            absorb(one.slot, now: now)
        }
    }

    // MARK: What a core wants

    /// Carries out `raftEffects` of a group: records first, so that the messages know which batch
    /// they must wait for.
    mutating func absorb(
        _ slot: Int, entries: UnsafeRawBufferPointer = .init(start: nil, count: 0), now: Instant
    ) {
        touch(slot)
        if raftEffects.isHardStateChanged { writeHardState(of: slot) }
        if let append = raftEffects.append { writeEntries(append, of: slot, from: entries) }
        var place = 0
        while place < raftEffects.messages.count {
            let (to, message) = raftEffects.messages[place]
            send(message, to: to, from: slot)
            place += 1
        }
        let isRoleChanged = raftEffects.isRoleChanged
        let isCommitAdvanced = raftEffects.isCommitAdvanced
        let isReadConfirmed = raftEffects.isReadConfirmed
        let isMembershipChanged = raftEffects.isMembershipChanged
        if raftEffects.isRemoved { groups[slot].isLeaving = true }
        if raftEffects.isAstray { inquire(slot, at: nil) }
        if raftEffects.isContradicted {
            effects.notices.append(.contradicted(slot: GroupSlot(rawValue: slot)))
        }
        raftEffects.removeAll()
        if isRoleChanged { roleChanged(slot, now: now) }
        if isMembershipChanged { membershipChanged(slot, now: now) }
        if isCommitAdvanced { queueApply(slot) }
        if isReadConfirmed { readsConfirmed(slot, now: now) }
    }

    private mutating func roleChanged(_ slot: Int, now: Instant) {
        let leader = groups[slot].raft.leader
        effects.notices.append(
            .leaderChanged(
                slot: GroupSlot(rawValue: slot), leader: leader, term: groups[slot].raft.term))
        if groups[slot].raft.isLeader != groups[slot].isCountedAsLeader {
            groups[slot].isCountedAsLeader.toggle()
            groupsLed += groups[slot].isCountedAsLeader ? 1 : -1
        }
        if groups[slot].raft.role == .candidate { groups[slot].elections += 1 }
        if groups[slot].raft.isLeader {
            noteUnreachable(slot)
            groups[slot].raft.checkQuorum(
                alive: aliveMembers(of: slot), now: now, effects: &raftEffects)
            if !groups[slot].raft.isLeader { absorb(slot, now: now) }
        } else {
            ticketsLost(slot)
        }
        if let transfer = groups[slot].transfer, transfer.target == leader {
            groups[slot].transfer = nil
            waitingRequests -= 1
            complete(.local(transfer.token), .done(index: .zero, replyStart: 0, replyCount: 0))
        }
    }

    private func isReachable(_ node: NodeID) -> Bool {
        guard let place = peerPlace(of: node) else { return false }
        return peers[place].isReady
    }

    /// Tells a leader's core which members no connection leads to.
    mutating func noteUnreachable(_ slot: Int) {
        for member in groups[slot].raft.membership.members
        where member.node != configuration.node && !isReachable(member.node) {
            groups[slot].raft.peerDisconnected(member.node)
        }
    }

    // MARK: Out

    /// The durability rule: a message that speaks of durable facts leaves when the group's newest
    /// term and vote are durable; of entries it names only those that are. All others leave at
    /// once.
    private mutating func send(_ message: Message, to replica: Replica, from slot: Int) {
        let batch = groups[slot].hardStateBatch
        if message.mustWaitForDurability, batch > log.completed {
            deferred.append(
                DeferredMessage(
                    batch: batch, slot: slot, serial: groups[slot].serial, to: replica,
                    message: message))
        } else if replica.node == configuration.node {
            // The core's own vote, already durable: it comes back with the next completion, or now
            // if nothing is awaited.
            deferred.append(
                DeferredMessage(
                    batch: log.completed, slot: slot, serial: groups[slot].serial, to: replica,
                    message: message))
        } else {
            transmit(message, to: replica, from: slot)
        }
    }

    private mutating func transmit(_ message: Message, to replica: Replica, from slot: Int) {
        guard let place = peerPlace(of: replica.node), peers[place].isReady else { return }
        var envelope = RaftEnvelope(
            group: groups[slot].id, from: groups[slot].raft.replica.id, to: replica.id)
        if case .snapshot(let offer) = message {
            rare.offersMade += 1
            guard let reference = groups[slot].snapshot,
                reference.name.position == offer.position
            else { preconditionFailure("offers a state that isn't here") }
            envelope.snapshot = reference
        }
        let size = WireMessage.size(message, envelope)
        guard case .append(let append) = message, append.count > 0 else {
            let target = reserve(size, to: place)
            WireMessage.write(message, envelope, entriesCount: 0, to: target)
            return
        }
        let membership = groups[slot].raft.membership
        if let position = membership.position(of: replica),
            membership.witnesses.contains(position)
        {
            return transmitWithheld(append, envelope, to: place, from: slot)
        }
        let first = append.previous.index.next
        let (count, entriesCount) = available(
            slot, from: first, most: append.count, limitBytes: .max)
        precondition(count == append.count, "entries went away between look and send")
        let target = reserve(size + entriesCount, to: place)
        WireMessage.write(message, envelope, entriesCount: entriesCount, to: target)
        copyEntries(slot, from: first, count: append.count, to: target + size)
    }

    /// Entries without their bytes, but for those that say who is a member: for a witness.
    private mutating func transmitWithheld(
        _ append: Message.Append, _ envelope: RaftEnvelope, to place: Int, from slot: Int
    ) {
        let first = append.previous.index.next
        let (_, byteCount) = available(slot, from: first, most: append.count, limitBytes: .max)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 8)
        defer { bytes.deallocate() }
        if let base = bytes.baseAddress {
            copyEntries(slot, from: first, count: append.count, to: base)
        }
        let kept = EntryRun.withheld(UnsafeRawBufferPointer(bytes), count: append.count)
        let message = Message.append(append)
        let size = WireMessage.size(message, envelope)
        let target = reserve(size + kept.count, to: place)
        WireMessage.write(message, envelope, entriesCount: kept.count, to: target)
        kept.withUnsafeBytes { bytes in
            if let source = bytes.baseAddress {
                (target + size).copyMemory(from: source, byteCount: bytes.count)
            }
        }
    }

    private static var deferredRoom: Int { 1_024 }

    /// Sends what waited for batches that are durable now, and takes in the cores' own votes.
    mutating func releaseDeferred(now: Instant) {
        let count = deferred.count
        // Room for a burst, as when thousands of groups elect, isn't kept.
        defer { if count > Engine.deferredRoom, deferred.isEmpty { deferred = Deque() } }
        for _ in 0..<count {
            guard let waiting = deferred.popFirst() else { return }
            guard isLive[waiting.slot], groups[waiting.slot].serial == waiting.serial else {
                continue
            }
            if waiting.batch > log.completed {
                deferred.append(waiting)
            } else if waiting.to.node == configuration.node {
                guard !groups[waiting.slot].isStopped else { continue }
                groups[waiting.slot].raft.step(
                    from: waiting.to, waiting.message, now: now, effects: &raftEffects)
                absorb(waiting.slot, now: now)
            } else if !groups[waiting.slot].isStopped {
                transmit(waiting.message, to: waiting.to, from: waiting.slot)
            }
        }
    }

    // MARK: Entries to followers

    /// Sends each follower the entries it wants, as far as its queue has room and their bytes are
    /// in memory; asks for those that aren't.
    mutating func sendEntries(of slot: Int) {
        let members = groups[slot].raft.membership.members
        for position in members.indices {
            guard groups[slot].raft.wantedEntries(by: position) != nil,
                let place = peerPlace(of: members[position].node)
            else { continue }
            while hasRoom(place),
                let wanted = groups[slot].raft.wantedEntries(by: position)
            {
                let (count, byteCount) = available(
                    slot, from: wanted.first, most: wanted.most,
                    limitBytes: configuration.limits.appendSizeBytes)
                guard count > 0 else {
                    requestEntries(slot, at: wanted.first)
                    break
                }
                groups[slot].raft.sendEntries(
                    to: position, count: count, byteCount: byteCount, effects: &raftEffects)
                absorb(slot, now: .zero)
            }
        }
    }

    /// How many entries from `first` on are in memory, within the limits, and their size.
    private func available(
        _ slot: Int, from first: LogIndex, most: Int, limitBytes: Int
    ) -> (count: Int, byteCount: Int) {
        guard var place = groups[slot].index.place(of: first) else { return (0, 0) }
        var count = 0
        var byteCount = 0
        while count < most, place < groups[slot].index.runCount {
            let run = groups[slot].index.run(at: place)
            guard let payload = log.payload(at: run.position, count: Int(run.payloadCount))
            else { break }
            let skip = first + count - run.first
            let rest = Int(run.count) - skip
            let room = limitBytes - byteCount
            if skip == 0, rest <= most - count, run.usedCount > 0, Int(run.usedCount) <= room {
                count += rest
                byteCount += Int(run.usedCount)
                place += 1
                continue
            }
            let start = EntryRun.size(payload, count: skip)
            let tail = UnsafeRawBufferPointer(rebasing: payload[start...])
            let fitting = EntryRun.fitting(tail, most: min(rest, most - count), limit: room)
            if fitting.size > room, count > 0 { break }
            count += fitting.count
            byteCount += fitting.size
            if fitting.count < rest { break }
            place += 1
        }
        return (count, byteCount)
    }

    private func copyEntries(
        _ slot: Int, from first: LogIndex, count: Int, to target: UnsafeMutableRawPointer
    ) {
        guard var place = groups[slot].index.place(of: first) else { return }
        var target = target
        var copied = 0
        while copied < count {
            let run = groups[slot].index.run(at: place)
            guard let payload = log.payload(at: run.position, count: Int(run.payloadCount))
            else { preconditionFailure("entries went away between look and copy") }
            let skip = first + copied - run.first
            let taken = min(Int(run.count) - skip, count - copied)
            let start = skip == 0 ? 0 : EntryRun.size(payload, count: skip)
            let tail = UnsafeRawBufferPointer(rebasing: payload[start...])
            let isWhole = skip == 0 && taken == Int(run.count) && run.usedCount > 0
            let size = isWhole ? Int(run.usedCount) : EntryRun.size(tail, count: taken)
            if let source = tail.baseAddress { target.copyMemory(from: source, byteCount: size) }
            target += size
            copied += taken
            place += 1
        }
    }
}
