@testable import RaftCore

/// A few cores in one test: messages wait in a queue until they are delivered, and what must be
/// durable waits until `sync`. Time stands still until it is moved.
struct Replicas {
    struct InFlight {
        var from: Replica
        var to: Replica
        var message: Message
    }

    var rafts: [Raft]
    var now = Instant.zero
    var queue: [InFlight] = []
    /// Messages that wait for their sender's disk.
    var waiting: [InFlight] = []
    /// Links that are cut.
    var cut: Set<[NodeID]> = []
    /// Terms and votes as they were at the last `sync`.
    var trace: [String] = []
    var limit = Int.max
    let options: Raft.Options
    let base: Membership
    /// The configurations among the entries, by where they stand.
    var configurations: [EntryPosition: Membership] = [:]
    /// What nodes hold whose disk was asked for it.
    var removed: Set<Replica> = []
    /// States that were offered, and not fetched yet.
    var offers: [Replica: Message.Snapshot] = [:]
    /// What a disk holds until it says that a log begins anew.
    var beforeReset: [Replica: Raft] = [:]
    var resets = 0

    init(_ count: Int, options: Raft.Options = .init()) {
        let nodes = (1...UInt32(count)).map { NodeID($0) }
        guard let membership = Membership(voters: nodes) else { preconditionFailure("voters") }
        self.options = options
        base = membership
        rafts = nodes.map { node in
            Raft(
                replica: Replica(node),
                configurations: [.init(index: .zero, membership: membership)],
                hardState: HardState(), log: LogTerms(),
                options: options, seed: UInt64(node.rawValue), now: .zero)
        }
    }

    /// A new node, empty; it becomes a replica when a leader calls it one.
    mutating func addNode() -> NodeID {
        let node = NodeID(UInt32(rafts.count + 1))
        rafts.append(empty(Replica(node)))
        return node
    }

    private func empty(_ replica: Replica) -> Raft {
        Raft(
            replica: replica, configurations: [.init(index: .zero, membership: base)],
            hardState: HardState(), log: LogTerms(), options: options,
            seed: UInt64(replica.node.rawValue), now: now)
    }

    /// The node loses all that isn't durable, and starts again.
    mutating func restart(_ node: NodeID) {
        let replica = self[node].replica
        let hardState = self[node].hardState
        // A beginning that isn't durable never was.
        let old = beforeReset.removeValue(forKey: replica) ?? self[node]
        offers[replica] = nil
        waiting.removeAll { $0.from.node == node }
        var log = old.log
        if old.durableIndex < log.lastIndex { log.truncate(from: old.durableIndex.next) }
        var kept = [old.configuration(at: log.base.index)]
        for index in stride(from: log.firstIndex.rawValue, through: log.lastIndex.rawValue, by: 1) {
            let position = EntryPosition(
                index: LogIndex(index), term: log.term(at: LogIndex(index)) ?? .zero)
            if let membership = configurations[position] {
                kept.append(.init(index: position.index, membership: membership))
            }
        }
        self[node] = Raft(
            replica: replica, configurations: kept, hardState: hardState, log: log,
            snapshot: old.snapshot.index <= log.lastIndex ? old.snapshot : log.base,
            options: options, seed: UInt64(node.rawValue), now: now)
    }

    /// Takes a snapshot of what is committed up to `snapshot`, and drops the log up to `index`.
    mutating func compact(_ node: NodeID, upTo index: LogIndex, snapshot: LogIndex? = nil) {
        // Until the disk knows its beginning nothing more is written there.
        guard beforeReset[self[node].replica] == nil else { return }
        let place = snapshot ?? self[node].commitIndex
        guard let term = self[node].log.term(at: place), place <= self[node].durableIndex else {
            return
        }
        self[node].compact(upTo: index, snapshot: .init(index: place, term: term))
    }

    /// The state that was offered is fetched: installs it.
    mutating func install(_ node: NodeID) {
        let replica = self[node].replica
        guard let offer = offers.removeValue(forKey: replica) else { return }
        let before = self[node]
        var result = Raft.Installation.refused
        act(node) { raft, now, effects in
            result = raft.install(
                offer.position, offer.configuration, now: now, effects: &effects)
        }
        if result == .reset {
            resets += 1
            if beforeReset[replica] == nil { beforeReset[replica] = before }
        }
    }

    /// Asks a node that leads for a change.
    @discardableResult
    mutating func change(
        _ change: MembershipChange, on node: NodeID
    ) throws -> EntryPosition {
        var result: Result<EntryPosition, Raft.ChangeRefusal> = .failure(.notLeader)
        act(node) { raft, now, effects in
            do throws(Raft.ChangeRefusal) {
                result = .success(try raft.propose(change, now: now, effects: &effects))
            } catch { result = .failure(error) }
        }
        return try result.get()
    }

