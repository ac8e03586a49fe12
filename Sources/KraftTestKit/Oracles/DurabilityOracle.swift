import KraftEngine
import RaftCore

/// I6 and I3 on the disks: what is committed lies durable on a quorum, dead nodes' disks too, and
/// stays there; two durable logs that share an entry share all before it; what a disk says of term
/// and vote never goes back.
///
/// It follows each disk record by record, so each entry is looked at once: when it becomes durable,
/// and when it is first known for committed.
struct DurabilityOracle {
    /// One group as one durable disk has it.
    struct Replica {
        /// Which life of the node in the group.
        var id = ReplicaID.initial
        var hardState = HardState()
        /// By index - 1, from the first entry on.
        var entries: [Entry] = []
        /// Its log was read from its middle: there may be gaps, until a checkpoint or entries that
        /// were written again fill them.
        var isPartial = false
        /// Some record has told its id.
        var isNamed = true
        /// No record of its term was read yet: `hardState` is what its entries prove.
        var isTermGuessed = false
    }

    struct Entry: Hashable {
        var term: Term
        /// 0 on a witness, which doesn't get the bytes, and for what a snapshot holds.
        var hash: UInt64

        /// Not held (yet).
        static let gap = Entry(term: .zero, hash: 0)

        func isSame(as other: Entry) -> Bool {
            term == other.term && (hash == other.hash || hash == 0 || other.hash == 0)
        }
    }

    private struct Track {
        /// By node.
        var replicas: [Replica?]
        /// By index - 1: all entries that any disk ever held there.
        var known: [[Known]] = []
        /// What damaged disks held before, of replicas that take no part any more. They count as
        /// nodes that are down for good do: what they said once holds, and they say nothing else.
        var lost: [(node: Int, replica: Replica)] = []

        func isLost(_ node: Int, _ id: ReplicaID) -> Bool {
            lost.contains { $0.node == node && $0.replica.id == id }
        }
        /// Some node has given its log away: quorums of disks mean nothing any more.
        var isRemoved = false
    }

    private struct Known {
        var entry: Entry
        var previous: Term
    }

    private let nodes: Int
    private var tracks: [Track] = []
    /// By node: its log's first segments are gone, and with them the first records of its groups.
    var beginsInMiddle: [Bool]
    /// By node: what it held when it went on with a damaged log, by track.
    private var baselines: [[Replica?]]

    init(nodes: Int) {
        self.nodes = nodes
        beginsInMiddle = Array(repeating: false, count: nodes)
        baselines = Array(repeating: [], count: nodes)
    }

    mutating func addTrack() {
        tracks.append(Track(replicas: Array(repeating: nil, count: nodes)))
    }

    mutating func remove(_ track: Int) { tracks[track].isRemoved = true }

    // MARK: Damage

    /// A node has started on a damaged log. `found`: by track, which replica it found of each group,
    /// and whether it knows that to be damaged.
    mutating func damage(
        node: Int,
        found: (Int) -> (id: ReplicaID, isDamaged: Bool, last: LogIndex, state: HardState)?
    ) -> Finding? {
        for track in tracks.indices {
            let here = found(track)
            let before = tracks[track].replicas[node]
            if let here, !here.isDamaged {
                guard let before, before.id == here.id, before.hardState == here.state,
                    UInt64(before.entries.count) == here.last.rawValue
                else {
                    return (
                        .durability,
                        "node \(node + 1) takes a log for whole that has lost something"
                    )
                }
                continue
            }
            if let before, !tracks[track].isLost(node, before.id) {
                tracks[track].lost.append((node, before))
            }
            if let here, !tracks[track].isLost(node, here.id) {
                tracks[track].lost.append((node, Replica(id: here.id)))
            }
            tracks[track].replicas[node] = here.map { Replica(id: $0.id) }
        }
        baselines[node] = tracks.map { $0.replicas[node] }
        return nil
    }

    /// Whether the replica is one that a damaged disk held before.
    func isLost(_ track: Int, node: Int, _ id: ReplicaID) -> Bool {
        tracks[track].isLost(node, id)
    }

    private func isLost(_ track: Int, _ node: Int) -> Bool {
        guard !tracks[track].lost.isEmpty, let replica = tracks[track].replicas[node] else {
            return false
        }
        return replica.isNamed && tracks[track].isLost(node, replica.id)
    }

