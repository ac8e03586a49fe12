@testable import RaftCore

/// A few cores in one test: messages wait in a queue until they are delivered, and what must be
/// durable waits until `sync`. Time stands still until it is moved.
struct Replicas {
    struct InFlight {
        var from: NodeID
        var to: NodeID
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

    init(_ count: Int, options: Raft.Options = .init()) {
        let nodes = (1...UInt32(count)).map { NodeID($0) }
        guard let membership = Membership(voters: nodes) else { preconditionFailure("voters") }
        rafts = nodes.map { node in
            Raft(
                node: node, membership: membership, hardState: HardState(), log: LogTerms(),
                options: options, seed: UInt64(node.rawValue), now: .zero)
        }
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
        for (to, message) in effects.messages {
            let sent = InFlight(from: node, to: to, message: message)
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
                        to: position, count: min(wanted.most, limit), effects: &effects)
                }
            }
            raft.flush(now: now, effects: &effects)
        }
    }

    /// Everything that a node has written becomes durable.
    mutating func sync(_ node: NodeID) {
        act(node) { raft, now, effects in
            raft.persisted(upTo: raft.log.lastIndex, now: now, effects: &effects)
        }
        queue += waiting.filter { $0.from == node }
        waiting.removeAll { $0.from == node }
    }

    /// Delivers messages and syncs all disks until nothing moves.
    mutating func settle(without silent: Set<NodeID> = []) {
        for _ in 0..<10_000 {
            for raft in rafts where !silent.contains(raft.node) {
                sync(raft.node)
                flush(raft.node)
            }
            if queue.isEmpty { return }
            deliver(without: silent)
        }
        preconditionFailure("the replicas never come to rest")
    }

    /// Delivers what is in flight now.
    mutating func deliver(without silent: Set<NodeID> = []) {
        let batch = queue
        queue = []
        for sent in batch {
            if cut.contains([sent.from, sent.to]) { continue }
            if silent.contains(sent.to) || silent.contains(sent.from) { continue }
            act(sent.to) { raft, now, effects in
                raft.step(from: sent.from, sent.message, now: now, effects: &effects)
            }
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
