import RaftCore

/// I6: what is committed lies on the durable disks of a quorum, dead nodes' too; and what a disk
/// says of term and vote never goes back.
struct DurabilityOracle {
    /// One group as one durable disk has it.
    struct Replica {
        var term: Term
        var vote: NodeID
        /// By index - 1, from the first entry on.
        var entries: [(term: Term, hash: UInt64)]
    }

    private let nodes: Int
    /// By track, then by node: the last that was read.
    private var seen: [[Replica?]] = []

    init(nodes: Int) { self.nodes = nodes }

    mutating func addTrack() { seen.append(Array(repeating: nil, count: nodes)) }

    /// A disk was read.
    mutating func see(_ track: Int, node: Int, _ replica: Replica) -> Finding? {
        defer { seen[track][node] = replica }
        guard let before = seen[track][node] else { return nil }
        if replica.term < before.term {
            return (
                .durability,
                "disk of node \(node + 1): term \(before.term) went back to \(replica.term)"
            )
        }
        if replica.term == before.term, !before.vote.isNone, replica.vote != before.vote {
            return (
                .durability,
                """
                disk of node \(node + 1): vote of term \(before.term) changed \
                from \(before.vote) to \(replica.vote)
                """
            )
        }
        return nil
    }

    /// All disks have been read: are the votes that made this leader durable? A vote that a crash
    /// can take back may be cast twice, and then two lead in one term.
    func checkVotes(_ track: Int, leader: NodeID, term: Term) -> Finding? {
        let votes = seen[track].count { replica in
            guard let replica else { return false }
            return replica.term > term || replica.term == term && replica.vote == leader
        }
        guard votes < nodes / 2 + 1 else { return nil }
        return (
            .durability,
            "node \(leader) leads in term \(term) by \(votes) durable votes of \(nodes) nodes"
        )
    }

    /// All disks have been read: is every committed entry on a quorum of them?
    func check(_ track: Int, commit: LogIndex, committedTerm: (LogIndex) -> Term) -> Finding? {
        let quorum = nodes / 2 + 1
        for raw in 1..<max(1, commit.rawValue + 1) {
            let place = Int(raw) - 1
            let term = committedTerm(LogIndex(raw))
            var copies = 0
            var hash: UInt64?
            for case let replica? in seen[track] where place < replica.entries.count {
                let entry = replica.entries[place]
                guard entry.term == term else { continue }
                copies += 1
                if let hash, hash != entry.hash {
                    return (.logMatching, "two disks hold different entries \(raw) of term \(term)")
                }
                hash = entry.hash
            }
            guard copies >= quorum else {
                return (
                    .durability,
                    "\(raw) of term \(term) is committed, but durable on \(copies) of \(nodes) nodes"
                )
            }
        }
        return nil
    }
}
