/// Log compaction and snapshots (chapter 5). The states themselves are the owner's; the core knows
/// which entry each ends with, and which members held there.
extension Raft {
    // MARK: Compaction

    /// The configuration that held at `index`, which is not before the log's base nor behind its end.
    public func configuration(at index: LogIndex) -> Configuration {
        precondition(index >= log.base.index && index <= log.lastIndex, "no such entry")
        let known =
            configurations.last { $0.index <= index }
            ?? pastConfigurations.last { $0.index <= index }
        guard let known else { preconditionFailure("no configuration held at \(index)") }
        return known
    }

    /// Committed configurations that no longer hold are kept as long as the log reaches back to them:
    /// a snapshot may still be made or offered that ends there.
    mutating func retireConfigurations() {
        while configurations.count > 1, configurations[1].index <= commitIndex {
            pastConfigurations.append(configurations.removeFirst())
        }
    }

    /// Forgets the entries up to `index`, because a durable snapshot up to `snapshot` holds what they
    /// came to (a witness has nothing to hold). Followers that need them will be offered it.
    ///
    /// Traps for what isn't committed. The owner has applied everything up to `snapshot`.
    public mutating func compact(upTo index: LogIndex, snapshot position: EntryPosition) {
        precondition(index <= position.index && position.index <= commitIndex, "not committed yet")
        precondition(log.term(at: position.index) == position.term, "another log's snapshot")
        snapshot = position
        log.compact(upTo: index)
        forgetConfigurations()
        guard role == .leader else { return }
        for position in progress.indices
        where position != selfPosition && progress[position].next <= log.base.index {
            switch progress[position].state {
            case .unreachable: progress[position].next = log.base.index.next
            case .probe, .replicate: reprobe(position)
            case .snapshot:
                progress[position].next = log.base.index.next
                progress[position].isProbeInFlight = false
            }
        }
    }

    private mutating func forgetConfigurations() {
        let superseding = (pastConfigurations + configurations).dropFirst()
        let dropped = superseding.prefix { $0.index <= log.base.index }.count
        pastConfigurations.removeFirst(min(dropped, pastConfigurations.count))
    }

    // MARK: Leader

    mutating func offerSnapshot(to position: Int, _ effects: inout RaftEffects) {
        guard !progress[position].isProbeInFlight else { return }
        progress[position].isProbeInFlight = true
        let offer = Message.Snapshot(
            term: term, position: snapshot, configuration: configuration(at: snapshot.index))
        effects.messages.append((membership.members[position], .snapshot(offer)))
    }

    /// The member is alive and on its way through the state that it was offered: new members are given
    /// the time that takes.
    public mutating func snapshotMoves(to node: NodeID, now: Instant) {
        guard role == .leader, stagingDeadline != .never,
            let position = membership.position(of: node), progress[position].state == .snapshot
        else { return }
        stagingDeadline = max(stagingDeadline, now + options.catchUpTimeout)
    }

    // MARK: Follower

    mutating func onSnapshot(
        from sender: Replica, _ m: Message.Snapshot, now: Instant, effects: inout RaftEffects
    ) {
        guard m.term >= term else {
            // A leader of the past learns it from this.
            let reply = Message.AppendReply(
                term: term, index: m.position.index, isRejected: true, hint: log.base)
            effects.messages.append((sender, .appendReply(reply)))
            return
        }
        guard follow(sender, term: m.term, now: now, effects: &effects) else { return }
        if holds(m.position) {
            verifiedIndex = max(verifiedIndex, m.position.index)
            follow(commit: m.position.index, &effects)
        } else if m.position.index <= commitIndex {
            effects.isContradicted = true
            return
        } else {
            effects.offer = m
        }
        acknowledge(&effects, isProbe: true)
    }

    /// Whether the log, or what was compacted away of it, holds this committed entry.
    private func holds(_ position: EntryPosition) -> Bool {
        position.index < log.base.index || log.term(at: position.index) == position.term
    }

    /// What `install` did.
    public enum Installation: Hashable, Sendable {
        /// The state is older than what this replica has committed, or it needs none any more.
        case refused
        /// The log holds the position and goes on behind it; it may be compacted up to there.
        case kept
        /// The log held something else: it is void, and begins anew behind the position.
        case reset
    }

    /// A state that was offered is durable here: takes it for the log up to `position`.
    ///
    /// Unless it is refused the owner brings its state machine there, and calls `persisted` for
    /// `position` when the disk says that the log begins so. Nothing is acknowledged before.
    ///
    /// Whoever offered it may lead no more: what it ends with is committed, so every later leader has
    /// it too, and whatever stands against it in this log can't be committed (section 5.2).
    public mutating func install(
        _ position: EntryPosition, _ configuration: Configuration, now: Instant,
        effects: inout RaftEffects
    ) -> Installation {
        precondition(configuration.index <= position.index, "members of a later entry")
        precondition(position.term <= term, "a state of a later term")
        guard !isRemoved, role != .leader, position.index > commitIndex else { return .refused }
        if role != .follower {
            becomeFollower(term, leader: .none, now: now, effects: &effects)
        }
        if log.term(at: position.index) == position.term {
            verifiedIndex = max(verifiedIndex, position.index)
            follow(commit: position.index, &effects)
            acknowledge(&effects)
            return .kept
        }
        // What is durable up to the old commit stays true whenever the new beginning becomes so.
        durableIndex = min(durableIndex, commitIndex)
        log = LogTerms(base: position)
        snapshot = position
        commitIndex = position.index
        verifiedIndex = position.index
        pastConfigurations = []
        configurations = [configuration]
        hold(configuration.membership, &effects)
        effects.isCommitAdvanced = true
        return .reset
    }
}
