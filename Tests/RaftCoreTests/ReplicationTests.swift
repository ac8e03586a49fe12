import Testing

@testable import RaftCore

@Suite("Replication and commitment (dissertation 3.5, 3.6, 10.2.1)")
struct ReplicationTests {
    @Test("an entry commits when a majority holds it durably, not before")
    func durableQuorum() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let before = replicas[1].commitIndex
        let index = replicas.propose(1, on: 1)
        replicas.flush(1)
        replicas.deliver()
        // Both followers have it in memory; neither answers before its disk does.
        #expect(replicas.queue.isEmpty)
        replicas.sync(2)
        replicas.deliver()
        #expect(replicas[1].commitIndex == before, "the leader's own copy isn't durable")
        replicas.sync(1)
        #expect(replicas[1].commitIndex == index)
    }

    @Test("two followers commit while the leader's own write is still in flight (10.2.1)")
    func leaderLast() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let index = replicas.propose(1, on: 1)
        replicas.flush(1)
        replicas.deliver()
        replicas.sync(2)
        replicas.sync(3)
        replicas.deliver()
        #expect(replicas[1].commitIndex == index)
        #expect(replicas[1].durableIndex < index ?? .zero)
    }

    @Test("entries of older terms commit only under one of the leader's own (figure 3.7)")
    func olderTerms() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(1)
        _ = replicas.propose(2, on: 1)
        replicas.sync(1)
        let committed = replicas[1].commitIndex
        // A later leader replicates the old entries: counting copies must not commit them.
        var raft = replicas[1]
        var effects = RaftEffects()
        raft.becomeFollower(
            raft.term.next, leader: .none, now: replicas.now, effects: &effects)
        raft.tick(now: raft.nextDeadline, effects: &effects)
        let term = raft.term.next
        raft.step(
            from: 2, .voteReply(.init(term: term, isPreVote: true, isGranted: true)),
            now: replicas.now, effects: &effects)
        raft.step(
            from: 1, .voteReply(.init(term: term, isPreVote: false, isGranted: true)),
            now: replicas.now, effects: &effects)
        raft.step(
            from: 2, .voteReply(.init(term: term, isPreVote: false, isGranted: true)),
            now: replicas.now, effects: &effects)
        #expect(raft.isLeader)
        let old = raft.log.lastIndex.previous
        raft.step(
            from: 2,
            .appendReply(.init(term: term, index: old, isRejected: false, hint: .start)),
            now: replicas.now, effects: &effects)
        #expect(raft.commitIndex == committed)
    }

    @Test("a follower's conflicting tail gives way to the leader's log")
    func conflict() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(1)
        _ = replicas.propose(7, on: 1)
        replicas.sync(1)
        for node in [NodeID(2), 3] {
            replicas.act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        }
        replicas.timeout(2)
        replicas.settle(without: [1])
        _ = replicas.propose(3, on: 2)
        replicas.settle(without: [1])
        replicas.cut = []
        replicas.act(2) { raft, _, _ in raft.peerConnected(1) }
        replicas.settle()
        for raft in replicas.rafts {
            #expect(raft.log.last == replicas[2].log.last)
            #expect(raft.commitIndex <= replicas[2].commitIndex)
        }
        #expect(replicas[1].leader == 2)
    }

    @Test("an append that comes twice or late neither truncates nor is taken twice")
    func duplicates() {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(4, on: 1)
        replicas.flush(1)
        let sent = replicas.queue
        replicas.settle()
        let last = replicas[2].log.last
        replicas.queue = sent
        replicas.settle()
        #expect(replicas[2].log.last == last)
    }

    @Test("what a follower commits is bounded by what the message vouches for")
    func commitBound() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let term = replicas[1].term
        // Node 2 holds an uncommitted entry of its own making, as if from an older leader.
        var raft = replicas[2]
        raft.log.append(count: 3, term: term)
        var effects = RaftEffects()
        let append = Message.Append(
            term: term, previous: EntryPosition(index: LogIndex(1), term: term),
            entriesTerm: term, count: 0, commit: LogIndex(4))
        raft.step(from: 1, .append(append), now: .zero, effects: &effects)
        #expect(raft.commitIndex == LogIndex(1))
    }

    @Test("answers of an earlier term count for nothing")
    func staleAnswers() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.elect(2)
        replicas.elect(1)
        replicas.isolate(1)
        let index = replicas.propose(1, on: 1) ?? .zero
        replicas.sync(1)
        replicas.act(1) { raft, now, effects in
            let old = Message.AppendReply(
                term: Term(raft.term.rawValue - 1), index: index, isRejected: false, hint: .start)
            raft.step(from: 2, .appendReply(old), now: now, effects: &effects)
        }
        #expect(replicas[1].commitIndex < index)
    }

    @Test("a window bounds what is in flight to a follower")
    func window() {
        var options = Raft.Options()
        options.appendWindowEntries = 10
        var replicas = Replicas(3, options: options)
        replicas.elect(1)
        _ = replicas.propose(100, on: 1)
        replicas.flush(1)
        var inFlight = 0
        for sent in replicas.queue where sent.to == 2 {
            if case .append(let append) = sent.message { inFlight += append.count }
        }
        #expect(inFlight == 10)
        replicas.settle()
        #expect(replicas[2].log.lastIndex == replicas[1].log.lastIndex)
    }

    @Test("what was lost on the way is sent again after an election timeout")
    func lostAppends() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let index = replicas.propose(5, on: 1) ?? .zero
        replicas.flush(1)
        replicas.queue = []
        replicas.sync(1)
        replicas.flush(1)
        #expect(replicas.queue.isEmpty)
        replicas.timeout(1)
        replicas.settle()
        #expect(replicas[1].commitIndex == index + 4)
    }

    @Test("a follower that lost its appends is found although another answers all the time")
    func silentFollower() {
        var replicas = Replicas(3)
        replicas.elect(1)
        // Node 3 takes nothing in for a while, without a word; node 2 keeps the leader busy.
        for _ in 0..<10 {
            _ = replicas.propose(1, on: 1)
            replicas.settle(without: [3])
            replicas.now = replicas.now + .milliseconds(200)
            replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        }
        for _ in 0..<10 {
            _ = replicas.propose(1, on: 1)
            replicas.settle()
            replicas.now = replicas.now + .milliseconds(200)
            replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        }
        replicas.settle()
        #expect(replicas[3].log.lastIndex == replicas[1].log.lastIndex)
    }

    @Test("a follower that has less than it acknowledged is not asked again at once, but later")
    func lostLog() {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(5, on: 1)
        replicas.settle()
        replicas[3].log.truncate(from: LogIndex(4))
        replicas[3].durableIndex = LogIndex(3)
        replicas.act(1) { raft, _, _ in raft.peerConnected(3) }
        replicas.settle()
        #expect(replicas[3].log.lastIndex == LogIndex(3))
        replicas.now = replicas.now + .seconds(1)
        replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        replicas.flush(1)
        #expect(replicas.queue.contains { $0.to.node == 3 })
    }

    @Test("random losses, cuts and elections keep the logs matching and commits for good")
    func randomLives() {
        for seed in 0..<200 { RandomLife(seed: UInt64(seed)).run() }
    }
}

