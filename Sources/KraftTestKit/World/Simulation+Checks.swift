import KraftEngine
import KraftRouting
import RaftCore

/// Feeds the oracles: after each turn with what the engine says of itself, now and then with what
/// is on the disks.
extension Simulation {
    func track(_ box: EngineBox, _ replica: Replica<Machine>) -> Int {
        let id = replica.lastLook?.id ?? EngineView.look(box.engine, replica.slot).id
        return oracles.track(of: id)
    }

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
        let track = track(box, replica)
        for (index, command) in work.batch {
            watch(index, TraceHash.of(command), track, replica, node)
        }
        var replies = ReplyBuffer()
        replica.machine.apply(work.batch, replies: &replies)
        trace(node, 60, work.lastIndex.rawValue)
        let (wasCompared, finding) = oracles.applies.digest(
            track, node: node.id, index: replica.appliedIndex, digest: replica.machine.digest())
        if wasCompared { pastCoverage.count(.digestsCompared) }
        report(finding)
        box.engine.applied(work, replies: replies, now: instant(node))
    }

    private func watch(
        _ index: LogIndex, _ command: UInt64, _ track: Int, _ replica: Replica<Machine>,
        _ node: SimulatedNode<Machine>
    ) {
        pastCoverage.count(.commandsApplied)
        note("node \(node.id) applies \(index) of track \(track): \(command)")
        let (isNew, finding) = oracles.applies.apply(
            track, node: node.id, previous: replica.appliedIndex, index: index, command: command)
        report(finding)
        replica.appliedIndex = index
        if isNew {
            report(oracles.requests.apply(command: command, index: index))
        } else {
            pastCoverage.count(.commandsReplayed)
        }
    }

    /// Looks at all groups of a node whose turn has ended.
    func observe(_ node: SimulatedNode<Machine>) {
        guard let box = node.box else { return }
        for replica in node.replicas where replica.isOpen && !replica.isRemoved {
            let look = EngineView.look(box.engine, replica.slot)
            observe(look, replica, node, box)
            replica.lastLook = look
            guard violations.isEmpty else { return }
        }
        let turns = Int(pastCoverage[.turns])
        if turns % options.checks.turnsPerLogMatch == 0 { matchLogs(depth: 64) }
        if turns >= nextInspection {
            // A long log takes longer to read, so it is read less often.
            let committed = Int(pastCoverage[.entriesCommitted])
            nextInspection = turns + options.checks.turnsPerInspection + committed / 4
            inspectDisks()
        }
    }

    private func observe(
        _ look: GroupLook, _ replica: Replica<Machine>, _ node: SimulatedNode<Machine>,
        _ box: EngineBox
    ) {
        let track = oracles.track(of: look.id)
        let before = replica.lastLook
        let slot = replica.slot
        let terms: LogOracle.Terms = { EngineView.term(box.engine, $0, slot) }
        let (committed, finding) = oracles.logs.look(
            track, node: node.id, before: before, now: look, terms: terms)
        report(finding)
        pastCoverage.count(.entriesCommitted, committed)
        if before?.role == .leader, look.role != .leader { pastCoverage.count(.leadersDeposed) }
        guard look.role == .leader else { return }
        let (isNew, breach) = oracles.leaders.see(track, node: node.id, term: look.term)
        report(breach)
        guard isNew else { return }
        pastCoverage.count(.leadersElected)
        note("node \(node.id) leads \(groupNames[replica.group]) in term \(look.term)")
        report(
            oracles.logs.checkCompleteness(
                track, leader: node.id, term: look.term, terms: terms))
        guard options.firstVoters == nil else { return }
        readDisks()
        guard !isRemovedSomewhere(look.id) else { return }
        report(oracles.durability.checkVotes(track, leader: node.id, term: look.term))
    }

    /// Takes over what an engine counted itself, before it goes.
    func collectCounters(of node: SimulatedNode<Machine>) {
        if let rare = node.box?.engine.rareBranches { pastCoverage.count(rare) }
    }

    /// I3 over each pair of nodes that run.
    func matchLogs(depth: Int) {
        pastCoverage.count(.logsMatched)
        for group in groupNames.indices {
            let sides = nodes.compactMap { node -> (NodeID, GroupID, LogIndex, LogOracle.Terms)? in
                guard let box = node.box, let replica = node.replica(of: group),
                    let look = replica.lastLook
                else { return nil }
                let slot = replica.slot
                return (node.id, look.id, look.last, { EngineView.term(box.engine, $0, slot) })
            }
            for (place, a) in sides.enumerated() {
                for b in sides[(place + 1)...] where a.1 == b.1 {
                    report(LogOracle.match((a.0, a.2, a.3), (b.0, b.2, b.3), depth: depth))
                }
            }
        }
    }

    /// I6: reads what all disks would show after a power cut, the dead ones' too.
    func inspectDisks() {
        // Quorums of all nodes are what these checks know.
        guard violations.isEmpty, options.firstVoters == nil else { return }
        pastCoverage.count(.disksInspected)
        readDisks()
        for (track, id) in oracles.ids.enumerated() where !isRemovedSomewhere(id) {
            report(
                oracles.durability.check(track, commit: oracles.logs.commitIndex(track)) {
                    oracles.logs.committedTerm(track, $0)
                })
        }
    }

    private func readDisks() {
        for node in nodes {
            for (id, replica) in DiskView.groups(on: node.disk, report) {
                report(oracles.durability.see(oracles.track(of: id), node: node.position, replica))
            }
        }
    }

    /// A node that removed a group has given its log away; it no longer counts.
    private func isRemovedSomewhere(_ id: GroupID) -> Bool {
        nodes.contains { node in
            node.removedGroups.contains { group in
                removedIDs.contains { $0.group == group && $0.id == id }
            }
        }
    }
}

