@testable import RaftCore

/// The replicas of a dialogue: cores with named entries, disks that can be looked at, and messages
/// that stay in flight until the script says what becomes of them.
///
/// Everything that happens is said in `trace`, one line each. As in the engine, a leader sends what
/// is due after each step, and what speaks of durable facts waits for the group's term and vote.
struct DialogueCluster {
    struct Entry {
        /// Chosen by the script; `·` for a leader's own first entry.
        var name: String
        var membership: Membership?
    }

    struct InFlight {
        var from: Replica
        var to: Replica
        var message: Message
        /// What an append carries.
        var entries: [Entry]
    }

    struct Node {
        var raft: Raft
        var entries: [Entry] = []
        /// The term and vote that it was told to write: on its disk, or on the way there.
        var written = HardState()
        var disk = Disk()
        var isRunning = true
        /// A state that it was offered, and hasn't fetched.
        var offer: Message.Snapshot?
    }

    /// What a restart finds.
    struct Disk {
        var hardState = HardState()
        var log = LogTerms()
        var entries: [Entry] = []
        /// What stands before the log.
        var base: Raft.Configuration?
        var snapshot: EntryPosition?
    }

    private(set) var nodes: [Node] = []
    var now = Instant.zero
    private(set) var inFlight: [InFlight] = []
    /// What waits for its sender's disk.
    private(set) var held: [InFlight] = []
    private(set) var cut: [(NodeID, NodeID)] = []
    private(set) var trace: [String] = []
    private let base: Membership
    private let options = Raft.Options()

    /// Nil for voters that make no group.
    init?(voters: [NodeID]) {
        guard let base = Membership(voters: voters) else { return nil }
        self.base = base
        for voter in base.members { nodes.append(Node(raft: start(voter, Disk()))) }
    }

    private func start(_ replica: Replica, _ disk: Disk) -> Raft {
        var configurations = [disk.base ?? .init(index: .zero, membership: base)]
        for (place, entry) in disk.entries.enumerated()
        where LogIndex(UInt64(place)) >= disk.log.base.index {
            guard let membership = entry.membership else { continue }
            configurations.append(
                .init(index: LogIndex(UInt64(place + 1)), membership: membership))
        }
        return Raft(
            replica: replica, configurations: configurations, hardState: disk.hardState,
            log: disk.log, snapshot: disk.snapshot, options: options,
            seed: UInt64(replica.node.rawValue), now: now)
    }

    /// A node that holds nothing; a replica begins on it when a leader calls it one.
    mutating func addNode(_ node: NodeID) {
        nodes.append(Node(raft: start(Replica(node), Disk())))
    }

    var ids: [NodeID] { nodes.map(\.raft.node) }

    func place(of node: NodeID) -> Int? { nodes.firstIndex { $0.raft.node == node } }

    mutating func takeTrace() -> [String] {
        defer { trace = [] }
        return trace
    }

    mutating func say(_ line: String) { trace.append(line) }

    // MARK: One step

    /// Runs `body` on a core, then what a turn's end does, and tells what came of it.
    mutating func act(
        _ place: Int, entries: [Entry] = [],
        _ body: (inout Raft, Instant, inout RaftEffects) -> Void
    ) {
        guard nodes[place].isRunning else { return }
        let before = nodes[place].raft
        var effects = RaftEffects()
        body(&nodes[place].raft, now, &effects)
        takeIn(place, before, effects, entries)
        guard nodes[place].raft.isLeader else { return }
        let leader = nodes[place].raft
        effects.removeAll()
        for position in leader.membership.members.indices {
            while let wanted = nodes[place].raft.wantedEntries(by: position) {
                nodes[place].raft.sendEntries(
                    to: position, count: wanted.most, byteCount: wanted.most, effects: &effects)
            }
        }
        nodes[place].raft.flush(now: now, effects: &effects)
        takeIn(place, leader, effects, [])
    }

    /// Proposes entries of these names; nil if that is refused.
    mutating func propose(_ names: [String], on place: Int) -> LogIndex? {
        guard let first = nodes[place].raft.propose(count: names.count) else { return nil }
        nodes[place].entries += names.map { Entry(name: $0) }
        let node = nodes[place].raft.node
        say("\(node) appends \(DialogueText.log(of: nodes[place], from: first))")
        act(place) { _, _, _ in }
        return first
    }

