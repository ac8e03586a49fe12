import RaftCore

/// I1: at most one leader per group and term (dissertation, section 3.4).
struct LeaderOracle {
    /// Who led, in each term in which somebody was seen to lead.
    private var seen: [[(term: Term, node: NodeID)]] = []

    mutating func addTrack() { seen.append([]) }

    /// Says whether this leader is a new one.
    mutating func see(_ track: Int, node: NodeID, term: Term) -> (isNew: Bool, Finding?) {
        if let before = seen[track].last(where: { $0.term == term }) {
            guard before.node != node else { return (false, nil) }
            let message = "nodes \(before.node) and \(node) both lead in term \(term)"
            return (false, (.oneLeader, message))
        }
        seen[track].append((term, node))
        return (true, nil)
    }
}
