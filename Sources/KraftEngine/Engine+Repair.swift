import KraftRouting
import RaftCore

/// Putting new replicas in the place of damaged ones (`docs/decisions/0021-repair.md`).
///
/// A damaged replica says so to whoever speaks to it, and now and then to all. The leader takes it out
/// of the group by a joint change that needs no word of it, with a new replica on the same node as a
/// learner in the last step, and has that vote again once it has caught up. The configurations tell
/// how far it got, so each leader goes on from there.
extension Engine {
    /// How often a damaged replica says so unasked. Its leader asks more often.
    var tellingPause: Nanoseconds {
        Nanoseconds(configuration.timing.electionTimeout.rawValue * 4)
    }

    // MARK: The damaged side

    /// A message to a damaged replica: it hears nothing but that it may go.
    mutating func onRaftDamaged(
        _ place: Int, _ slot: Int, _ envelope: RaftEnvelope, _ message: Message, now: Instant
    ) {
        switch message {
        case .removed:
            groups[slot].raft.step(
                from: Replica(peers[place].node, envelope.from), message, now: now,
                effects: &raftEffects)
            absorb(slot, now: now)
        case .append, .heartbeat, .timeoutNow, .snapshot: tellDamage(slot, to: place)
        default: break
        }
    }

    mutating func tellDamage(_ slot: Int, to place: Int) {
        var out = FieldWriter(
            reserve(NodeMessage.UnknownReplica.size, to: place), .damagedReplica)
        out.put(groups[slot].id.rawValue)
        out.put(groups[slot].raft.replica.id)
    }

    /// Its leader may not know that it is there: it was left out of the group meanwhile, say.
    mutating func tellDamages(to place: Int) {
        for slot in groups.indices where isLive[slot] && groups[slot].isDamaged {
            tellDamage(slot, to: place)
        }
    }

    /// Called when `Group.repairDeadline` has come.
    mutating func repairDue(_ slot: Int, now: Instant) {
        groups[slot].repairDeadline = .never
        guard groups[slot].isDamaged else { return }
        for place in peers.indices where peers[place].isReady { tellDamage(slot, to: place) }
    }

    // MARK: The others

    mutating func onDamagedReplica(
        _ place: Int, _ told: NodeMessage.UnknownReplica, now: Instant
    ) {
        let replica = Replica(peers[place].node, told.replica)
        guard let slot = slot(ofGroup: told.group), !groups[slot].isStopped,
            !groups[slot].isDamaged
        else { return }
        let isMember = groups[slot].raft.onDamaged(replica, effects: &raftEffects)
        absorb(slot, now: now)
        guard isMember, !groups[slot].damagedMembers.contains(replica) else { return }
        rare.damagesTold += 1
        groups[slot].damagedMembers.append(replica)
        effects.notices.append(
            .memberDamaged(slot: GroupSlot(rawValue: slot), node: replica.node))
        // It will acknowledge nothing: a leader that needs it leads nobody.
        groups[slot].raft.checkQuorum(
            alive: aliveMembers(of: slot), now: now, effects: &raftEffects)
        absorb(slot, now: now)
    }

    /// A new life of a node, or a new connection to it: what it doesn't say again is over.
    mutating func forgetDamages(of node: NodeID) {
        for slot in groups.indices where isLive[slot] && groups[slot].hasDamagedMembers {
            groups[slot].damagedMembers.removeAll { $0.node == node }
        }
    }

    /// Whether a change would make the group need members that are damaged: it could never be
    /// committed, nor anything behind it, so it waits until they are replaced.
    func leansOnDamaged(_ change: MembershipChange, of slot: Int) -> Bool {
        let damaged = groups[slot].damagedMembers
        let raft = groups[slot].raft
        guard !damaged.isEmpty else { return false }
        let position = EntryPosition(index: raft.log.lastIndex.next, term: raft.term)
        guard let next = try? raft.membership.begin(change, at: position) else { return false }
        let voters = next.goal?.voters ?? next.voters
        let sound = next.members.indices.count {
            voters.contains($0) && !damaged.contains(next.members[$0])
        }
        return sound <= voters.count / 2
    }

    // MARK: The leader

    func needsRepair(_ slot: Int) -> Bool {
        groups[slot].hasDamagedMembers || !groups[slot].raft.membership.returning.isEmpty
            || repairs.contains { $0.slot == slot }
    }

    /// Takes the repair of a group that this node leads a step further, if one can be taken now.
    mutating func considerRepairs(of slot: Int, now: Instant) {
        let membership = groups[slot].raft.membership
        groups[slot].damagedMembers.removeAll { membership.position(of: $0) == nil }
        noteRepaired(slot)
        // Who asked for another change goes first.
        let isAnotherWanted = groups[slot].changes.contains { !leansOnDamaged($0.change, of: slot) }
        guard !isAnotherWanted, !isHandingLeadersOver else { return }
        guard now >= groups[slot].nextRepair else {
            groups[slot].repairDeadline = groups[slot].nextRepair
            return
        }
        if !replaceDamaged(slot, now: now) { letReturn(slot, now: now) }
    }

    /// Begins to replace the first damaged member that can be spared.
    private mutating func replaceDamaged(_ slot: Int, now: Instant) -> Bool {
        for replica in groups[slot].damagedMembers {
            guard canReplace(replica, of: slot), isRepairDue(slot, replica.node, now: now) else {
                continue
            }
            do throws(Raft.ChangeRefusal) {
                _ = try groups[slot].raft.replace(replica, now: now, effects: &raftEffects)
            } catch { continue }
            rare.replacementsBegun += 1
            noteRepair(of: slot, replica.node, now: now)
            effects.notices.append(
                .replacementBegun(slot: GroupSlot(rawValue: slot), node: replica.node))
            absorb(slot, now: now)
            return true
        }
        return false
    }

