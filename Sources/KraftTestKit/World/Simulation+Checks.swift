import KraftEngine
import KraftRouting
import RaftCore

/// Feeds the oracles: after each turn with what the engine says of itself, after each sync with
/// what has become durable.
extension Simulation {
    /// Applies committed commands, as the driver does, and watches.
    func apply(_ work: ApplyWork, on node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        guard let replica = node.replica(at: work.slot) else {
            report((.interface, "node \(node.id) applies to a group that it doesn't hold"))
            return
        }
        if replica.isStopped || replica.isRemoved {
            report((.interface, "node \(node.id) applies to a group that is stopped"))
        }
        for (index, command) in work.batch {
            watch(index, TraceHash.of(command), replica, node)
        }
        var replies = ReplyBuffer()
        replica.machine.apply(work.batch, replies: &replies)
        trace(node, 60, work.lastIndex.rawValue)
        let (wasCompared, finding) = oracles.applies.digest(
            replica.track, node: node.id, index: replica.appliedIndex,
            digest: replica.machine.digest())
        if wasCompared { pastCoverage.count(.digestsCompared) }
        report(finding)
        box.engine.applied(work, replies: replies, now: instant(node))
    }

    private func watch(
        _ index: LogIndex, _ command: UInt64, _ replica: Replica<Machine>,
        _ node: SimulatedNode<Machine>
    ) {
        pastCoverage.count(.commandsApplied)
        let (isNew, finding) = oracles.applies.apply(
            replica.track, node: node.id, previous: replica.appliedIndex, index: index,
            command: command)
        report(finding)
        replica.appliedIndex = index
        if isNew {
            report(oracles.requests.apply(command: command, index: index))
            report(oracles.sessions.apply(replica.track, command: command, index: index))
        } else {
            pastCoverage.count(.commandsReplayed)
        }
    }

    /// Looks at all groups of a node whose turn has ended.
    func observe(_ node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        for replica in node.replicas where replica.isOpen && !replica.isRemoved {
            observe(EngineView.look(box.engine, replica.slot), replica, node, box)
            guard violations.isEmpty else { return }
        }
        turnsUntilLogMatch -= 1
        if turnsUntilLogMatch <= 0 {
            turnsUntilLogMatch = options.checks.turnsPerLogMatch
            matchLogs(depth: 64)
        }
    }

    private func observe(
        _ look: GroupLook, _ replica: Replica<Machine>, _ node: SimulatedNode<Machine>,
        _ box: EngineBox
    ) {
        // It says nothing that counts.
        if look.isDamaged {
            replica.lastLook = nil
            return
        }
        if replica.lastLook == look { return }
        let (track, before, slot) = (replica.track, replica.lastLook, replica.slot)
        replica.lastLook = look
        let terms: LogOracle.Terms = { EngineView.term(box.engine, $0, slot) }
        let (committed, finding) = oracles.logs.look(
            track, node: node.id, before: before, now: look, terms: terms)
        report(finding)
        // By what held before the turn, or by what came to hold in it.
        var memberships: [Membership] = []
        if committed > 0 || look.role == .leader {
            memberships = look.configurations.map(\.membership)
            if let held = before?.configurations.last?.membership { memberships.append(held) }
        }
        if committed > 0 {
            pastCoverage.count(.entriesCommitted, committed)
            let last = look.commit.rawValue
            report(
                oracles.durability.checkCommit(
                    track, last - UInt64(committed) + 1...last, by: memberships
                ) { oracles.logs.committedTerm(track, $0) })
            noteMembership(of: replica, look)
        }
        if before?.role == .leader, look.role != .leader {
            pastCoverage.count(.leadersDeposed)
            note("node \(node.id) leads \(groupNames[replica.group]) no more")
        }
        guard look.role == .leader else { return }
        let (isNew, breach) = oracles.leaders.see(track, node: node.id, term: look.term)
        report(breach)
        guard isNew else { return }
        pastCoverage.count(.leadersElected)
        note("node \(node.id) leads \(groupNames[replica.group]) in term \(look.term)")
        report(
            oracles.logs.checkCompleteness(
                track, leader: node.id, term: look.term,
                base: look.base.index, isThorough: pastCoverage[.leadersElected] % 16 == 0,
                terms: terms))
        report(
            oracles.durability.checkVotes(
                track, leader: node.id, term: look.term, by: memberships))
        checkLeases(against: node, replica, look)
    }

    /// The newest configuration that is known for committed, by anybody.
    private func noteMembership(of replica: Replica<Machine>, _ look: GroupLook) {
        guard let newest = look.configurations.last(where: { $0.index <= look.commit }) else {
            return
        }
        while memberships.count <= replica.track { memberships.append(nil) }
        if let known = memberships[replica.track], known.index >= newest.index { return }
        memberships[replica.track] = newest
        pastCoverage.count(.configurationsCommitted)
        if newest.membership.isJoint { pastCoverage.count(.jointConfigurationsCommitted) }
        note("\(groupNames[replica.group]) has the members \(newest.membership.summary)")
    }

    /// Somebody was elected: nobody else may hold a lease on the group now.
    private func checkLeases(
        against leader: SimulatedNode<Machine>, _ replica: Replica<Machine>, _ look: GroupLook
    ) {
        guard options.timing.leaseDuration > .zero else { return }
        for node in nodes where node !== leader {
            guard let box = node.box, let other = node.replica(of: replica.group),
                other.track == replica.track, other.isOpen
            else { continue }
            let glance = box.engine.glance(at: other.slot, now: instant(node))
            pastCoverage.count(.leasesChecked)
            guard glance.holdsLease, glance.term < look.term else { continue }
            report(
                (
                    .linearizability,
                    """
                    node \(leader.id) leads \(groupNames[replica.group]) in term \(look.term), \
                    while node \(node.id) holds the lease of term \(glance.term)
                    """
                ))
        }
    }

