import Testing

@testable import RaftCore

/// Dissertation, chapter 4.
@Suite("Membership")
struct MembershipTests {
    private func names(_ raft: Raft) -> [NodeID] { raft.membership.members.map(\.node) }

    @Test("a new voter catches up, passes through a joint configuration, and votes")
    func addVoter() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(10, on: 1)
        let four = replicas.addNode()
        let change = try replicas.change(.init(add: [.init(four, .voter)]), on: 1)
        #expect(replicas[1].membership.isStaging)
        replicas.settle()
        #expect(names(replicas[1]) == [1, 2, 3, 4])
        #expect(replicas[1].membership.voters.count == 4)
        #expect(!replicas[1].membership.isJoint)
        #expect(
            replicas[4].membership.finished == .init(change: change, isAbandoned: false))
        #expect(replicas[4].log.lastIndex == replicas[1].log.lastIndex)
        replicas.timeout(1)
        replicas.settle()
        #expect(replicas[4].commitIndex == replicas[1].commitIndex)
        // Three of four are needed now.
        _ = replicas.propose(1, on: 1)
        replicas.settle(without: [3, 4])
        #expect(replicas[1].commitIndex < replicas[1].log.lastIndex)
        replicas.act(1) { raft, _, _ in raft.peerConnected(3) }
        replicas.settle(without: [4])
        #expect(replicas[1].commitIndex == replicas[1].log.lastIndex)
    }

    @Test("voters are replaced all at once, and the old leader leaves at the end")
    func replaceAll() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        for _ in 0..<3 { _ = replicas.addNode() }
        let change = MembershipChange(
            add: [.init(4, .voter), .init(5, .voter), .init(6, .voter)], remove: [1, 2, 3])
        try replicas.change(change, on: 1)
        replicas.settle()
        let leaders = replicas.rafts.filter(\.isLeader)
        #expect(leaders.count == 1)
        #expect(leaders.allSatisfy { [4, 5, 6].contains($0.node) })
        #expect(leaders.allSatisfy { names($0) == [4, 5, 6] })
        #expect(replicas.removed == [1, 2, 3])
        #expect(replicas[1].nextDeadline == .never)
    }

    @Test("a joint configuration needs a majority of the old voters and of the new")
    func jointNeedsBoth() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        for _ in 0..<2 { _ = replicas.addNode() }
        let change = MembershipChange(add: [.init(4, .voter), .init(5, .voter)], remove: [2, 3])
        try replicas.change(change, on: 1)
        for _ in 0..<100 where !replicas[1].membership.isJoint {
            replicas.sync(4)
            replicas.sync(5)
            replicas.sync(2)
            replicas.sync(1)
            replicas.flush(1)
            replicas.deliver()
        }
        #expect(replicas[1].membership.isJoint)
        let joint = replicas[1].log.lastIndex
        var other = replicas
        other.settle(without: [4, 5])
        #expect(other[1].commitIndex < joint, "committed by the old voters alone")
        replicas.settle(without: [2, 3])
        #expect(replicas[1].commitIndex < joint, "committed by the new voters alone")
        replicas.act(1) { raft, _, _ in raft.peerConnected(2) }
        replicas.settle(without: [3])
        #expect(replicas[1].commitIndex >= joint)
    }

    @Test("a joint configuration isn't left before it is committed, although others before it are")
    func jointIsCommittedFirst() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.settle()
        _ = replicas.propose(1, on: 1)
        let proposed = replicas[1].log.lastIndex
        try replicas.change(.init(remove: [3]), on: 1)
        #expect(replicas[1].membership.isJoint)
        let joint = replicas[1].log.lastIndex
        replicas.act(1) { raft, now, effects in
            raft.persisted(upTo: joint, now: now, effects: &effects)
        }
        // 2 has what stands before the configuration, but not the configuration.
        let position = try #require(replicas[1].membership.position(of: NodeID(2)))
        replicas.act(1) { raft, _, effects in
            raft.sendEntries(to: position, count: 1, byteCount: 0, effects: &effects)
        }
        let reply = Message.AppendReply(
            term: replicas[1].term, index: proposed, isRejected: false, hint: .start)
        replicas.act(1) { raft, now, effects in
            raft.step(from: 2, .appendReply(reply), now: now, effects: &effects)
        }
        #expect(replicas[1].commitIndex == proposed)
        #expect(replicas[1].membership.isJoint, "left before it was committed")
        #expect(replicas[1].log.lastIndex == joint, "left before it was committed")
    }

    @Test("a second change waits for the first, and the first for an entry of the term")
    func oneAtATime() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        let four = replicas.addNode()
        try replicas.change(.init(add: [.init(four, .learner)]), on: 1)
        #expect(throws: Raft.ChangeRefusal.busy) {
            try replicas.change(.init(remove: [3]), on: 1)
        }
        replicas.settle()
        // A leader whose term has committed nothing: the bug of 2015.
        replicas.timeoutAndElectWithoutCommit(2)
        #expect(replicas[2].isLeader)
        #expect(throws: Raft.ChangeRefusal.busy) {
            try replicas.change(.init(remove: [3]), on: 2)
        }
        replicas.settle()
        try replicas.change(.init(remove: [3]), on: 2)
    }

    @Test("learners store and answer, and count for nothing")
    func learnersDontCount() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        for _ in 0..<2 { _ = replicas.addNode() }
        let change = MembershipChange(add: [.init(4, .learner), .init(5, .learner)])
        try replicas.change(change, on: 1)
        replicas.settle()
        #expect(replicas[1].membership.voters.count == 3)
        _ = replicas.propose(1, on: 1)
        replicas.settle(without: [2, 3])
        #expect(replicas[4].log.lastIndex == replicas[1].log.lastIndex)
        #expect(replicas[1].commitIndex < replicas[1].log.lastIndex)
        replicas.act(4) { raft, now, _ in raft.leaderSuspected(now: now) }
        replicas.timeout(4)
        #expect(replicas[4].role == .follower, "a learner campaigned")
    }

    @Test("a learner that doesn't know of its promotion votes all the same")
    func learnerMustVote() throws {
        var replicas = Replicas(1)
        replicas.elect(1)
        let two = replicas.addNode()
        try replicas.change(.init(add: [.init(two, .learner)]), on: 1)
        replicas.settle()
        let request = Message.VoteRequest(
            term: replicas[2].term.next, last: replicas[2].log.last, isPreVote: false,
            isTransfer: true)
        replicas.act(2) { raft, now, effects in
            raft.step(from: 1, .vote(request), now: now, effects: &effects)
        }
        #expect(replicas[2].hardState.vote == 1)
    }

    @Test("new members that never come are given up, and the group is as before")
    func abandoned() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        let four = replicas.addNode()
        let change = try replicas.change(.init(add: [.init(four, .voter)], remove: [3]), on: 1)
        replicas.settle(without: [4])
        #expect(replicas[1].membership.isStaging)
        replicas.act(1) { raft, _, _ in raft.peerDisconnected(4) }
        replicas.settle(without: [4])
        for _ in 0..<8 where replicas[1].membership.isStaging {
            replicas.timeout(1)
            replicas.settle(without: [4])
        }
        #expect(names(replicas[1]) == [1, 2, 3])
        #expect(
            replicas[1].membership.finished == .init(change: change, isAbandoned: true))
    }

    @Test("a witness votes but never leads")
    func witness() throws {
        var replicas = Replicas(2)
        replicas.elect(1)
        let three = replicas.addNode()
        try replicas.change(.init(add: [.init(three, .witness)]), on: 1)
        replicas.settle()
        #expect(replicas[1].membership.kind(of: 2) == .witness)
        #expect(replicas[1].membership.voters.count == 3)
        _ = replicas.propose(1, on: 1)
        replicas.settle(without: [2])
        #expect(replicas[1].commitIndex == replicas[1].log.lastIndex)
        replicas.act(3) { raft, now, _ in raft.leaderSuspected(now: now) }
        replicas.timeout(3)
        #expect(replicas[3].role == .follower)
        var isStarted = true
        replicas.act(1) { raft, now, effects in
            isStarted = raft.transfer(to: 3, now: now, effects: &effects)
        }
        #expect(!isStarted)
    }

    @Test("a removed replica that campaigns is told, and goes")
    func removedIsTold() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.settle()
        try replicas.change(.init(remove: [3]), on: 1)
        replicas.settle(without: [3])
        #expect(names(replicas[1]) == [1, 2])
        let term = replicas[1].term
        replicas.act(3) { raft, now, _ in raft.leaderSuspected(now: now) }
        replicas.timeout(3)
        replicas.settle()
        #expect(replicas.removed == [3])
        #expect(replicas[1].term == term, "the removed replica disturbed the others")
        #expect(replicas[1].isLeader)
    }

    @Test("an answer of a node's earlier life doesn't count for its new one")
    func oldIdentity() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        _ = replicas.propose(5, on: 1)
        replicas.settle()
        let old = replicas[3].replica
        try replicas.change(.init(remove: [3]), on: 1)
        replicas.settle()
        try replicas.change(.init(add: [.init(3, .learner)]), on: 1)
        let position = try #require(replicas[1].membership.position(of: NodeID(3)))
        let reply = Message.AppendReply(
            term: replicas[1].term, index: replicas[1].log.lastIndex, isRejected: false,
            hint: .start)
        replicas.act(1) { raft, now, effects in
            raft.step(from: old, .appendReply(reply), now: now, effects: &effects)
        }
        #expect(replicas[1].progress[position].match == .zero)
        replicas.settle()
        #expect(replicas[3].replica.id > old.id)
        #expect(replicas[1].progress[position].match == replicas[1].log.lastIndex)
    }

    @Test("a configuration that is truncated holds no more")
    func truncated() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.settle()
        replicas.isolate(1)
        try replicas.change(.init(remove: [3]), on: 1)
        #expect(replicas[1].membership.isJoint)
        replicas.elect(2)
        replicas.cut = []
        replicas.act(2) { raft, _, _ in raft.peerConnected(1) }
        replicas.settle()
        #expect(replicas[2].isLeader)
        #expect(!replicas[1].membership.isJoint)
        #expect(names(replicas[1]) == [1, 2, 3])
    }

    @Test("changes that make no sense are refused with a reason")
    func invalid() throws {
        let membership = try #require(Membership(voters: [1, 2, 3]))
        let position = EntryPosition(index: LogIndex(9), term: Term(3))
        for change in [
            MembershipChange(), .init(remove: [4]), .init(remove: [1, 2, 3]),
            .init(remove: [3, 3]), .init(add: [.init(2, .voter)]),
            .init(add: [.init(2, .witness)]), .init(add: [.init(0, .voter)]),
            .init(add: [.init(3, .learner)], remove: [3]),
            .init(add: [.init(4, .witness)], remove: [1, 2, 3]),
            .init(add: (4...17).map { .init(NodeID($0), .learner) }),
        ] {
            #expect(throws: MembershipChange.Invalid.self, "\(change)") {
                _ = try membership.begin(change, at: position)
            }
        }
    }

    @Test("a lease holds by the promises of a quorum, and not after a transfer began")
    func lease() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.settle()
        let later = Instant(nanoseconds: replicas.now.nanoseconds + 100)
        func holds(_ raft: Raft, _ until: [NodeID: Instant]) -> Bool {
            var raft = raft
            return raft.holdsLease(now: replicas.now) { until[$0] ?? .zero }
        }
        #expect(holds(replicas[1], [2: later]))
        #expect(!holds(replicas[1], [:]))
        #expect(!holds(replicas[1], [2: replicas.now, 3: replicas.now]))
        #expect(!holds(replicas[2], [1: later, 3: later]), "a follower holds a lease")
        var lost = replicas
        lost.act(1) { raft, _, _ in
            raft.peerConnected(2)
            raft.peerConnected(3)
        }
        #expect(!holds(lost[1], [2: later, 3: later]), "nobody has followed on this connection")
        replicas.act(1) { raft, now, effects in
            _ = raft.transfer(to: 2, now: now, effects: &effects)
        }
        #expect(!holds(replicas[1], [2: later, 3: later]))
        // The transfer fails; the message may still be on its way.
        replicas.queue = []
        for _ in 0..<8 where replicas[1].isTransferring {
            replicas.timeout(1)
            replicas.flush(1)
            replicas.queue = []
        }
        #expect(replicas[1].isLeader)
        #expect(!replicas[1].isTransferring)
        #expect(!holds(replicas[1], [2: later, 3: later]), "kept over a transfer")
    }

    @Test("a promise of a lease holds votes back until it has run out")
    func promise() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let until = replicas.now + .milliseconds(400)
        for node in [NodeID(2), 3] {
            replicas.act(node) { raft, now, _ in
                raft.leaderSuspected(now: now, promisedUntil: until)
            }
            #expect(replicas[node].nextDeadline >= until)
        }
        let last = replicas[2].log.last
        func ask(_ isForced: Bool) -> NodeID {
            var copy = replicas
            let request = Message.VoteRequest(
                term: copy[3].term.next, last: last, isPreVote: false, isTransfer: false,
                isForced: isForced)
            copy.act(3) { raft, now, effects in
                raft.step(from: 2, .vote(request), now: now, effects: &effects)
            }
            return copy[3].hardState.vote
        }
        let before = replicas[3].hardState.vote
        #expect(ask(false) == before)
        #expect(ask(true) == before)
        replicas.now = until
        #expect(ask(false) == 2)
    }

    @Test("a lower priority waits longer, and priority 0 never campaigns of its own accord")
    func priorities() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.act(2) { raft, _, _ in raft.priority = 0 }
        replicas.act(3) { raft, _, _ in raft.priority = 1 }
        for node in [NodeID(2), 3] {
            replicas.act(node) { raft, now, _ in raft.leaderSuspected(now: now) }
        }
        let spread = Raft.Options().electionSpread.rawValue
        #expect(
            replicas[3].nextDeadline.nanoseconds
                >= replicas.now.nanoseconds + 9 * spread)
        replicas.timeout(2)
        #expect(replicas[2].role == .follower)
        replicas.act(2) { raft, now, effects in
            _ = raft.forceElection(now: now, effects: &effects)
        }
        replicas.settle(without: [1])
        #expect(replicas[2].isLeader)
    }

    @Test("a forced election on the leader gives leadership up, on another replica takes it")
    func forced() {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.act(3) { raft, now, effects in
            _ = raft.forceElection(now: now, effects: &effects)
        }
        replicas.settle()
        #expect(replicas[3].isLeader)
        #expect(!replicas[1].isLeader)
        replicas.act(3) { raft, now, effects in
            _ = raft.forceElection(now: now, effects: &effects)
        }
        #expect(!replicas[3].isLeader)
        replicas.deliver()
        #expect(!replicas[1].isLeaderSupported)
    }

    @Test("any sequence of changes under losses and restarts keeps what is committed")
    func randomLives() {
        for seed in 1...400 { RandomMembershipLife(seed: UInt64(seed)).run() }
    }
}