    /// Whether those that are alive and sound can commit the change, and all that comes after.
    private func canReplace(_ replica: Replica, of slot: Int) -> Bool {
        let membership = groups[slot].raft.membership
        guard let position = membership.position(of: replica),
            peers.contains(where: { $0.node == replica.node && $0.isReady })
        else { return false }
        var sound = aliveMembers(of: slot)
        if let own = membership.position(of: groups[slot].raft.replica) { sound.insert(own) }
        var rest = membership.voters
        rest.remove(position)
        return membership.isQuorum(sound) && sound.intersection(rest).count > rest.count / 2
    }

    /// Has replicas vote again that took the place of others and have caught up.
    private mutating func letReturn(_ slot: Int, now: Instant) {
        let membership = groups[slot].raft.membership
        guard membership.goal == nil else { return }
        for position in membership.members.indices where membership.returning.contains(position) {
            let member = membership.members[position]
            let progress = groups[slot].raft.progress[position]
            let lag = groups[slot].raft.log.lastIndex - progress.match
            guard progress.state == .replicate, progress.match > .zero,
                lag <= configuration.limits.appendWindowEntries,
                !groups[slot].damagedMembers.contains(member)
            else { continue }
            let kind = membership.witnesses.contains(position) ? MemberKind.witness : .voter
            do throws(Raft.ChangeRefusal) {
                _ = try groups[slot].raft.propose(
                    MembershipChange(add: [.init(member.node, kind)]), now: now,
                    effects: &raftEffects)
            } catch { continue }
            // Should it be given up, others may have their changes first.
            groups[slot].nextRepair = now + tellingPause
            noteRepair(of: slot, member.node, now: now)
            return absorb(slot, now: now)
        }
    }

    // MARK: How many at once

    private mutating func noteRepair(of slot: Int, _ node: NodeID, now: Instant) {
        let serial = groups[slot].serial
        guard !repairs.contains(where: { $0.slot == slot && $0.node == node }) else { return }
        repairs.append(.init(slot: slot, serial: serial, node: node, since: now))
    }

    /// Each new replica is to be brought the whole state: a few groups at once.
    private mutating func isRepairDue(_ slot: Int, _ node: NodeID, now: Instant) -> Bool {
        let limit = configuration.timing.catchUpTimeout
        repairs = repairs.filter { repair in
            let isUnderWay =
                isLive[repair.slot] && groups[repair.slot].serial == repair.serial
                && groups[repair.slot].raft.isLeader && now < repair.since + limit
            // Who is gone holds up nobody.
            return isUnderWay && peers.contains { $0.node == repair.node && $0.isReady }
        }
        if repairs.contains(where: { $0.slot == slot }) {
            // Of one group, one after the other; the same again if it didn't come to its end.
            return repairs.contains { $0.slot == slot && $0.node == node }
        }
        guard repairs.count < configuration.limits.repairsAtOnce else {
            rare.repairsHeldBack += 1
            return false
        }
        return true
    }

    private mutating func noteRepaired(_ slot: Int) {
        guard !repairs.isEmpty else { return }
        let raft = groups[slot].raft
        let membership = raft.membership
        var place = 0
        while place < repairs.count {
            guard repairs[place].slot == slot, repairs[place].serial == groups[slot].serial else {
                place += 1
                continue
            }
            let node = repairs[place].node
            guard let position = membership.position(of: node) else {
                // Somebody took it out of the group for good.
                repairs.remove(at: place)
                continue
            }
            let isWhole =
                membership.goal == nil && raft.isMembershipCommitted
                && !membership.returning.contains(position)
                && !groups[slot].damagedMembers.contains(membership.members[position])
                && raft.progress[position].state == .replicate
                && raft.progress[position].match > .zero
            guard isWhole else {
                place += 1
                continue
            }
            repairs.remove(at: place)
            rare.replacementsDone += 1
            effects.notices.append(
                .replacementDone(slot: GroupSlot(rawValue: slot), node: node))
        }
    }

    // MARK: Vouching

    /// Notes in which life of their nodes the members of the newest configuration were added: who was
    /// added in this very life of its node can't have lived there before.
    mutating func noteVouchers(_ slot: Int) {
        let raft = groups[slot].raft
        let index = raft.configurations[raft.configurations.count - 1].index
        guard raft.log.term(at: index) == raft.term else { return }
        let position = EntryPosition(index: index, term: raft.term)
        groups[slot].vouchers.removeAll { raft.membership.position(of: $0.replica) == nil }
        for member in raft.membership.members
        where member.id.added == position
            && !groups[slot].vouchers.contains(where: { $0.replica == member })
        {
            let peer = peers.first { $0.node == member.node && $0.isReady }
            groups[slot].vouchers.append(.init(replica: member, boot: peer?.boot ?? 0))
        }
    }

    /// The life of its node in which the replica was added; 0: unknown.
    func voucher(for replica: Replica, in slot: Int) -> UInt64 {
        groups[slot].vouchers.first { $0.replica == replica }?.boot ?? 0
    }
}

/// A damaged replica for which this node, as the leader, brings another into the group.
struct Repair {
    var slot: Int
    var serial: UInt64
    var node: NodeID
    var since: Instant
}

/// In which life of its node a replica was added; 0 if that isn't known.
struct Voucher {
    var replica: Replica
    var boot: UInt64
}
