import Testing

@testable import RaftCore

@Suite("Elections (dissertation 3.4, 6.2, 9.6) and transfer (3.10)")
struct ElectionTests {
    @Test("votes of all others make no leader before its own vote is durable")
    func ownVoteFirst() {
        var replicas = Replicas(3)
        replicas.timeout(1)
        replicas.deliver()
        replicas.deliver()
        #expect(replicas[1].role == .candidate)
        let vote = Message.VoteReply(
            term: replicas[1].term, isPreVote: false, isGranted: true)
        for other in [Replica(2), 3] {
            replicas.act(1) { raft, now, effects in
                raft.step(from: other, .voteReply(vote), now: now, effects: &effects)
            }
        }
        #expect(!replicas[1].isLeader, "it leads by a vote that a crash can take back")
        replicas.sync(1)
        replicas.deliver()
        #expect(replicas[1].isLeader)
    }

    @Test("one node alone leads once its vote and its first entry are durable")
    func alone() {
        var replicas = Replicas(1)
        replicas.timeout(1)
        #expect(replicas[1].role == .candidate)
        replicas.sync(1)
        replicas.deliver()
        #expect(replicas[1].isLeader)
        #expect(replicas[1].commitIndex == .zero)
        replicas.sync(1)
        #expect(replicas[1].commitIndex == LogIndex(1))
    }

    @Test("a candidate's own vote counts only when it is durable")
    func ownVote() {
        var replicas = Replicas(3)
        replicas.timeout(1)
        replicas.deliver()
        replicas.deliver()
        #expect(replicas[1].role == .candidate)
        // Neither its request nor its own vote has left.
        #expect(replicas.queue.isEmpty)
        #expect(replicas.waiting.count == 3)
    }