extension Replicas {
    /// The node wins an election, and nothing of its term reaches anyone.
    mutating func timeoutAndElectWithoutCommit(_ node: NodeID) {
        for raft in rafts {
            act(raft.node) { raft, now, effects in
                if raft.isLeader { raft.stepDown(now: now, effects: &effects) }
                raft.leaderSuspected(now: now)
            }
        }
        queue = []
        timeout(node)
        for _ in 0..<8 where !self[node].isLeader {
            for raft in rafts { sync(raft.node) }
            deliver()
        }
    }
}

/// What a review found; each was wrong once.
@Suite("Membership, mended")
struct MendedMembershipTests {
    @Test("witnesses alone are never a majority, so that what is committed has its bytes somewhere")
    func witnessMajority() throws {
        let one = try #require(Membership(voters: [1]))
        let position = EntryPosition(index: LogIndex(9), term: Term(3))
        #expect(throws: MembershipChange.Invalid.self) {
            _ = try one.begin(
                .init(add: [.init(2, .witness), .init(3, .witness)]), at: position)
        }
        _ = try one.begin(.init(add: [.init(2, .witness)]), at: position)
        let two = try #require(Membership(voters: [1, 2]))
        #expect(throws: MembershipChange.Invalid.self) {
            _ = try two.begin(
                .init(add: (3...5).map { .init(NodeID($0), .witness) }), at: position)
        }
    }

    @Test("a late refusal of an old campaign frees no follower from its leader")
    func lateRefusal() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let term = replicas[2].term
        let refusal = Message.VoteReply(term: term.next, isPreVote: true, isGranted: false)
        replicas.act(2) { raft, now, effects in
            raft.step(from: 3, .voteReply(refusal), now: now, effects: &effects)
        }
        #expect(replicas[2].term == term)
        #expect(replicas[2].isLeaderSupported)
    }

    @Test("a sole voter keeps what it promised before it restarted")
    func aloneKeepsPromise() throws {
        let alone = try #require(Membership(voters: [1]))
        let until = Instant(nanoseconds: 500_000_000)
        let raft = Raft(
            replica: 1, configurations: [.init(index: .zero, membership: alone)],
            hardState: HardState(), log: LogTerms(), options: .init(), seed: 1,
            votesHeldUntil: until, now: .zero)
        #expect(raft.nextDeadline == until)
    }

    @Test("a forced campaign waits until this node's promise has run out")
    func forcedWaits() {
        var replicas = Replicas(3)
        replicas.elect(1)
        let until = replicas.now + .milliseconds(300)
        replicas.act(2) { raft, now, effects in
            raft.holdVotes(until: until)
            _ = raft.forceElection(now: now, effects: &effects)
        }
        #expect(replicas[2].role == .follower)
        #expect(replicas[2].nextDeadline == until)
    }

    @Test("who campaigns against a leader counts no more for its lease")
    func campaignEndsFollowing() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        let later = replicas.now + .seconds(1)
        let isHeld = { (raft: Raft) in
            var raft = raft
            return raft.holdsLease(now: replicas.now) { $0 == 2 ? later : .zero }
        }
        #expect(isHeld(replicas[1]))
        let request = Message.VoteRequest(
            term: replicas[1].term.next, last: replicas[1].log.last, isPreVote: true,
            isTransfer: false, isForced: true)
        var leader = replicas[1]
        var effects = RaftEffects()
        leader.step(from: 2, .vote(request), now: replicas.now, effects: &effects)
        #expect(!isHeld(leader))
        var asked = replicas[1]
        asked.onInquiry(from: 2, effects: &effects)
        #expect(!isHeld(asked))
    }

    @Test("a learner or witness that was removed asks around, and is told")
    func learnerIsTold() throws {
        for kind in [MemberKind.learner, .witness] {
            var replicas = Replicas(3)
            replicas.elect(1)
            let four = replicas.addNode()
            try replicas.change(.init(add: [.init(four, kind)]), on: 1)
            replicas.settle()
            let replica = replicas[4].replica
            try replicas.change(.init(remove: [four]), on: 1)
            replicas.settle(without: [4])
            replicas.act(4) { raft, now, _ in raft.leaderSuspected(now: now) }
            var isAstray = false
            replicas.now = max(replicas.now, replicas[4].nextDeadline)
            replicas.act(4) { raft, now, effects in
                raft.tick(now: now, effects: &effects)
                isAstray = effects.isAstray
            }
            #expect(isAstray)
            replicas.act(2) { raft, _, effects in raft.onInquiry(from: replica, effects: &effects) }
            // The follower may not know of the commit yet; the leader does.
            replicas.act(1) { raft, _, effects in raft.onInquiry(from: replica, effects: &effects) }
            replicas.settle()
            #expect(replicas.removed.contains(replica), "\(kind)")
        }
    }

    @Test("a replica whose addition was truncated away is told")
    func neverAdded() throws {
        var replicas = Replicas(3)
        replicas.elect(1)
        replicas.settle()
        let four = replicas.addNode()
        for other in [NodeID(2), 3] {
            replicas.cut.insert([1, other])
            replicas.cut.insert([other, 1])
        }
        try replicas.change(.init(add: [.init(four, .learner)]), on: 1)
        replicas.settle()
        let zombie = replicas[4].replica
        #expect(zombie.id > .initial)
        replicas.elect(2)
        replicas.cut = []
        replicas.act(2) { raft, _, _ in raft.peerConnected(1) }
        _ = replicas.propose(3, on: 2)
        replicas.settle()
        replicas.act(2) { raft, _, effects in raft.onInquiry(from: zombie, effects: &effects) }
        replicas.settle()
        #expect(replicas.removed.contains(zombie))
    }
}