    private mutating func takeIn(
        _ place: Int, _ before: Raft, _ effects: RaftEffects, _ entries: [Entry]
    ) {
        let raft = nodes[place].raft
        let node = raft.node
        if effects.isHardStateChanged { nodes[place].written = raft.hardState }
        if effects.isContradicted { say("\(node) finds itself contradicted") }
        if raft.role != before.role || raft.term != before.term || raft.leader != before.leader {
            say("\(node) \(DialogueText.role(raft))")
        }
        if before.isLeaderSupported, !raft.isLeaderSupported, raft.leader == before.leader {
            say("\(node) doubts that \(raft.leader) leads")
        }
        if !raft.hardState.vote.isNone, raft.hardState != before.hardState {
            say("\(node) votes for \(raft.hardState.vote) in t\(raft.term)")
        }
        if let append = effects.append { take(append, at: place, entries) }
        if effects.isMembershipChanged {
            say("\(node) goes by \(DialogueText.membership(raft.membership))")
        }
        if let offer = effects.offer { nodes[place].offer = offer }
        if raft.commitIndex > before.commitIndex { say("\(node) commits \(raft.commitIndex)") }
        if effects.isRemoved { say("\(node) is no member any more") }
        if raft.confirmedReads > before.confirmedReads, raft.isLeader {
            say("\(node) may answer reads up to \(raft.confirmedReads)")
        }
        if raft.transferTarget != before.transferTarget {
            let target = raft.transferTarget
            say("\(node) " + (target.isNone ? "hands over no more" : "hands over to \(target)"))
        }
        for (to, message) in effects.messages { send(message, from: place, to: to) }
    }

    private mutating func take(
        _ append: RaftEffects.AppendedEntries, at place: Int, _ entries: [Entry]
    ) {
        let raft = nodes[place].raft
        let first = Int(append.first.rawValue) - 1
        if append.isTruncation { say("\(raft.node) drops its log from \(append.first) on") }
        nodes[place].entries.removeLast(nodes[place].entries.count - first)
        switch append.source {
        case .noOp: nodes[place].entries.append(Entry(name: "·"))
        case .membership:
            nodes[place].entries.append(
                Entry(
                    name: DialogueText.membership(raft.membership), membership: raft.membership))
        case .message(let skipped): nodes[place].entries += entries.dropFirst(skipped)
        }
        let appended = DialogueText.log(of: nodes[place], from: append.first)
        say("\(raft.node) appends \(appended)")
    }

    // MARK: Snapshots

    /// Takes a snapshot of what is committed, and forgets the log up to `index`.
    mutating func compact(_ place: Int, upTo index: LogIndex) {
        let raft = nodes[place].raft
        guard let term = raft.log.term(at: raft.commitIndex), index <= raft.commitIndex else {
            return say("that isn't committed")
        }
        let snapshot = EntryPosition(index: raft.commitIndex, term: term)
        act(place) { raft, _, _ in raft.compact(upTo: index, snapshot: snapshot) }
        say("\(raft.node) holds \(DialogueText.log(of: nodes[place]))")
    }

    /// The state that it was offered last is on its disk, but the log doesn't say so yet.
    mutating func install(_ place: Int) {
        guard let offer = nodes[place].offer else { return say("nothing was offered") }
        nodes[place].offer = nil
        act(place) { raft, now, effects in
            _ = raft.install(offer.position, offer.configuration, now: now, effects: &effects)
        }
        let raft = nodes[place].raft
        let count = Int(raft.log.lastIndex.rawValue)
        while nodes[place].entries.count < count { nodes[place].entries.append(Entry(name: "")) }
        nodes[place].entries.removeLast(nodes[place].entries.count - count)
        say("\(raft.node) holds \(DialogueText.log(of: nodes[place]))")
    }

    // MARK: Messages

    private mutating func send(_ message: Message, from place: Int, to: Replica) {
        var sent = InFlight(
            from: nodes[place].raft.replica, to: to, message: message, entries: [])
        if case .append(let append) = message {
            let first = Int(append.previous.index.rawValue)
            sent.entries = Array(nodes[place].entries[first..<(first + append.count)])
        }
        let isDurable = nodes[place].disk.hardState == nodes[place].written
        if message.mustWaitForDurability, !isDurable {
            say("\(DialogueText.sent(sent))  (waits for its disk)")
            held.append(sent)
        } else {
            leave(sent)
        }
    }

