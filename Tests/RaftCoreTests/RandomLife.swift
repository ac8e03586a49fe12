import Testing

@testable import RaftCore

/// One seed's life of three replicas: random deliveries, losses, syncs, timeouts and proposals.
/// After each step: one leader a term, matching logs below the commit index, commits for good.
struct RandomLife {
    let seed: UInt64

    func run() {
        var dice = Dice(seed: seed)
        var replicas = Replicas(3)
        var leaders: [UInt64: NodeID] = [:]
        var committed: [Term?] = [nil]
        for _ in 0..<400 {
            step(&replicas, &dice)
            for raft in replicas.rafts where raft.isLeader {
                let known = leaders[raft.term.rawValue]
                #expect(known == nil || known == raft.node, "two leaders, seed \(seed)")
                leaders[raft.term.rawValue] = raft.node
            }
            for raft in replicas.rafts {
                let first = Int(raft.log.firstIndex.rawValue)
                for index in first..<(Int(raft.commitIndex.rawValue) + 1) {
                    let term = raft.log.term(at: LogIndex(UInt64(index)))
                    if index < committed.count {
                        #expect(committed[index] == term, "a commit changed, seed \(seed)")
                    } else {
                        committed.append(term)
                    }
                }
            }
        }
    }

    private func step(_ replicas: inout Replicas, _ dice: inout Dice) {
        let node = NodeID(UInt32(1 + dice.below(3)))
        switch dice.below(13) {
        case 12:
            if dice.below(2) == 0 { return replicas.install(node) }
            replicas.compact(node, upTo: replicas[node].commitIndex)
        case 0: replicas.act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        case 1:
            if replicas[node].nextDeadline != .never { replicas.timeout(node) }
        case 2: _ = replicas.propose(1 + dice.below(3), on: node)
        case 3:
            if !replicas.queue.isEmpty {
                replicas.queue.remove(at: dice.below(replicas.queue.count))
            }
        case 4:
            // The connection breaks: what is in flight both ways is lost.
            let other = NodeID(UInt32(1 + dice.below(3)))
            guard other != node else { return }
            replicas.queue.removeAll {
                [$0.from.node, $0.to.node].sorted() == [node, other].sorted()
            }
            for (a, b) in [(node, other), (other, node)] {
                replicas.act(a) { raft, now, _ in
                    raft.peerDisconnected(b)
                    if raft.leader == b { raft.leaderSuspected(now: now) }
                    raft.peerConnected(b)
                }
            }
        case 5, 6: replicas.sync(node)
        case 7, 8: replicas.flush(node)
        default:
            guard !replicas.queue.isEmpty else { return }
            let sent = replicas.queue.remove(at: dice.below(min(4, replicas.queue.count)))
            replicas.hand(sent)
        }
    }
}
