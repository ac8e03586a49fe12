import Testing

@testable import RaftCore

@Suite("Another replica in the place of one that is lost")
struct ReplacementTests {
    @discardableResult
    private func replace(
        _ member: Replica, _ replicas: inout Replicas, on leader: NodeID
    ) throws -> EntryPosition {
        var result: Result<EntryPosition, Raft.ChangeRefusal> = .failure(.notLeader)
        replicas.act(leader) { raft, now, effects in
            do throws(Raft.ChangeRefusal) {
                result = .success(try raft.replace(member, now: now, effects: &effects))
            } catch { result = .failure(error) }
        }
        return try result.get()
    }

    private func led(_ count: Int) -> Replicas {
        var replicas = Replicas(count)
        replicas.elect(1)
        _ = replicas.propose(5, on: 1)
        replicas.settle()
        return replicas
    }

    @Test("a voter is taken out without its word, and comes back as a learner of another id")
    func voter() throws {
        var replicas = led(3)
        let change = try replace(3, &replicas, on: 1)
        #expect(replicas[1].membership.isJoint)
        replicas.settle(without: [3])
        let membership = replicas[1].membership
        #expect(membership.members.map(\.node) == [1, 2, 3])
        #expect(membership.voters.mask == 0b011)
        #expect(membership.returning.mask == 0b100)
        #expect(membership.kind(of: 2) == .learner)
        #expect(membership.finished == .init(change: change, isAbandoned: false))
        // An id of its own: that of the entry in which it appears.
        let last = EntryPosition(index: change.index.next, term: change.term)
        #expect(membership.members[2].id.added == last)
        #expect(replicas[1].isMembershipCommitted)
    }

    @Test("nothing that the lost replica says counts, nor the new one's word before it votes")
    func countsForNothing() throws {
        var replicas = led(3)
        try replace(3, &replicas, on: 1)
        replicas.settle(without: [3])
        let commit = replicas[1].commitIndex
        _ = replicas.propose(3, on: 1)
        let last = replicas[1].log.lastIndex
        let term = replicas[1].term
        let reply = Message.appendReply(
            .init(term: term, index: last, isRejected: false, hint: .start))
        let new = replicas[1].membership.members[2]
        replicas.sync(1)
        for sender in [Replica(3), new] {
            replicas.act(1) { raft, now, effects in
                raft.step(from: sender, reply, now: now, effects: &effects)
            }
            #expect(replicas[1].commitIndex == commit, "\(sender) counted")
        }
    }

    @Test("once it has caught up it is made a voter again by an ordinary change")
    func returns() throws {
        var replicas = led(3)
        try replace(3, &replicas, on: 1)
        replicas.settle()
        try replicas.change(.init(add: [.init(3, .voter)]), on: 1)
        #expect(replicas[1].membership.returning.mask == 0b100)
        replicas.settle()
        let membership = replicas[1].membership
        #expect(membership.voters.mask == 0b111)
        #expect(membership.returning.isEmpty)
        #expect(membership.goal == nil)
        #expect(replicas[3].replica.id > .initial)
    }

    @Test("the next leader takes it on from where it stands")
    func leaderLost() throws {
        var replicas = led(4)
        try replace(4, &replicas, on: 1)
        // The joint configuration is with node 2 and 3, and nobody knows yet that it is committed.
        replicas.sync(1)
        replicas.flush(1)
        replicas.deliver(without: [4])
        for node in [NodeID(2), 3] { replicas.sync(node) }
        replicas.isolate(1)
        replicas.queue = []
        replicas.elect(2)
        replicas.settle(without: [4])
        #expect(replicas[2].isLeader)
        let membership = replicas[2].membership
        #expect(membership.goal == nil && membership.voters.mask == 0b0111)
        #expect(membership.returning.mask == 0b1000)
        #expect(membership.members[3].id.added.term == replicas[2].term)
    }

    @Test("a learner is replaced by one entry, and is a learner again")
    func learner() throws {
        var replicas = led(3)
        let four = replicas.addNode()
        try replicas.change(.init(add: [.init(four, .learner)]), on: 1)
        replicas.settle()
        let old = replicas[1].membership.members[3]
        let change = try replace(old, &replicas, on: 1)
        #expect(!replicas[1].membership.isJoint)
        replicas.settle()
        let membership = replicas[1].membership
        #expect(membership.members[3].id.added == change)
        #expect(membership.kind(of: 3) == .learner && membership.returning.isEmpty)
        #expect(replicas[4].log.lastIndex == replicas[1].log.lastIndex)
    }