@Suite("ReadIndex (dissertation 6.4)")
struct ReadTests {
    @Test("no read before the term's first entry is committed")
    func beforeFirstCommit() {
        var replicas = Replicas(3)
        replicas.timeout(1)
        for _ in 0..<3 {
            replicas.deliver()
            replicas.sync(1)
            replicas.sync(2)
        }
        replicas.deliver()
        #expect(replicas[1].isLeader)
        #expect(!replicas[1].canRead)
        replicas.settle()
        #expect(replicas[1].canRead)
    }

    @Test("a read needs a round of a quorum that began after it")
    func round() {
        var replicas = Replicas(3)
        replicas.elect(1)
        var ticket: Raft.ReadTicket?
        replicas.act(1) { raft, _, _ in ticket = raft.requestRead() }
        replicas.flush(1)
        #expect(replicas[1].confirmedReads < ticket?.sequence ?? 0)
        // A second read, while the first round runs, must not share it.
        var second: Raft.ReadTicket?
        replicas.act(1) { raft, _, _ in second = raft.requestRead() }
        #expect(second?.sequence != ticket?.sequence)
        replicas.settle()
        #expect(replicas[1].confirmedReads >= second?.sequence ?? .max)
    }

    @Test("an answer to a round that was repeated does not confirm a later read")
    func repeatedRound() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.act(1) { raft, _, _ in _ = raft.requestRead() }
        replicas.flush(1)
        let old = replicas.queue
        replicas.queue = []
        // The round is given up; a new read comes.
        replicas.act(1) { raft, _, _ in raft.peerConnected(2) }
        var later: Raft.ReadTicket?
        replicas.act(1) { raft, _, _ in later = raft.requestRead() }
        replicas.queue = old
        replicas.deliver()
        replicas.deliver()
        #expect(replicas[1].confirmedReads < later?.sequence ?? 0)
        replicas.settle()
        #expect(replicas[1].confirmedReads >= later?.sequence ?? .max)
    }

    @Test("a leader cut off from its quorum confirms no read")
    func cutOff() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(1)
        var ticket: Raft.ReadTicket?
        replicas.act(1) { raft, _, _ in ticket = raft.requestRead() }
        replicas.settle()
        #expect(replicas[1].confirmedReads < ticket?.sequence ?? 0)
    }
}
