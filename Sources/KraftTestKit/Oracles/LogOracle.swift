import RaftCore

/// I2 to I4: what the logs in the nodes' memories look like to each other.
struct LogOracle {
    private struct Track {
        /// By index - 1: the term of the committed entry, and the term of whoever was first seen to
        /// hold it for committed.
        var committed: [(term: Term, by: Term)] = []
    }

    /// Reads the term of one entry of one node; nil where the node holds none.
    typealias Terms = (LogIndex) -> Term?

    private var tracks: [Track] = []

    mutating func addTrack() { tracks.append(Track()) }

    func commitIndex(_ track: Int) -> LogIndex {
        LogIndex(UInt64(tracks[track].committed.count))
    }

    /// Nil for what nobody holds for committed.
    func committedTerm(_ track: Int, _ index: LogIndex) -> Term? {
        index > .zero && index.rawValue <= UInt64(tracks[track].committed.count)
            ? tracks[track].committed[Int(index.rawValue) - 1].term : nil
    }

    /// A node's look at a group changed from `before` to `now`. Gives the number of entries that
    /// are known for committed only now.
    mutating func look(
        _ track: Int, node: NodeID, before: GroupLook?, now: GroupLook, terms: Terms
    ) -> (committed: Int, Finding?) {
        if let before {
            if let finding = LogOracle.compare(node, before, now, terms) { return (0, finding) }
        }
        let known = commitIndex(track)
        let start = before?.commit ?? .zero
        guard now.commit > start else { return (0, nil) }
        for raw in (start.rawValue + 1)...now.commit.rawValue {
            guard let term = terms(LogIndex(raw)) else {
                // What is compacted away was known before.
                if raw < now.base.index.rawValue, raw <= known.rawValue { continue }
                return (0, (.durability, "node \(node) committed \(raw), which it doesn't hold"))
            }
            if raw > known.rawValue {
                tracks[track].committed.append((term, now.term))
            } else if let other = committedTerm(track, LogIndex(raw)), other != term {
                let message = "node \(node) committed \(raw) of term \(term), others of \(other)"
                return (0, (.stateMachineSafety, message))
            }
        }
        return (max(0, Int(now.commit.rawValue) - Int(known.rawValue)), nil)
    }

    /// I2, what a leader may commit, and that nothing goes back within a life.
    private static func compare(
        _ node: NodeID, _ before: GroupLook, _ now: GroupLook, _ terms: Terms
    ) -> Finding? {
        if now.term < before.term {
            return (.durability, "node \(node): term \(before.term) went back to \(now.term)")
        }
        if now.commit < before.commit {
            return (.durability, "node \(node): commit \(before.commit) went back to \(now.commit)")
        }
        if now.applied < before.applied {
            return (
                .durability, "node \(node): applied \(before.applied) went back to \(now.applied)"
            )
        }
        guard before.role == .leader, now.role == .leader, before.term == now.term else {
            return nil
        }
        if now.last < before.last {
            return (.leaderAppendOnly, "leader \(node) dropped entries behind \(now.last)")
        }
        if now.commit > before.commit, terms(now.commit) != now.term {
            // Section 3.6.2: an entry of an older term that a majority holds may still be lost.
            return (
                .leaderCompleteness,
                "leader \(node) of term \(now.term) commits \(now.commit) of an older term"
            )
        }
        if before.last > now.base.index, let lastTerm = before.lastTerm,
            terms(before.last) != lastTerm
        {
            return (.leaderAppendOnly, "leader \(node) rewrote \(before.last)")
        }
        return nil
    }

    /// I4: a new leader holds everything that was committed in earlier terms.
    ///
    /// Looks at the last such entry: that its log holds the same ones before is log matching (I3),
    /// which is checked for itself. `isThorough` looks at them all.
    func checkCompleteness(
        _ track: Int, leader: NodeID, term: Term, base: LogIndex = .zero, isThorough: Bool,
        terms: Terms
    ) -> Finding? {
        for (position, entry) in tracks[track].committed.enumerated().reversed()
        where entry.by < term {
            let index = LogIndex(UInt64(position + 1))
            // What is compacted away is in its state.
            guard index >= base else { return nil }
            guard terms(index) == entry.term else {
                let held = terms(index).map { "holds one of term \($0)" } ?? "holds none"
                return (
                    .leaderCompleteness,
                    """
                    \(index) of term \(entry.term) is committed; leader \(leader) of term \(term) \
                    \(held)
                    """
                )
            }
            guard isThorough else { return nil }
        }
        return nil
    }

    /// I3: from the last entry that two logs share downwards, they are the same.
    ///
    /// - `depth`: how many entries below it are compared.
    /// - `base`: what neither holds any more ends there.
    static func match(
        _ a: (node: NodeID, last: LogIndex, terms: Terms),
        _ b: (node: NodeID, last: LogIndex, terms: Terms), depth: Int, base: LogIndex = .zero
    ) -> Finding? {
        var index = min(a.last, b.last)
        while index > base, a.terms(index) != b.terms(index) { index = index.previous }
        var left = depth
        while index > base, left > 0 {
            guard a.terms(index) == b.terms(index) else {
                return (
                    .logMatching, "logs of \(a.node) and \(b.node) part at \(index), then meet"
                )
            }
            index = index.previous
            left -= 1
        }
        return nil
    }
}