    private mutating func leave(_ sent: InFlight) {
        if cut.contains(where: { $0 == (sent.from.node, sent.to.node) }) {
            say("\(DialogueText.sent(sent))  (lost)")
            return
        }
        say(DialogueText.sent(sent))
        inFlight.append(sent)
    }

    /// Delivers what is in flight now and chosen, in its order, at most `limit` of it.
    mutating func deliver(
        limit: Int = .max, where isChosen: (InFlight) -> Bool
    ) {
        var chosen: [InFlight] = []
        var rest: [InFlight] = []
        for sent in inFlight {
            if chosen.count < limit, isChosen(sent) {
                chosen.append(sent)
            } else {
                rest.append(sent)
            }
        }
        inFlight = rest
        for sent in chosen {
            guard let place = place(of: sent.to.node), nodes[place].isRunning else { continue }
            hand(sent, to: place)
        }
    }

    /// To the replica that it is meant for: not to an earlier or a later life.
    private mutating func hand(_ sent: InFlight, to place: Int) {
        say(DialogueText.received(sent))
        if nodes[place].raft.replica.id < sent.to.id {
            nodes[place] = Node(raft: start(sent.to, Disk()))
            say(
                "\(sent.to.node) begins, empty, as what was added at "
                    + DialogueText.position(sent.to.id.added))
        }
        guard nodes[place].raft.replica == sent.to else { return say("  for an earlier life") }
        var memberships: [(offset: Int, membership: Membership)] = []
        for (offset, entry) in sent.entries.enumerated() {
            if let membership = entry.membership { memberships.append((offset, membership)) }
        }
        act(place, entries: sent.entries) { raft, now, effects in
            raft.step(
                from: sent.from, sent.message, memberships: memberships, now: now,
                effects: &effects)
        }
    }

    mutating func drop(where isChosen: (InFlight) -> Bool) {
        for sent in inFlight where isChosen(sent) { say("\(DialogueText.sent(sent))  (lost)") }
        inFlight.removeAll(where: isChosen)
    }

    /// A message that no replica sent here.
    mutating func inject(_ sent: InFlight) { leave(sent) }

    mutating func cut(_ links: [(NodeID, NodeID)]) { cut += links }
    mutating func heal() { cut = [] }

    // MARK: Disks

    /// Everything that a node has written becomes durable.
    mutating func persist(_ place: Int) {
        guard nodes[place].isRunning else { return }
        let raft = nodes[place].raft
        nodes[place].disk = Disk(
            hardState: nodes[place].written, log: raft.log, entries: nodes[place].entries,
            base: raft.configuration(at: raft.log.base.index), snapshot: raft.snapshot)
        let released = held.filter { $0.from == raft.replica }
        held.removeAll { $0.from == raft.replica }
        act(place) { raft, now, effects in
            raft.persisted(upTo: raft.log.lastIndex, now: now, effects: &effects)
        }
        for sent in released where sent.to != raft.replica { leave(sent) }
        for own in released where own.to == raft.replica { hand(own, to: place) }
    }

    /// The process ends: what it had not sent is gone, what it had not synced too. The others'
    /// connections to it break.
    mutating func crash(_ place: Int) {
        let node = nodes[place].raft.node
        nodes[place].isRunning = false
        held.removeAll { $0.from.node == node }
        inFlight.removeAll { $0.to.node == node }
        for other in nodes.indices where other != place { disconnected(other, from: node) }
    }

    mutating func restart(_ place: Int) {
        let disk = nodes[place].disk
        nodes[place].raft = start(nodes[place].raft.replica, disk)
        nodes[place].written = disk.hardState
        nodes[place].entries = disk.entries
        nodes[place].isRunning = true
        say("\(nodes[place].raft.node) \(DialogueText.role(nodes[place].raft))")
        for other in nodes.indices where other != place {
            connected(other, to: nodes[place].raft.node)
        }
    }

    /// Starts a node again on another disk.
    mutating func replaceDisk(of place: Int, by disk: Disk) {
        crash(place)
        nodes[place].disk = disk
        restart(place)
    }

    // MARK: Connections

    mutating func disconnected(_ place: Int, from node: NodeID) {
        act(place) { raft, now, _ in
            raft.peerDisconnected(node)
            if raft.leader == node { raft.leaderSuspected(now: now) }
        }
    }

    mutating func connected(_ place: Int, to node: NodeID) {
        act(place) { raft, _, _ in raft.peerConnected(node) }
    }
}