    @Test("a vote leaves only after it is durable")
    func voteWaits() {
        #expect(
            Message.voteReply(.init(term: Term(1), isPreVote: false, isGranted: true))
                .mustWaitForDurability)
        #expect(
            !Message.voteReply(.init(term: Term(1), isPreVote: true, isGranted: true))
                .mustWaitForDurability)
        #expect(
            Message.appendReply(
                .init(
                    term: Term(1), index: LogIndex(1), isRejected: false, hint: .start)
            )
            .mustWaitForDurability)
    }

    @Test("a node votes once a term, whatever is asked of it again")
    func votesOnce() {
        var replicas = Replicas(3)
        let request = Message.VoteRequest(
            term: Term(1), last: .start, isPreVote: false, isTransfer: false)
        var granted: [Bool] = []
        for candidate in [Replica(2), Replica(3), Replica(2)] {
            replicas.act(1) { raft, now, effects in
                raft.step(from: candidate, .vote(request), now: now, effects: &effects)
            }
        }
        for sent in replicas.waiting {
            if case .voteReply(let reply) = sent.message { granted.append(reply.isGranted) }
        }
        #expect(granted == [true, false, true])
        #expect(replicas[1].hardState == HardState(term: Term(1), vote: 2))
    }

    @Test("a vote stays when a node learns that it lost within the same term")
    func voteKeptInTerm() {
        var replicas = Replicas(3)
        replicas.timeout(1)
        replicas.deliver()
        replicas.deliver()
        #expect(replicas[1].role == .candidate)
        let term = replicas[1].term
        replicas.act(1) { raft, now, effects in
            let append = Message.Append(
                term: term, previous: .start, entriesTerm: term, count: 0, commit: .zero)
            raft.step(from: 2, .append(append), now: now, effects: &effects)
        }
        #expect(replicas[1].role == .follower)
        #expect(replicas[1].hardState == HardState(term: term, vote: 1))
    }

    @Test("a log that is less up-to-date gets no vote: the term counts before the index")
    func upToDate() {
        let older = EntryPosition(index: LogIndex(9), term: Term(2))
        let newer = EntryPosition(index: LogIndex(3), term: Term(3))
        #expect(newer.isUpToDate(with: older))
        #expect(!older.isUpToDate(with: newer))
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(3, on: 1)
        replicas.settle(without: [3])
        replicas.isolate(1)
        for node in [NodeID(2), 3] {
            replicas.act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        }
        replicas.timeout(3)
        replicas.settle(without: [1])
        #expect(!replicas[3].isLeader)
        replicas.timeout(2)
        replicas.settle(without: [1])
        #expect(replicas[2].isLeader)
        #expect(replicas[3].log.lastIndex == replicas[2].log.lastIndex)
    }

    @Test("pre-vote: a node that comes back from a partition disturbs nobody (section 9.6)")
    func preVote() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let term = replicas[1].term
        replicas.isolate(3)
        replicas.act(3) { raft, now, _ in raft.leaderSuspected(now: now) }
        for _ in 0..<5 {
            replicas.timeout(3)
            replicas.settle()
        }
        #expect(replicas[3].term == term)
        replicas.cut = []
        replicas.timeout(3)
        replicas.settle()
        #expect(replicas[1].isLeader)
        #expect(replicas[1].term == term)
        #expect(replicas[3].leader == 1, "the leader answers who campaigns against it")
    }

    @Test("a follower whose leader is alive votes for nobody else (section 4.2.3)")
    func supported() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let request = Message.VoteRequest(
            term: replicas[1].term.next, last: replicas[1].log.last, isPreVote: false,
            isTransfer: false)
        replicas.act(2) { raft, now, effects in
            raft.step(from: 3, .vote(request), now: now, effects: &effects)
        }
        #expect(replicas[2].term == replicas[1].term)
    }

    @Test("a leader that hears no quorum resigns, and tells who it can (section 6.2)")
    func checkQuorum() {
        var replicas = Replicas(5)
        replicas.elect(1)
        replicas.act(1) { raft, now, effects in
            raft.checkQuorum(alive: MemberSet(mask: 0b00110), now: now, effects: &effects)
        }
        #expect(replicas[1].isLeader)
        replicas.act(1) { raft, now, effects in
            raft.checkQuorum(alive: MemberSet(mask: 0b00010), now: now, effects: &effects)
        }
        #expect(!replicas[1].isLeader)
        replicas.deliver()
        #expect(!replicas[2].isLeaderSupported)
        #expect(replicas[2].nextDeadline != .never)
    }

    @Test("a candidate that was stopped before its own vote was durable campaigns again")
    func stoppedCandidate() {
        var replicas = Replicas(1)
        replicas.timeout(1)
        #expect(replicas[1].role == .candidate)
        // The vote is lost: the group was stopped when it came.
        replicas.waiting = []
        replicas.act(1) { raft, now, effects in raft.stepDown(now: now, effects: &effects) }
        replicas.timeout(1)
        replicas.settle()
        #expect(replicas[1].isLeader)
    }

    @Test("a campaign waits for its own disk instead of starting another term")
    func slowDisk() {
        var replicas = Replicas(3)
        replicas.timeout(1)
        replicas.deliver()
        replicas.deliver()
        let term = replicas[1].term
        for _ in 0..<5 { replicas.timeout(1) }
        #expect(replicas[1].role == .candidate)
        #expect(replicas[1].term == term)
        replicas.settle()
        #expect(replicas[1].isLeader)
    }

    @Test("a leader deposed by a later term tells its followers")
    func deposed() {
        var replicas = Replicas(5)
        replicas.elect(1)
        replicas.act(1) { raft, now, effects in
            let append = Message.Append(
                term: raft.term.next, previous: .start, entriesTerm: raft.term.next, count: 0,
                commit: .zero)
            raft.step(from: 4, .append(append), now: now, effects: &effects)
        }
        #expect(replicas[3].isLeaderSupported)
        replicas.deliver()
        #expect(!replicas[3].isLeaderSupported)
    }

    @Test("a second leader of a term is not believed")
    func secondLeader() {
        var replicas = Replicas(3)
        replicas.elect(1)
        var effects = RaftEffects()
        let append = Message.Append(
            term: replicas[1].term, previous: .start, entriesTerm: replicas[1].term, count: 0,
            commit: .zero)
        var leader = replicas[1]
        leader.step(from: 2, .append(append), now: .zero, effects: &effects)
        #expect(effects.isContradicted)
        #expect(leader.isLeader)
    }

    @Test("an idle group keeps no timer, on no replica")
    func quiet() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.now = replicas.now + .milliseconds(5)
        replicas.settle()
        for raft in replicas.rafts { #expect(raft.nextDeadline == .never) }
    }

    @Test("transfer waits until the target has the whole log, then it leads (section 3.10)")
    func transfer() {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(5, on: 1)
        replicas.act(1) { raft, now, effects in
            #expect(raft.transfer(to: 2, now: now, effects: &effects))
        }
        #expect(replicas.queue.isEmpty)
        #expect(replicas.propose(1, on: 1) == nil, "no proposals while it is handed over")
        replicas.settle()
        #expect(replicas[2].isLeader)
        #expect(!replicas[1].isLeader)
        #expect(replicas[2].commitIndex == replicas[2].log.lastIndex)
    }

    @Test("a transfer that does not come about ends after an election timeout")
    func transferTimesOut() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.isolate(2)
        _ = replicas.propose(1, on: 1)
        replicas.act(1) { raft, now, effects in
            _ = raft.transfer(to: 2, now: now, effects: &effects)
        }
        #expect(replicas[1].isTransferring)
        replicas.now = replicas.now + .seconds(1)
        replicas.act(1) { raft, now, effects in raft.tick(now: now, effects: &effects) }
        #expect(!replicas[1].isTransferring)
        #expect(replicas.propose(1, on: 1) != nil)
    }
}
