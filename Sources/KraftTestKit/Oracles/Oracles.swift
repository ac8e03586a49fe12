import KraftEngine
import KraftRouting
import RaftCore

/// What an oracle found broken.
typealias Finding = (invariant: Violation.Invariant, message: String)

/// A group on one node, as the oracles look at it after each turn.
struct GroupLook: Equatable {
    var id: GroupID
    var role: GroupStatus.Role
    var term: Term
    var leader: NodeID
    var commit: LogIndex
    var applied: LogIndex
    /// Durable or not.
    var last: LogIndex
    var lastTerm: Term?
    /// What stands before the first entry that the log holds.
    var base = EntryPosition.start
    var isDamaged = false
    /// Those of the log from the last committed one on, ascending.
    var configurations: [Raft.Configuration] = []

    static func == (a: GroupLook, b: GroupLook) -> Bool {
        a.commit == b.commit && a.applied == b.applied && a.last == b.last && a.term == b.term
            && a.base == b.base && a.role == b.role && a.leader == b.leader
            && a.lastTerm == b.lastTerm && a.id == b.id
            && a.isDamaged == b.isDamaged
            && a.configurations.count == b.configurations.count
            && a.configurations.last?.index == b.configurations.last?.index
    }
}

/// All oracles, and the numbering of groups that they share: one track per life of a group.
struct Oracles {
    private(set) var ids: [GroupID] = []
    let nodes: Int
    var leaders = LeaderOracle()
    var logs = LogOracle()
    var applies = ApplyOracle()
    var durability: DurabilityOracle
    var requests = RequestOracle()
    var sessions = SessionOracle()

    init(nodes: Int) {
        self.nodes = nodes
        durability = DurabilityOracle(nodes: nodes)
    }

    /// The number of a group's life.
    mutating func track(of id: GroupID) -> Int {
        if let track = ids.firstIndex(of: id) { return track }
        ids.append(id)
        leaders.addTrack()
        logs.addTrack()
        applies.addTrack()
        durability.addTrack()
        requests.addTrack()
        return ids.count - 1
    }

    // MARK: Disks

    /// A record became durable on a node's disk.
    ///
    /// - `isAgain`: the disk is read once more, after a crash.
    mutating func see(_ record: LogFollower.Record, node: Int, isAgain: Bool) -> Finding? {
        switch record {
        case .groupCreated(let id, let replica):
            durability.create(track(of: id), node: node, replica)
            return nil
        case .groupRemoved(let id, let isFormerMember):
            guard let track = ids.firstIndex(of: id) else { return nil }
            durability.remove(track, node: node, isFormerMember: isFormerMember)
            return nil
        case .hardState(let id, let term, let vote):
            guard let track = ids.firstIndex(of: id) else { return nil }
            return durability.set(track, node: node, HardState(term: term, vote: vote))
        case .entries(let id, let first, let term, let hashes):
            guard let track = ids.firstIndex(of: id) else { return nil }
            return durability.append(
                track, node: node, first: first, term: term, hashes: hashes
            ) { [logs] in isAgain ? nil : logs.committedTerm(track, $0) }
        case .rewritten(let id, let first, let term, let hashes):
            return durability.rewrite(
                track(of: id), node: node, first: first, term: term, hashes: hashes)
        case .checkpoint(let id, let replica, let state, let base, _, let isReset):
            let track = track(of: id)
            return durability.checkpoint(
                track, node: node, replica, state, base: base, isReset: isReset, isAgain: isAgain
            ) { [logs] in logs.committedTerm(track, $0) }
        }
    }

    /// Some client was told that its write took effect.
    mutating func acknowledge(
        _ ticket: RequestOracle.Ticket, command: UInt64, request: Int, index: LogIndex
    ) -> Finding? {
        guard let track = ticket.track else { return nil }
        if let finding = requests.acknowledge(ticket, command: command, index: index) {
            return finding
        }
        guard let record = applies.record(track, index) else {
            return (.acknowledgement, "\(name(track)): \(index) is acknowledged, applied nowhere")
        }
        guard record == command else {
            return (
                .acknowledgement, "\(name(track)): \(index) was acknowledged for another command"
            )
        }
        return nil
    }

    func name(_ track: Int) -> String { "group \(ids[track])" }
}