/// All that the simulation asks an engine beyond its public interface.
enum EngineView {
    static func look(_ engine: borrowing Engine, _ slot: GroupSlot) -> GroupLook {
        let glance = engine.glance(at: slot)
        return GroupLook(
            id: glance.id, role: glance.role, term: glance.term, leader: glance.leader,
            commit: glance.commitIndex, applied: glance.appliedIndex, last: glance.lastIndex,
            lastTerm: engine.termOfEntry(at: glance.lastIndex, in: slot))
    }

    static func term(
        _ engine: borrowing Engine, _ index: LogIndex, _ slot: GroupSlot
    ) -> Term? {
        engine.termOfEntry(at: index, in: slot)
    }
}

/// What is on a disk, read by the engine's own recovery.
enum DiskView {
    static func groups(
        on disk: SimulatedDisk, _ report: (Finding?) -> Void
    ) -> [(GroupID, DurabilityOracle.Replica)] {
        var groups: [LogInspection.Group] = []
        with(disk.segments.filter(\.isEntryDurable)[...], []) { segments in
            do throws(KraftError) {
                groups = try LogInspection.inspect(segments)
            } catch {
                report((.durability, "a durable log can't be read: \(error)"))
            }
        }
        return groups.map { group in
            (
                group.id,
                DurabilityOracle.Replica(
                    term: group.term, vote: group.vote,
                    entries: group.entries.map { ($0.term, $0.hash) })
            )
        }
    }

    /// Opens one segment's memory after the other: a copy of them all would cost more than the
    /// whole inspection.
    private static func with(
        _ segments: ArraySlice<SimulatedDisk.Segment>,
        _ opened: [(number: UInt64, bytes: UnsafeRawBufferPointer)],
        _ body: ([(number: UInt64, bytes: UnsafeRawBufferPointer)]) -> Void
    ) {
        guard let first = segments.first else { return body(opened) }
        first.durable.withUnsafeBytes { bytes in
            with(segments.dropFirst(), opened + [(first.number, bytes)], body)
        }
    }
}