    /// Takes over what an engine counted itself, before it goes.
    func collectCounters(of node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        pastCoverage.count(box.engine.rareBranches)
        badFramesFound += box.engine.nodeMetrics.badFrames
    }

    /// I3 over the memory of each pair of nodes that run.
    func matchLogs(depth: Int) {
        pastCoverage.count(.logsMatched)
        for group in groupNames.indices {
            typealias Side = (NodeID, Int, LogIndex, LogIndex, LogOracle.Terms)
            let sides = nodes.compactMap { node -> Side? in
                guard let box = node.box, let replica = node.replica(of: group),
                    let look = replica.lastLook
                else { return nil }
                let slot = replica.slot
                // Its turn may not have ended: then its log has begun further on since it was seen.
                return (
                    node.id, replica.track, EngineView.base(box.engine, slot), look.last,
                    { EngineView.term(box.engine, $0, slot) }
                )
            }
            for (place, a) in sides.enumerated() {
                for b in sides[(place + 1)...] where a.1 == b.1 {
                    report(
                        LogOracle.match(
                            (a.0, a.3, a.4), (b.0, b.3, b.4), depth: depth, base: max(a.2, b.2)))
                }
            }
        }
    }

    /// I15: no node may have found a bad frame that nobody sent.
    func checkBadFrames() {
        let running = nodes.reduce(0) { $0 + ($1.box?.engine.nodeMetrics.badFrames ?? 0) }
        let found = badFramesFound + running
        pastCoverage.count(.badFramesFound, Int(found))
        guard found > badStreams else { return }
        report((.interface, "\(found) bad frames were found, \(badStreams) at most were sent"))
    }

    // MARK: Disks

    /// Something may have become durable on a node.
    func followDisk(of node: SimulatedNode<Machine>, isAgain: Bool = false) {
        guard !node.disk.isDecayed else { return }
        pastCoverage.count(.disksInspected)
        var finding: Finding?
        oracles.durability.beginsInMiddle[node.position] =
            node.disk.firstNeeded > 1 || node.disk.hasDecayed
        // By group: what the newest checkpoint says that the entries before it came to.
        var snapshots: [(group: GroupID, reference: SnapshotReference?)] = []
        do throws(KraftError) {
            try node.disk.follow { record in
                guard finding == nil else { return }
                if case .checkpoint(let id, let replica, _, _, let snapshot, _) = record {
                    snapshots.removeAll { $0.group == id }
                    // A damaged log may speak of an older one than there is.
                    let track = oracles.track(of: id)
                    let isLost = oracles.durability.isLost(track, node: node.position, replica)
                    if !isLost { snapshots.append((id, snapshot)) }
                }
                if case .groupRemoved(let id, _) = record {
                    snapshots.removeAll { $0.group == id }
                }
                finding = oracles.see(record, node: node.position, isAgain: isAgain)
            }
        } catch {
            finding = (.durability, "a durable log can't be read: \(error)")
        }
        report(finding)
        for (_, reference) in snapshots { check(reference, of: node) }
    }

    /// A crash may have changed what is durable: the disk is read anew, and nothing may be missing.
    func inspectDisk(of node: SimulatedNode<Machine>) {
        guard violations.isEmpty, !node.disk.isDecayed else { return }
        let isSinceDamage = node.disk.followAgain()
        let before = oracles.durability.forget(
            node: node.position, isSinceDamage: isSinceDamage)
        followDisk(of: node, isAgain: true)
        report(
            oracles.durability.compare(node: node.position, before: before) {
                oracles.logs.committedTerm($0, $1)
            })
    }

    /// Reads what all disks would show after a power cut, the dead ones' too.
    public func inspectDisks() {
        for node in nodes { inspectDisk(of: node) }
    }
}

/// All that the simulation asks an engine beyond its public interface.
enum EngineView {
    static func look(_ engine: borrowing Engine, _ slot: GroupSlot) -> GroupLook {
        let glance = engine.glance(at: slot)
        return GroupLook(
            id: glance.id, role: glance.role, term: glance.term, leader: glance.leader,
            commit: glance.commitIndex, applied: glance.appliedIndex, last: glance.lastIndex,
            lastTerm: glance.role == .leader
                ? engine.termOfEntry(at: glance.lastIndex, in: slot) : nil,
            base: glance.base, isDamaged: glance.state == .damaged,
            configurations: glance.configurations)
    }

    static func base(_ engine: borrowing Engine, _ slot: GroupSlot) -> LogIndex {
        engine.glance(at: slot).base.index
    }

    static func term(
        _ engine: borrowing Engine, _ index: LogIndex, _ slot: GroupSlot
    ) -> Term? {
        engine.termOfEntry(at: index, in: slot)
    }
}

extension Membership {
    /// For a log: who votes, who learns, and what is under way.
    var summary: String {
        let kinds = members.indices.map { position in
            switch kind(of: position) {
            case .voter: "\(members[position].node)"
            case .learner: "learner \(members[position].node)"
            case .witness: "witness \(members[position].node)"
            }
        }
        let state = isJoint ? ", joint" : isStaging ? ", staging" : ""
        return kinds.joined(separator: " ") + state
    }
}