    // MARK: What becomes durable

    mutating func create(_ track: Int, node: Int, _ id: ReplicaID = .initial) {
        tracks[track].replicas[node] = Replica(id: id)
    }

    /// - `isFormerMember`: the group lives on without this node.
    mutating func remove(_ track: Int, node: Int, isFormerMember: Bool) {
        tracks[track].replicas[node] = nil
        if !isFormerMember { tracks[track].isRemoved = true }
    }

    mutating func set(_ track: Int, node: Int, _ state: HardState) -> Finding? {
        if isLost(track, node) { return nil }
        guard let before = tracks[track].replicas[node]?.hardState else {
            if beginsInMiddle[node] {
                tracks[track].replicas[node] = Replica(
                    hardState: state, isPartial: true, isNamed: false)
            }
            return nil
        }
        tracks[track].replicas[node]?.hardState = state
        tracks[track].replicas[node]?.isTermGuessed = false
        return DurabilityOracle.compare(node, before, state)
    }

    private static func compare(
        _ node: Int, _ before: HardState, _ now: HardState
    ) -> Finding? {
        if now.term < before.term {
            return (
                .durability,
                "disk of node \(node + 1): term \(before.term) went back to \(now.term)"
            )
        }
        if now.term == before.term, !before.vote.isNone, now.vote != before.vote {
            return (
                .durability,
                """
                disk of node \(node + 1): vote of term \(before.term) changed \
                from \(before.vote) to \(now.vote)
                """
            )
        }
        return nil
    }

    /// Entries of one term became durable; those behind `first - 1` are void from now.
    ///
    /// - `committed`: terms of the entries that somebody holds for committed. None while a disk is
    ///   read again: then what is overwritten lies in the past.
    mutating func append(
        _ track: Int, node: Int, first: LogIndex, term: Term, hashes: [UInt64],
        committed: (LogIndex) -> Term?
    ) -> Finding? {
        if isLost(track, node) { return nil }
        if tracks[track].replicas[node] == nil, beginsInMiddle[node] {
            tracks[track].replicas[node] = Replica(
                hardState: HardState(term: term), isPartial: true, isNamed: false,
                isTermGuessed: true)
        }
        guard var replica = tracks[track].replicas[node] else {
            return (
                .durability, "disk of node \(node + 1): entries of a group that it doesn't hold"
            )
        }
        tracks[track].replicas[node] = nil
        defer { tracks[track].replicas[node] = replica }
        if replica.isTermGuessed, term > replica.hardState.term {
            replica.hardState = HardState(term: term)
        }
        // Whoever forgets a term in which it took entries may obey an older leader again.
        guard term <= replica.hardState.term else {
            return (
                .durability,
                """
                disk of node \(node + 1): entries of term \(term), but its own is \
                \(replica.hardState.term)
                """
            )
        }
        let start = Int(first.rawValue) - 1
        if replica.isPartial {
            while replica.entries.count < start { replica.entries.append(.gap) }
        }
        guard start >= 0, start <= replica.entries.count else {
            return (.durability, "disk of node \(node + 1): a gap before \(first)")
        }
        for place in start..<replica.entries.count {
            let isKept = place - start < hashes.count && replica.entries[place].term == term
            let index = LogIndex(UInt64(place + 1))
            guard !isKept, committed(index) == replica.entries[place].term else { continue }
            return (.durability, "disk of node \(node + 1) drops \(index), which is committed")
        }
        replica.entries.removeSubrange(start...)
        for (offset, hash) in hashes.enumerated() {
            let entry = Entry(term: term, hash: hash)
            let previous = replica.entries.last?.term
            if previous != .zero,
                let finding = match(track, node, start + offset, entry, previous)
            {
                return finding
            }
            replica.entries.append(entry)
        }
        return nil
    }

