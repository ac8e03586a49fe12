import KraftEngine
import KraftRouting
import RaftCore

/// What an oracle found broken.
typealias Finding = (invariant: Violation.Invariant, message: String)

/// A group on one node, as the oracles look at it after each turn.
struct GroupLook {
    var id: GroupID
    var role: GroupStatus.Role
    var term: Term
    var leader: NodeID
    var commit: LogIndex
    var applied: LogIndex
    /// Durable or not.
    var last: LogIndex
    var lastTerm: Term?
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

    init(nodes: Int) {
        self.nodes = nodes
        durability = DurabilityOracle(nodes: nodes)
    }

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
