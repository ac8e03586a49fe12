import Logging

extension NodeDriver {
    /// Tells logs, metrics and listeners what happened.
    func report(_ notice: Notice) {
        switch notice {
        case .leaderChanged(let slot, let leader, let term):
            reportLeader(slot, leader, term)
        case .groupCreated(let slot, let name):
            logger.info("group created", metadata: ["group": "\(name)"])
            hub.publish(.groupCreated(group: name))
            if keeps(name) { openInvited(slot, name) }
        case .groupRemoved(let slot, let name, let id, _):
            logger.info("group removed", metadata: ["group": "\(name)"])
            hub.publish(.groupRemoved(group: name))
            forget(slot, name, id)
        case .membersChanged(let slot): reportMembers(slot)
        case .rosterChanged(let node, let hasLeft):
            logger.notice(
                hasLeft ? "node left the cluster" : "node joined the cluster",
                metadata: ["peer": "\(node)"])
            publishOfNode(hasLeft ? .nodeLeft(node) : .nodeJoined(node))
        case .leftCluster: logger.notice("this node has left the cluster")
        case .diskStalled(let isStalled):
            logger.error(
                isStalled
                    ? "the disk hangs: this node leads nothing until it answers"
                    : "the disk answers again")
            publishOfNode(.diskStalled(isStalled))
        case .diskFull(let isFull):
            logger.error(
                isFull
                    ? "the disk is full: others lead where they can, else groups are read-only"
                    : "the disk has space again")
            publishOfNode(.diskFull(isFull))
        case .diskSlow(let isSlow):
            logger.warning(
                isSlow
                    ? "the disk is slow: this node hands its leaderships over where it can"
                    : "the disk is quick again")
            publishOfNode(.diskSlow(isSlow))
        case .peerConnected(let peer):
            peersSeen[peer, default: (false, false)].isConnected = true
            logger.info("peer connected", metadata: ["peer": "\(peer)"])
            publishOfNode(.peerConnected(peer))
        case .peerDisconnected(let peer):
            peersSeen[peer, default: (false, false)].isConnected = false
            logger.info("peer disconnected", metadata: ["peer": "\(peer)"])
            publishOfNode(.peerDisconnected(peer))
        case .peerAlive(let peer, let isAlive):
            peersSeen[peer, default: (false, false)].isAlive = isAlive
            logger.notice(
                isAlive ? "peer is heard again" : "peer is not heard any more",
                metadata: ["peer": "\(peer)"])
            publishOfNode(.peerAlive(peer, alive: isAlive))
        case .connectionRefused(let connection, let peer, let reason):
            logger.warning(
                "connection refused",
                metadata: [
                    "peer": "\(peer)", "connection": "\(connection.rawValue)",
                    "reason": "\(reason)",
                ])
            hub.publish(.connectionRefused(peer: peer, reason: words(reason)))
        case .contradicted(let slot): reportContradiction(slot)
        case .damaged(let segment, let offset, let reason):
            logger.error(
                "the log is damaged",
                metadata: [
                    "segment": "\(segment)", "offset": "\(offset)", "reason": "\(reason)",
                ])
            hub.publish(.logDamaged(segment: segment, offset: offset, reason: words(reason)))
        case .snapshotTaken, .snapshotInstalled, .snapshotFailed, .replicaDamaged:
            reportSnapshot(notice)
        case .memberDamaged, .replacementBegun, .replacementDone: reportRepair(notice)
        case .fenced(let reason):
            isFenced = true
            logger.critical("node fenced", metadata: ["reason": "\(reason)"])
            hub.publish(.fenced(reason: words(reason)))
            // Completions of this turn are through; what still waits for the disk never ends.
            for call in calls.removeAll() { call.abandon() }
            whenFenced()
        }
    }

    /// What would be told once for each adapter is told by the shared one.
    private func publishOfNode(_ event: @autoclosure () -> KraftEvent) {
        if adapter == nil { hub.publish(event()) }
    }

    /// Names the adapter, where it isn't the shared one.
    private func words(_ reason: String) -> String {
        adapter.map { "adapter \($0): \(reason)" } ?? reason
    }

    private func reportLeader(_ slot: GroupSlot, _ leader: NodeID, _ term: Term) {
        guard groups.indices.contains(slot.rawValue), let name = groups[slot.rawValue]?.name
        else { return }
        groups[slot.rawValue]?.leader = leader
        groups[slot.rawValue]?.term = term
        // With thousands of groups this is many lines at once: only on request.
        logger.debug(
            "leader changed",
            metadata: ["group": "\(name)", "term": "\(term)", "leader": "\(leader)"])
        hub.publish(.leaderChanged(group: name, leader: leader, term: term))
    }

    private func reportContradiction(_ slot: GroupSlot) {
        guard groups.indices.contains(slot.rawValue), let name = groups[slot.rawValue]?.name,
            let count = groups[slot.rawValue]?.countContradiction()
        else { return }
        logger.error(
            "a replica of the group has lost its memory; its messages are dropped",
            metadata: ["group": "\(name)", "count": "\(count)"])
        hub.publish(.contradicted(group: name, count: count))
    }

    /// How things stand, for the first event of a sequence.
    func snapshot() -> KraftEvent.Snapshot {
        KraftEvent.Snapshot(
            groups: groups.compactMap { group in
                group.map { .init(name: $0.name, leader: $0.leader, term: $0.term) }
            },
            peers: peersSeen.sorted { $0.key < $1.key }.map { node, seen in
                .init(node: node, isConnected: seen.isConnected, isAlive: seen.isAlive)
            },
            isFenced: isFenced)
    }

    /// About once a second, in a turn that happens anyway or in one that is due for it.
    func publishMetrics() {
        let now = now
        if meter.due == .never { meter.due = now + .seconds(1) }
        guard now >= meter.due else { return }
        meter.publish(
            engine.nodeMetrics, log: engine.logStatus, groups: engine.slots.count,
            groupsLed: engine.groupsLed, peersConnected: peersSeen.values.count { $0.isConnected })
    }
}
