import KraftRouting
import RaftCore

/// What the engine tells about itself. Changes nothing.
extension Engine {
    public func status(of slot: GroupSlot) -> GroupStatus {
        status(of: groups[slot.rawValue], in: slot)
    }

    private func status(of group: borrowing Group, in slot: GroupSlot) -> GroupStatus {
        let members = group.raft.membership.members
        let replicas = members.indices.map { position in
            GroupStatus.Replica(
                node: members[position].node, kind: group.raft.membership.kind(of: position),
                matchIndex: matchIndex(group.raft, position), state: replicaState(group, position))
        }
        return GroupStatus(
            slot: slot, name: group.name, id: group.id, incarnation: group.incarnation,
            epoch: group.epoch, state: group.state, role: group.role, term: group.raft.term,
            leader: group.raft.leader,
            commitIndex: group.raft.commitIndex, appliedIndex: group.appliedIndex,
            firstIndex: group.raft.log.firstIndex, lastIndex: group.raft.log.lastIndex,
            members: replicas.map { .init(node: $0.node, kind: $0.kind) },
            isJoint: group.raft.membership.isJoint, change: group.raft.membership.goal?.change,
            finishedChange: group.raft.configurations[0].membership.finished,
            isMembershipCommitted: group.raft.isMembershipCommitted,
            committedConfiguration: group.raft.configurations[0].index,
            replicas: replicas,
            isQuiesced: group.raft.nextDeadline == .never && group.waitingCount == 0,
            snapshot: group.snapshot)
    }

    private func matchIndex(_ raft: borrowing Raft, _ position: Int) -> LogIndex {
        if raft.membership.members[position].node == configuration.node { return raft.durableIndex }
        return raft.isLeader ? raft.progress[position].match : .zero
    }

    private func replicaState(_ group: borrowing Group, _ position: Int) -> String {
        let member = group.raft.membership.members[position]
        if group.damagedMembers.contains(member) { return "damaged" }
        if member.node == configuration.node { return group.isDamaged ? "damaged" : "replicate" }
        guard group.raft.isLeader else { return "unknown" }
        return switch group.raft.progress[position].state {
        case .probe: "probe"
        case .replicate: "replicate"
        case .snapshot: "snapshot"
        case .unreachable: "unreachable"
        }
    }

    public func id(of slot: GroupSlot) -> GroupID { groups[slot.rawValue].id }

    public func appliedIndex(of slot: GroupSlot) -> LogIndex {
        groups[slot.rawValue].appliedIndex
    }

    public func metrics(of slot: GroupSlot) -> GroupMetrics {
        let place = slot.rawValue
        var metrics = GroupMetrics()
        metrics.commandsApplied = groups[place].commandsApplied
        metrics.bytesApplied = groups[place].bytesApplied
        metrics.elections = groups[place].elections
        metrics.sessions = sessionCount(of: slot)
        if let latency = groups[place].seldom.knownLatency { metrics.commitLatency = latency }
        return metrics
    }

    public var nodeMetrics: NodeMetrics { counters }

    public var logStatus: LogStatus { log.status }

    /// Whether this node has left the cluster: nobody talks to it any more.
    public var hasLeft: Bool { hasLeftCluster }

    public func peerStatus(now: Instant) -> [PeerStatus] {
        peers.map { peer in
            PeerStatus(
                node: peer.node, address: peer.address, isConnected: peer.isReady,
                isAlive: peer.isAlive, sinceHeard: peer.lastHeard.map { now - $0 },
                queuedBytes: peer.queuedBytes, hasLeft: peer.hasLeft, groupsLed: peer.groupsLed,
                groups: peer.groups,
                info: peer.info)
        }
    }

    // MARK: For tests

    /// A cheap look at a group, for checkers that look after every turn.
    package struct GroupGlance {
        package var id: GroupID
        package var role: GroupStatus.Role
        package var state: GroupStatus.State
        package var term: Term
        package var vote: NodeID
        package var leader: NodeID
        package var commitIndex: LogIndex
        package var appliedIndex: LogIndex
        package var replica: Replica
        /// Those of the log from the last committed one on.
        package var configurations: [Raft.Configuration]
        package var holdsLease: Bool
        /// Durable or not.
        package var lastIndex: LogIndex
        /// The entry before the first that the log holds.
        package var base: EntryPosition
        package var isRestoring: Bool
        package var durableIndex: LogIndex
    }

    package func glance(at slot: GroupSlot, now: Instant = .never) -> GroupGlance {
        let place = slot.rawValue
        var raft = groups[place].raft
        let isLeasing = configuration.timing.leaseDuration > .zero
        let holdsLease = isLeasing && raft.holdsLease(by: peers, now: now)
        return GroupGlance(
            id: groups[place].id, role: groups[place].role, state: groups[place].state,
            term: groups[place].raft.term,
            vote: groups[place].raft.hardState.vote, leader: groups[place].raft.leader,
            commitIndex: groups[place].raft.commitIndex,
            appliedIndex: groups[place].appliedIndex, replica: groups[place].raft.replica,
            configurations: groups[place].raft.configurations,
            holdsLease: holdsLease,
            lastIndex: groups[place].raft.log.lastIndex, base: groups[place].raft.log.base,
            isRestoring: groups[place].isRestoring,
            durableIndex: groups[place].raft.durableIndex)
    }

    /// The term of an entry in this node's log, durable or not; nil outside of it.
    package func termOfEntry(at index: LogIndex, in slot: GroupSlot) -> Term? {
        groups[slot.rawValue].raft.log.term(at: index)
    }

    package var rareBranches: RareBranches { rare }

    /// Whether somebody still waits for a change of a group's members to begin here.
    package func isChangeWanted(_ slot: GroupSlot) -> Bool {
        !groups[slot.rawValue].changes.isEmpty
    }
}

extension Group {
    var role: GroupStatus.Role {
        switch raft.role {
        case .leader: .leader
        case .follower:
            switch raft.kind {
            case .voter, nil: .follower
            case .learner: .learner
            case .witness: .witness
            }
        case .preCandidate, .candidate: .candidate
        }
    }

    var state: GroupStatus.State {
        if isDamaged { return .damaged }
        if isStopped { return .stopped }
        return isOpened ? .running : .recovering
    }
}
