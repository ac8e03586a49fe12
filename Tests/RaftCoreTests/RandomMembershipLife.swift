import Testing

@testable import RaftCore

/// One seed's life of three to six replicas whose membership changes all the time, by joint
/// consensus, while messages are lost, nodes restart, and connections break.
struct RandomMembershipLife {
    let seed: UInt64

    func run() {
        var dice = Dice(seed: seed)
        var options = Raft.Options()
        options.catchUpTimeout = .milliseconds(2_000)
        var replicas = Replicas(3, options: options)
        for _ in 0..<3 { _ = replicas.addNode() }
        replicas.elect(1)
        var leaders: [UInt64: Replica] = [:]
        var committed: [Term?] = [nil]
        for _ in 0..<1_500 {
            step(&replicas, &dice)
            check(replicas, &leaders, &committed)
        }
        finish(&replicas, &leaders, &committed)
    }

    private func check(
        _ replicas: Replicas, _ leaders: inout [UInt64: Replica], _ committed: inout [Term?]
    ) {
        for raft in replicas.rafts where raft.isLeader {
            let known = leaders[raft.term.rawValue]
            #expect(known == nil || known == raft.replica, "two leaders, seed \(seed)")
            leaders[raft.term.rawValue] = raft.replica
        }
        for raft in replicas.rafts {
            let first = raft.log.firstIndex.rawValue
            let last = raft.commitIndex.rawValue
            guard first <= last else { continue }
            for index in max(first, last > 40 ? last - 40 : 1)...last {
                let term = raft.log.term(at: LogIndex(index))
                if index < committed.count {
                    #expect(committed[Int(index)] == term, "a commit changed, seed \(seed)")
                } else if index == committed.count {
                    committed.append(term)
                }
            }
        }
    }

    private func step(_ replicas: inout Replicas, _ dice: inout Dice) {
        let node = NodeID(UInt32(1 + dice.below(6)))
        if dice.below(8) != 0 { replicas.now = replicas.now + .milliseconds(2) }
        switch dice.below(29) {
        case 26: replicas.install(node)
        case 27: compact(node, &replicas, &dice)
        case 0: replicas.act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        case 1:
            if replicas[node].nextDeadline != .never,
                !replicas.removed.contains(replicas[node].replica)
            {
                replicas.timeout(node)
            }
        case 2: _ = replicas.propose(1 + dice.below(3), on: node)
        case 3:
            guard !replicas.queue.isEmpty else { return }
            let place = dice.below(replicas.queue.count)
            // A core's own vote is no message: it can't be lost.
            if replicas.queue[place].from != replicas.queue[place].to {
                replicas.queue.remove(at: place)
            }
        case 4: breakConnection(node, NodeID(UInt32(1 + dice.below(6))), &replicas)
        case 5: change(node, &replicas, &dice)
        case 6:
            if dice.below(4) == 0 { restart(node, &replicas) }
        case 7...11: replicas.sync(node)
        case 12...16: replicas.flush(node)
        default:
            guard !replicas.queue.isEmpty else { return }
            replicas.hand(replicas.queue.remove(at: dice.below(min(6, replicas.queue.count))))
        }
    }

    private func compact(_ node: NodeID, _ replicas: inout Replicas, _ dice: inout Dice) {
        let raft = replicas[node]
        let span = raft.commitIndex - raft.log.base.index
        guard span > 0 else { return }
        let snapshot = max(raft.snapshot.index, raft.log.base.index + (1 + dice.below(span)))
        let most = snapshot - raft.log.base.index
        replicas.compact(
            node, upTo: raft.log.base.index + dice.below(most + 1), snapshot: snapshot)
    }

    private func change(_ node: NodeID, _ replicas: inout Replicas, _ dice: inout Dice) {
        var change = MembershipChange()
        for number in 1...6 {
            let other = NodeID(UInt32(number))
            switch dice.below(6) {
            case 0: change.remove.append(other)
            case 1: change.add.append(.init(other, .voter))
            case 2: change.add.append(.init(other, .learner))
            default: break
            }
        }
        // What makes no sense for the membership of the moment is left out.
        let members = replicas[node].membership
        change.remove.removeAll { members.position(of: $0) == nil }
        change.add.removeAll { addition in
            guard let position = members.position(of: addition.node) else { return false }
            return members.kind(of: position) == addition.kind
        }
        _ = try? replicas.change(change, on: node)
    }

    /// The connection breaks: what is in flight both ways is lost.
    private func breakConnection(_ a: NodeID, _ b: NodeID, _ replicas: inout Replicas) {
        guard a != b else { return }
        replicas.queue.removeAll { [$0.from.node, $0.to.node].sorted() == [a, b].sorted() }
        for (x, y) in [(a, b), (b, a)] {
            replicas.act(x) { raft, now, _ in
                raft.peerDisconnected(y)
                if raft.leader == y { raft.leaderSuspected(now: now) }
                raft.peerConnected(y)
            }
        }
    }

    private func restart(_ node: NodeID, _ replicas: inout Replicas) {
        guard !replicas.removed.contains(replicas[node].replica) else { return }
        replicas.restart(node)
        for other in replicas.rafts.map(\.node) where other != node {
            breakConnection(node, other, &replicas)
        }
    }

    /// Calm: there is a leader, no configuration is stuck, all members agree, nobody lives on who
    /// was removed.
    private func finish(
        _ replicas: inout Replicas, _ leaders: inout [UInt64: Replica],
        _ committed: inout [Term?]
    ) {
        for a in replicas.rafts.map(\.node) {
            for b in replicas.rafts.map(\.node) where a < b { breakConnection(a, b, &replicas) }
        }
        for _ in 0..<400 {
            replicas.settle()
            check(replicas, &leaders, &committed)
            let isSettled = replicas.rafts.contains { raft in
                raft.isLeader && raft.membership.goal == nil
                    && raft.commitIndex == raft.log.lastIndex
            }
            let due = replicas.rafts.filter {
                !replicas.removed.contains($0.replica) && $0.nextDeadline != .never
            }.min { $0.nextDeadline < $1.nextDeadline }
            guard let due else { break }
            if isSettled, due.membership.position(of: due.replica) == nil,
                due.log.lastIndex == .zero
            {
                break
            }
            replicas.timeout(due.node)
        }
        let leading = replicas.rafts.filter {
            $0.isLeader && !replicas.removed.contains($0.replica)
        }
        #expect(!leading.isEmpty, "no leader in the calm, seed \(seed)")
        guard let leader = leading.max(by: { $0.term < $1.term }) else { return }
        #expect(leader.membership.goal == nil, "a change is stuck, seed \(seed)")
        #expect(leader.commitIndex == leader.log.lastIndex, "a commit is stuck, seed \(seed)")
        for position in leader.membership.members.indices {
            let member = leader.membership.members[position]
            let raft = replicas[member.node]
            #expect(raft.replica == member, "a member isn't there, seed \(seed)")
            #expect(raft.log.lastIndex == leader.log.lastIndex, "a member lags, seed \(seed)")
            #expect(raft.membership == leader.membership, "memberships differ, seed \(seed)")
        }
    }
}
