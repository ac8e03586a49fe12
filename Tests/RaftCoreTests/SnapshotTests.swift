import Testing

@testable import RaftCore

@Suite("Compaction and snapshots (dissertation 5.1, 5.2)")
struct SnapshotTests {
    /// Three replicas, node 3 behind by what 1 has compacted away.
    private func leftBehind(_ count: Int = 10) -> Replicas {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(3)
        _ = replicas.propose(count, on: 1)
        replicas.settle(without: [3])
        replicas.compact(1, upTo: replicas[1].commitIndex)
        replicas.cut = []
        return replicas
    }

    private func reconnect(_ replicas: inout Replicas, _ leader: NodeID, _ follower: NodeID) {
        replicas.act(leader) { raft, _, _ in raft.peerConnected(follower) }
        replicas.flush(leader)
    }

    @Test("a follower that needs what was compacted away is offered a state, and catches up by it")
    func catchesUp() {
        var replicas = leftBehind()
        reconnect(&replicas, 1, 3)
        replicas.settle()
        #expect(replicas[3].log.base.index == replicas[1].log.base.index)
        #expect(replicas[3].commitIndex == replicas[1].commitIndex)
        #expect(replicas.resets == 1)
        _ = replicas.propose(3, on: 1)
        replicas.settle()
        #expect(replicas[3].log.lastIndex == replicas[1].log.lastIndex)
    }

    @Test("a state is acknowledged when the disk says that the log begins there, not before")
    func acknowledgedWhenDurable() {
        var replicas = leftBehind()
        reconnect(&replicas, 1, 3)
        for _ in 0..<4 {
            replicas.deliver()
            replicas.sync(3)
            replicas.flush(1)
        }
        let base = replicas[1].log.base.index
        replicas.install(3)
        replicas.deliver()
        #expect(replicas[3].commitIndex == base)
        #expect(replicas[1].progress[2].match < base)
        replicas.sync(3)
        replicas.deliver()
        #expect(replicas[1].progress[2].match == base)
        #expect(replicas[1].progress[2].state == .replicate)
    }

    @Test("a new leader whose log is compacted sends no state to followers that are up to date")
    func notGuessed() {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(10, on: 1)
        replicas.settle()
        for node in [NodeID(1), 2] {
            replicas.compact(node, upTo: replicas[node].commitIndex)
        }
        replicas.elect(2)
        // All connections break, and the leader knows nothing of its followers again.
        for follower in [NodeID(1), 3] { reconnect(&replicas, 2, follower) }
        _ = replicas.propose(2, on: 2)
        replicas.settle()
        #expect(replicas.resets == 0 && replicas.offers.isEmpty)
        for raft in replicas.rafts { #expect(raft.log.last == replicas[2].log.last) }
    }

    @Test(
        "a follower that compaction overtakes is asked where it stands before it is offered a state"
    )
    func overtaken() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(3)
        _ = replicas.propose(10, on: 1)
        replicas.settle(without: [3])
        let commit = replicas[1].commitIndex
        // Its connection stands, as far as the leader knows, and it is silent.
        #expect(replicas[1].progress[2].state == .replicate)
        replicas.compact(1, upTo: commit)
        for _ in 0..<2 {
            replicas.now = replicas.now + .milliseconds(800)
            replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
            replicas.flush(1)
        }
        #expect(replicas.offers.isEmpty)
        #expect(replicas[1].progress[2].state == .probe)
        #expect(replicas[1].progress[2].next == commit.next)
    }

    @Test("what an append brings from before a follower's base is known there already")
    func fromBeforeTheBase() {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(9, on: 1)
        replicas.settle()
        _ = replicas.propose(1, on: 1)
        replicas.settle()
        let last = replicas[2].log.last
        replicas.compact(2, upTo: LogIndex(8))
        var raft = replicas[2]
        var effects = RaftEffects()
        let append = Message.Append(
            term: raft.term, previous: EntryPosition(index: LogIndex(2), term: raft.term),
            entriesTerm: raft.term, count: 9, commit: .zero)
        raft.step(from: 1, .append(append), now: .zero, effects: &effects)
        #expect(raft.log.last == last && effects.append == nil && !effects.isContradicted)
        // An entry of another term at the base can't be.
        effects.removeAll()
        let other = Message.Append(
            term: raft.term, previous: EntryPosition(index: LogIndex(2), term: .zero),
            entriesTerm: .zero, count: 9, commit: .zero)
        raft.step(from: 1, .append(other), now: .zero, effects: &effects)
        #expect(effects.isContradicted && raft.log.last == last)
    }