    /// I3: whoever holds an entry of this index and term holds the same one, behind the same.
    private mutating func match(
        _ track: Int, _ node: Int, _ place: Int, _ entry: Entry, _ previous: Term?
    ) -> Finding? {
        let new = Known(entry: entry, previous: previous ?? .zero)
        while tracks[track].known.count <= place { tracks[track].known.append([]) }
        for (number, known) in tracks[track].known[place].enumerated()
        where known.entry.term == entry.term {
            if known.entry.hash == 0 { tracks[track].known[place][number].entry = entry }
            guard known.entry.hash == entry.hash || known.entry.hash == 0 || entry.hash == 0 else {
                return (
                    .logMatching, "disks hold different entries \(place + 1) of term \(entry.term)"
                )
            }
            guard known.previous == new.previous else {
                return (
                    .logMatching,
                    """
                    disk of node \(node + 1): \(place + 1) of term \(entry.term) stands behind an \
                    entry of term \(new.previous), elsewhere behind one of \(known.previous)
                    """
                )
            }
            return nil
        }
        tracks[track].known[place].append(new)
        return nil
    }

    // MARK: Checkpoints

    /// Entries that the disk holds already stand in another place, too.
    mutating func rewrite(
        _ track: Int, node: Int, first: LogIndex, term: Term, hashes: [UInt64]
    ) -> Finding? {
        if isLost(track, node) { return nil }
        // The first record of a group need not be its creation, in a log that was given back in part.
        var replica =
            tracks[track].replicas[node]
            ?? Replica(
                hardState: HardState(term: term), isPartial: true, isNamed: false,
                isTermGuessed: true)
        let start = Int(first.rawValue) - 1
        if replica.isPartial {
            while replica.entries.count < start + hashes.count { replica.entries.append(.gap) }
        }
        guard start >= 0, start + hashes.count <= replica.entries.count else {
            return (.durability, "disk of node \(node + 1): rewrites \(first), which isn't there")
        }
        for (offset, hash) in hashes.enumerated() {
            let new = Entry(term: term, hash: hash)
            let old = replica.entries[start + offset]
            guard old == .gap || old.isSame(as: new) else {
                return (
                    .durability,
                    "disk of node \(node + 1): \(first + offset) is rewritten otherwise"
                )
            }
            replica.entries[start + offset] = new
        }
        tracks[track].replicas[node] = replica
        return nil
    }

    /// What the log holds up to `base` is in a snapshot from now; all that may be is committed.
    mutating func checkpoint(
        _ track: Int, node: Int, _ id: ReplicaID, _ state: HardState, base: EntryPosition,
        isReset: Bool, isAgain: Bool, committed: (LogIndex) -> Term?
    ) -> Finding? {
        if tracks[track].isLost(node, id) {
            tracks[track].replicas[node] = Replica(id: id)
            return nil
        }
        var replica = tracks[track].replicas[node] ?? Replica(isPartial: true)
        replica.id = id
        replica.isNamed = true
        if !replica.isPartial,
            let finding = DurabilityOracle.compare(node, replica.hardState, state)
        {
            return finding
        }
        replica.hardState = state
        replica.isTermGuessed = false
        let count = Int(base.index.rawValue)
        let disk = "disk of node \(node + 1)"
        if count > 0, committed(base.index) != base.term {
            return (
                .durability, "\(disk): its log gives way up to \(base.index), which isn't committed"
            )
        }
        if isReset {
            for (place, entry) in replica.entries.enumerated().dropFirst(count) {
                let index = LogIndex(UInt64(place + 1))
                guard !isAgain, entry != .gap, committed(index) == entry.term else { continue }
                return (.durability, "\(disk) drops \(index), which is committed")
            }
            replica.entries = []
            replica.isPartial = false
        } else if replica.entries.count < count, !replica.isPartial {
            return (.durability, "\(disk): more is compacted than there was")
        }
        for place in 0..<count {
            let held = Entry(term: committed(LogIndex(UInt64(place + 1))) ?? .zero, hash: 0)
            if place >= replica.entries.count {
                replica.entries.append(held)
            } else if replica.entries[place] == .gap {
                replica.entries[place] = held
            } else if replica.entries[place].term != held.term {
                return (.durability, "\(disk): what it compacts isn't what is committed")
            }
        }
        tracks[track].replicas[node] = replica
        return nil
    }

    // MARK: A disk that is read again