    @Test("a newcomer that is lost before it has caught up is replaced within its change")
    func newcomer() throws {
        var replicas = led(3)
        let four = replicas.addNode()
        let change = try replicas.change(.init(add: [.init(four, .voter)]), on: 1)
        replicas.settle(without: [4])
        #expect(replicas[1].membership.isStaging)
        let old = replicas[1].membership.members[3]
        try replace(old, &replicas, on: 1)
        #expect(replicas[1].membership.isStaging)
        replicas.settle()
        let membership = replicas[1].membership
        #expect(membership.members[3].id > old.id)
        #expect(membership.voters.mask == 0b1111)
        #expect(membership.finished == .init(change: change, isAbandoned: false))
    }

    @Test("never while another change is under way, nor by who doesn't lead, nor of the leader")
    func refused() throws {
        var replicas = led(3)
        #expect(throws: Raft.ChangeRefusal.notLeader) { try replace(3, &replicas, on: 2) }
        #expect(throws: Raft.ChangeRefusal.self) { try replace(1, &replicas, on: 1) }
        let later = Replica(3, ReplicaID(added: .init(index: LogIndex(9), term: Term(9))))
        #expect(throws: Raft.ChangeRefusal.self) { try replace(later, &replicas, on: 1) }
        let four = replicas.addNode()
        try replicas.change(.init(add: [.init(four, .voter)]), on: 1)
        #expect(throws: Raft.ChangeRefusal.busy) { try replace(3, &replicas, on: 1) }
    }

    @Test("of two voters none can be replaced: the change waits for a majority that isn't there")
    func noQuorum() throws {
        var replicas = led(2)
        let commit = replicas[1].commitIndex
        try replace(2, &replicas, on: 1)
        replicas.settle(without: [2])
        #expect(replicas[1].commitIndex == commit)
        #expect(replicas[1].membership.isJoint)
    }

    @Test("data alone is not left to witnesses")
    func witnessesAlone() throws {
        let membership = try #require(
            Membership(
                members: [1, 2, 3, 4], voters: MemberSet(firstPositions: 4), outgoing: MemberSet(),
                witnesses: MemberSet(mask: 0b1100), goal: nil, finished: nil))
        let position = EntryPosition(index: LogIndex(9), term: Term(2))
        #expect(throws: MembershipChange.Invalid.self) {
            try membership.replacing(1, at: position)
        }
        let joint = try membership.replacing(3, at: position)
        let final = try #require(joint.next(at: .init(index: LogIndex(10), term: Term(3))))
        #expect(final.kind(of: 3) == .witness && !final.isVoter(3))
        #expect(final.members[3].id.added.term == Term(3))
    }

    @Test("who shall vote again may be made a learner for good, or removed")
    func retired() throws {
        var replicas = led(3)
        try replace(3, &replicas, on: 1)
        replicas.settle()
        var other = replicas
        try replicas.change(.init(add: [.init(3, .learner)]), on: 1)
        replicas.settle()
        #expect(replicas[1].membership.returning.isEmpty)
        #expect(replicas[1].membership.kind(of: 2) == .learner)
        try other.change(.init(remove: [3]), on: 1)
        other.settle()
        #expect(other[1].membership.members.map(\.node) == [1, 2])
        #expect(other[1].membership.returning.isEmpty)
    }

    @Test("what no sequence of changes leads to isn't believed")
    func senseless() {
        func make(voters: UInt16, returning: UInt16) -> Membership? {
            Membership(
                members: [1, 2, 3], voters: MemberSet(mask: voters), outgoing: MemberSet(),
                witnesses: MemberSet(), returning: MemberSet(mask: returning), goal: nil,
                finished: nil)
        }
        #expect(make(voters: 0b011, returning: 0b100) != nil)
        #expect(make(voters: 0b111, returning: 0b100) == nil)
        #expect(make(voters: 0b011, returning: 0b1000) == nil)
    }
}