    @Test("a state is refused by a leader, and by whoever has committed as much")
    func refused() {
        let replicas = leftBehind()
        let position = replicas[1].snapshot
        let configuration = replicas[1].configuration(at: position.index)
        for node in [NodeID(1), 2] {
            var raft = replicas[node]
            var effects = RaftEffects()
            // Node 2 holds the entry, and may not know yet that it is committed.
            let result = raft.install(position, configuration, now: .zero, effects: &effects)
            let isBehind = node == 2 && replicas[2].commitIndex < position.index
            #expect(result == (isBehind ? .kept : .refused))
        }
    }

    @Test("the members that held at an entry are known from the log's base on")
    func configurations() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        let fourth = replicas.addNode()
        _ = replicas.propose(2, on: 1)
        replicas.settle()
        let before = replicas[1].commitIndex
        try replicas.change(.init(add: [.init(fourth, .learner)]), on: 1)
        replicas.settle()
        try replicas.change(.init(remove: [3]), on: 1)
        replicas.settle()
        _ = replicas.propose(2, on: 1)
        replicas.settle()
        let raft = replicas[1]
        #expect(raft.configuration(at: before).membership.members.map(\.node) == [1, 2, 3])
        #expect(
            raft.configuration(at: raft.commitIndex).membership.members.map(\.node) == [1, 2, 4])
        // An offer names those that held where its state ends.
        replicas.compact(1, upTo: before, snapshot: before.next)
        let held = replicas[1].configuration(at: before.next)
        #expect(held.index == before.next && held.membership.members.count == 4)
        #expect(replicas[1].configuration(at: before).membership.members.count == 3)
        replicas.restart(1)
        #expect(replicas[1].configuration(at: before).membership.members.count == 3)
        #expect(replicas[1].commitIndex == before.next)
    }

    @Test("a new member isn't given up while it is on its way through a state")
    func staging() throws {
        var options = Raft.Options()
        options.catchUpTimeout = .milliseconds(2_000)
        var replicas = Replicas(3, options: options)
        replicas.elect(1)
        _ = replicas.propose(5, on: 1)
        replicas.settle()
        replicas.compact(1, upTo: replicas[1].commitIndex)
        let fourth = replicas.addNode()
        try replicas.change(.init(add: [.init(fourth, .voter)]), on: 1)
        for _ in 0..<8 {
            for node in [NodeID(1), 2, 3, fourth] { replicas.sync(node) }
            replicas.flush(1)
            replicas.deliver()
        }
        #expect(replicas[1].progress[3].state == .snapshot)
        for _ in 0..<5 {
            replicas.now = replicas.now + .milliseconds(1_500)
            replicas.act(1) { raft, now, _ in raft.snapshotMoves(to: 4, now: now) }
            replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        }
        #expect(replicas[1].membership.isStaging)
        replicas.settle()
        #expect(replicas[1].membership.voters.count == 4 && replicas[1].membership.goal == nil)
        #expect(replicas[4].log.base.index == replicas[1].log.base.index)
    }

    @Test("a log that reaches beyond the state is kept, one that holds something else is void")
    func keptOrVoid() {
        for holdsIt in [true, false] {
            var raft = Replicas(3)[2]
            var effects = RaftEffects()
            raft.step(
                from: 1,
                .append(
                    .init(
                        term: Term(3), previous: .start, entriesTerm: Term(holdsIt ? 3 : 2),
                        count: 9,
                        commit: .zero)), now: .zero, effects: &effects)
            raft.persisted(upTo: LogIndex(9), now: .zero, effects: &effects)
            let position = EntryPosition(index: LogIndex(5), term: Term(3))
            let result = raft.install(
                position, raft.configurations[0], now: .zero, effects: &effects)
            #expect(result == (holdsIt ? .kept : .reset))
            #expect(raft.log.lastIndex == LogIndex(holdsIt ? 9 : 5))
            #expect(raft.commitIndex == LogIndex(5))
            // Of the new beginning nothing is durable yet; of the old log all that was stays so.
            #expect(raft.durableIndex == LogIndex(holdsIt ? 9 : 0))
        }
    }
}