    /// A crash may have changed what is durable: forgets what this disk held, and hands it out.
    ///
    /// - `isSinceDamage`: it is read from where the log went on after damage.
    mutating func forget(node: Int, isSinceDamage: Bool) -> [Replica?] {
        tracks.indices.map { track in
            let before = tracks[track].replicas[node]
            let isKnown = isSinceDamage && track < baselines[node].count
            tracks[track].replicas[node] = isKnown ? baselines[node][track] : nil
            return before
        }
    }

    /// The disk was read again: nothing may be missing that it had promised.
    func compare(
        node: Int, before: [Replica?], committed: (Int, LogIndex) -> Term?
    ) -> Finding? {
        for (track, before) in before.enumerated() {
            guard let before, let now = tracks[track].replicas[node], now.id == before.id,
                !isLost(track, node)
            else { continue }
            if let finding = DurabilityOracle.compare(node, before.hardState, now.hardState) {
                return finding
            }
            for (place, entry) in before.entries.enumerated() {
                let index = LogIndex(UInt64(place + 1))
                guard committed(track, index) == entry.term else { continue }
                guard place < now.entries.count, now.entries[place].isSame(as: entry) else {
                    return (
                        .durability, "disk of node \(node + 1) lost \(index), which is committed"
                    )
                }
            }
        }
        return nil
    }

    // MARK: Quorums

    /// Are these entries, now known for committed, on a quorum of the disks? By one of the
    /// configurations that held while they were committed: of a joint one, by both halves.
    func checkCommit(
        _ track: Int, _ indexes: ClosedRange<UInt64>, by memberships: [Membership],
        term: (LogIndex) -> Term?
    ) -> Finding? {
        guard !tracks[track].isRemoved else { return nil }
        for raw in indexes {
            let term = term(LogIndex(raw))
            let holds: (Replica) -> Bool = { replica in
                raw <= UInt64(replica.entries.count)
                    && replica.entries[Int(raw) - 1].term == term
            }
            guard !memberships.contains(where: { $0.isQuorum(set(track, of: $0, where: holds)) })
            else { continue }
            let copies = tracks[track].replicas.count { $0.map(holds) ?? false }
            return (
                .durability,
                """
                \(raw) of term \(term ?? .zero) is committed, but durable on \(copies) nodes, which \
                aren't a quorum
                """
            )
        }
        return nil
    }

    /// Are the votes that made this leader durable? A vote that a crash can take back may be cast
    /// twice, and then two lead in one term.
    func checkVotes(
        _ track: Int, leader: NodeID, term: Term, by memberships: [Membership]
    ) -> Finding? {
        guard !tracks[track].isRemoved else { return nil }
        let votes: (Replica) -> Bool = { replica in
            replica.hardState.term > term
                || replica.hardState.term == term && replica.hardState.vote == leader
        }
        guard !memberships.contains(where: { $0.isQuorum(set(track, of: $0, where: votes)) })
        else { return nil }
        let held = tracks[track].replicas.enumerated().map { place, replica in
            guard let replica else { return "node \(place + 1): none" }
            let state = replica.hardState
            return """
                node \(place + 1), added at \(replica.id.added.index): term \(state.term), vote \
                \(state.vote)
                """
        }
        return (
            .durability,
            """
            node \(leader) leads in term \(term) by durable votes that aren't a quorum of \
            \(memberships): \(held)
            """
        )
    }

    /// The members whose disks, in this very life of theirs, fulfil a condition.
    private func set(
        _ track: Int, of membership: Membership, where condition: (Replica) -> Bool
    ) -> MemberSet {
        var set = MemberSet()
        for (position, member) in membership.members.enumerated() {
            let place = Int(member.node.rawValue) - 1
            guard tracks[track].replicas.indices.contains(place),
                let replica = held(track, place, member.id), condition(replica)
            else { continue }
            set.insert(position)
        }
        return set
    }

    private func held(_ track: Int, _ node: Int, _ id: ReplicaID) -> Replica? {
        let lost = tracks[track].lost.first { $0.node == node && $0.replica.id == id }?.replica
        guard let held = lost ?? tracks[track].replicas[node], held.id == id else { return nil }
        return held
    }

    /// How many entries of a group are durable on a node.
    func count(_ track: Int, node: Int) -> Int { tracks[track].replicas[node]?.entries.count ?? 0 }
}