    subscript(_ node: NodeID) -> Raft {
        get { rafts[Int(node.rawValue) - 1] }
        set { rafts[Int(node.rawValue) - 1] = newValue }
    }

    /// Runs `body` on a core and takes in its effects.
    mutating func act(
        _ node: NodeID, _ body: (inout Raft, Instant, inout RaftEffects) -> Void
    ) {
        var effects = RaftEffects()
        body(&self[node], now, &effects)
        if let append = effects.append, append.source == .membership {
            let position = EntryPosition(index: append.first, term: append.term)
            configurations[position] = self[node].membership
        }
        if let offer = effects.offer { offers[self[node].replica] = offer }
        if effects.isRemoved { removed.insert(self[node].replica) }
        for (to, message) in effects.messages {
            let sent = InFlight(from: self[node].replica, to: to, message: message)
            if message.mustWaitForDurability { waiting.append(sent) } else { queue.append(sent) }
        }
    }

    /// Lets a core send what its followers want.
    mutating func flush(_ node: NodeID) {
        let limit = limit
        act(node) { raft, now, effects in
            for position in raft.membership.members.indices {
                while let wanted = raft.wantedEntries(by: position) {
                    raft.sendEntries(
                        to: position, count: min(wanted.most, limit), byteCount: 0,
                        effects: &effects)
                }
            }
            raft.flush(now: now, effects: &effects)
        }
    }

    /// Everything that a node has written becomes durable.
    mutating func sync(_ node: NodeID) {
        beforeReset[self[node].replica] = nil
        act(node) { raft, now, effects in
            raft.persisted(upTo: raft.log.lastIndex, now: now, effects: &effects)
        }
        queue += waiting.filter { $0.from.node == node }
        waiting.removeAll { $0.from.node == node }
    }

    /// Delivers messages and syncs all disks until nothing moves.
    mutating func settle(without silent: Set<NodeID> = []) {
        for _ in 0..<10_000 {
            for raft in rafts where !silent.contains(raft.node) {
                install(raft.node)
                sync(raft.node)
                flush(raft.node)
            }
            let isWritten = rafts.allSatisfy {
                silent.contains($0.node) || $0.durableIndex == $0.log.lastIndex
            }
            if queue.isEmpty, isWritten { return }
            deliver(without: silent)
        }
        preconditionFailure("the replicas never come to rest")
    }

    /// Delivers what is in flight now.
    mutating func deliver(without silent: Set<NodeID> = []) {
        let batch = queue
        queue = []
        for sent in batch {
            if cut.contains([sent.from.node, sent.to.node]) { continue }
            if silent.contains(sent.to.node) || silent.contains(sent.from.node) { continue }
            hand(sent)
        }
    }

    /// Hands one message to the replica that it is meant for.
    mutating func hand(_ sent: InFlight) {
        let node = sent.to.node
        if self[node].replica.id < sent.to.id { self[node] = empty(sent.to) }
        guard self[node].replica == sent.to, !removed.contains(sent.to) else { return }
        var memberships: [(offset: Int, membership: Membership)] = []
        if case .append(let append) = sent.message {
            for offset in 0..<append.count {
                let index = append.previous.index + (offset + 1)
                let position = EntryPosition(index: index, term: append.entriesTerm)
                if let membership = configurations[position] {
                    memberships.append((offset, membership))
                }
            }
        }
        act(node) { raft, now, effects in
            raft.step(
                from: sent.from, sent.message, memberships: memberships, now: now,
                effects: &effects)
        }
    }

    /// Moves time to a node's next deadline and lets it act on it.
    mutating func timeout(_ node: NodeID) {
        now = max(now, self[node].nextDeadline)
        act(node) { raft, now, effects in raft.tick(now: now, effects: &effects) }
    }

    /// Makes a node the leader by letting it time out first.
    mutating func elect(_ node: NodeID) {
        for raft in rafts where raft.node != node {
            act(raft.node) { raft, now, _ in raft.leaderSuspected(now: now) }
        }
        if self[node].nextDeadline == .never {
            act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        }
        timeout(node)
        settle()
    }

    mutating func propose(_ count: Int, on node: NodeID) -> LogIndex? {
        var first: LogIndex?
        act(node) { raft, _, _ in first = raft.propose(count: count) }
        return first
    }

    mutating func isolate(_ node: NodeID) {
        for raft in rafts where raft.node != node {
            cut.insert([raft.node, node])
            cut.insert([node, raft.node])
        }
    }
}

extension Dice {
    mutating func below(_ bound: Int) -> Int { Int(below(UInt64(bound))) }
}

/// A number names a first member of the group.
extension Replica: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: UInt32) { self.init(NodeID(value)) }
}
