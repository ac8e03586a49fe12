import KraftEngine
import KraftRouting
import RaftCore
import Testing

@testable import KraftTestKit

/// A check that has never failed is not yet a check: each oracle is shown a history that it must
/// refuse, and one that it must not.
@Suite("The oracles")
struct OracleTests {
    private func look(
        _ role: GroupStatus.Role = .follower, term: UInt64 = 1, commit: UInt64 = 0,
        applied: UInt64 = 0, last: UInt64 = 0, lastTerm: UInt64? = nil
    ) -> GroupLook {
        GroupLook(
            id: GroupID(1), role: role, term: Term(term), leader: .none,
            commit: LogIndex(commit), applied: LogIndex(applied), last: LogIndex(last),
            lastTerm: lastTerm.map { Term($0) })
    }

    private func terms(_ all: [UInt64]) -> LogOracle.Terms {
        { index in
            let place = Int(index.rawValue) - 1
            return all.indices.contains(place) ? Term(all[place]) : nil
        }
    }

    @Test("I1: two leaders in one term are refused, two in different terms are not")
    func leaders() {
        var oracle = LeaderOracle()
        oracle.addTrack()
        #expect(oracle.see(0, node: 1, term: Term(1)).1 == nil)
        #expect(oracle.see(0, node: 2, term: Term(2)).1 == nil)
        #expect(!oracle.see(0, node: 2, term: Term(2)).isNew)
        #expect(oracle.see(0, node: 3, term: Term(2)).1?.invariant == .oneLeader)
    }

    @Test("I2: a leader that drops or rewrites its entries is refused")
    func appendOnly() {
        var oracle = LogOracle()
        oracle.addTrack()
        let before = look(.leader, term: 3, last: 3, lastTerm: 3)
        let grown = oracle.look(
            0, node: 1, before: before, now: look(.leader, term: 3, last: 4),
            terms: terms([1, 2, 3, 3]))
        #expect(grown.1 == nil)
        let dropped = oracle.look(
            0, node: 1, before: before, now: look(.leader, term: 3, last: 2),
            terms: terms([1, 2]))
        #expect(dropped.1?.invariant == .leaderAppendOnly)
        let rewritten = oracle.look(
            0, node: 1, before: before, now: look(.leader, term: 3, last: 3),
            terms: terms([1, 2, 2]))
        #expect(rewritten.1?.invariant == .leaderAppendOnly)
        let follower = oracle.look(
            0, node: 1, before: look(.follower, term: 3, last: 3, lastTerm: 3),
            now: look(.follower, term: 3, last: 2), terms: terms([1, 2]))
        #expect(follower.1 == nil)
    }

    @Test("I3: logs that meet again below a difference are refused")
    func matching() {
        func match(_ a: [UInt64], _ b: [UInt64]) -> Finding? {
            LogOracle.match(
                (1, LogIndex(UInt64(a.count)), terms(a)), (2, LogIndex(UInt64(b.count)), terms(b)),
                depth: .max)
        }
        #expect(match([1, 1, 2], [1, 1, 3, 3]) == nil)
        #expect(match([1, 1, 2, 4], [1, 1, 3, 4])?.invariant == .logMatching)
    }

    @Test("I4: a leader without a committed entry is refused; one of an older term is not")
    func completeness() {
        var oracle = LogOracle()
        oracle.addTrack()
        let (count, finding) = oracle.look(
            0, node: 1, before: nil, now: look(.leader, term: 2, commit: 2, last: 2),
            terms: terms([1, 2]))
        #expect(count == 2 && finding == nil)
        func check(_ term: UInt64, _ log: [UInt64]) -> Finding? {
            oracle.checkCompleteness(
                0, leader: 2, term: Term(term), isThorough: true, terms: terms(log))
        }
        #expect(check(3, [1, 2, 3]) == nil)
        #expect(check(3, [1])?.invariant == .leaderCompleteness)
        #expect(check(3, [1, 3])?.invariant == .leaderCompleteness)
        #expect(check(2, [1]) == nil)
    }

    @Test("I4: a leader that commits an entry of an older term by counting is refused")
    func ownTerm() {
        var oracle = LogOracle()
        oracle.addTrack()
        let before = look(.leader, term: 4, commit: 1, last: 3, lastTerm: 4)
        let counted = oracle.look(
            0, node: 1, before: before, now: look(.leader, term: 4, commit: 2, last: 3),
            terms: terms([1, 2, 4]))
        #expect(counted.1?.invariant == .leaderCompleteness)
    }

    @Test("I5: another command at an index, a gap, or another state are refused")
    func applies() {
        var oracle = ApplyOracle()
        oracle.addTrack()
        func apply(_ node: NodeID, _ previous: UInt64, _ index: UInt64, _ command: UInt64)
            -> Violation.Invariant?
        {
            oracle.apply(
                0, node: node, previous: LogIndex(previous), index: LogIndex(index),
                command: command
            ).1?.invariant
        }
        #expect(apply(1, 0, 2, 20) == nil)
        #expect(apply(1, 2, 3, 30) == nil)
        #expect(apply(2, 0, 2, 20) == nil)
        #expect(apply(2, 2, 3, 31) == .stateMachineSafety)
        #expect(apply(3, 0, 3, 30) == .stateMachineSafety)
        #expect(apply(3, 0, 1, 10) == .stateMachineSafety)
        #expect(oracle.digest(0, node: 1, index: LogIndex(3), digest: 5).1 == nil)
        #expect(oracle.digest(0, node: 2, index: LogIndex(3), digest: 5).wasCompared)
        #expect(
            oracle.digest(0, node: 3, index: LogIndex(3), digest: 6).1?.invariant
                == .stateMachineSafety)
    }

    private func oracle(_ nodes: Int) -> DurabilityOracle {
        var oracle = DurabilityOracle(nodes: nodes)
        oracle.addTrack()
        for node in 0..<nodes { oracle.create(0, node: node) }
        return oracle
    }

    private func voters(_ nodes: NodeID...) -> [Membership] {
        Membership(voters: nodes).map { [$0] } ?? []
    }

    private func append(
        _ oracle: inout DurabilityOracle, _ node: Int, _ first: UInt64, _ term: UInt64,
        _ hashes: [UInt64], committed: [UInt64] = []
    ) -> Violation.Invariant? {
        // Whoever takes entries of a term knows that term.
        let known = oracle.set(0, node: node, HardState(term: Term(term)))?.invariant
        return known
            ?? oracle.append(
                0, node: node, first: LogIndex(first), term: Term(term), hashes: hashes,
                committed: terms(committed)
            )?.invariant
    }

    @Test("I6: entries of a term that the disk doesn't know are refused")
    func unknownTerm() {
        var oracle = oracle(1)
        let found = oracle.append(
            0, node: 0, first: LogIndex(1), term: Term(1), hashes: [10], committed: terms([]))
        #expect(found?.invariant == .durability)
    }

    @Test("I6: a committed entry on a minority of disks is refused, on a majority it isn't")
    func durability() {
        var oracle = oracle(3)
        #expect(append(&oracle, 0, 1, 1, [10, 11]) == nil)
        #expect(append(&oracle, 1, 1, 1, [10]) == nil)
        let all = voters(1, 2, 3)
        #expect(oracle.checkCommit(0, 1...1, by: all) { _ in Term(1) } == nil)
        #expect(oracle.checkCommit(0, 1...2, by: all) { _ in Term(1) }?.invariant == .durability)
        #expect(oracle.checkCommit(0, 1...1, by: all) { _ in Term(2) }?.invariant == .durability)
    }

    @Test("I6: a group with three voters of five needs two of these, whatever the others hold")
    func voters() {
        var oracle = oracle(5)
        let some = voters(1, 3, 5)
        for node in [0, 1, 3] { #expect(append(&oracle, node, 1, 1, [10]) == nil) }
        #expect(oracle.checkCommit(0, 1...1, by: some) { _ in Term(1) }?.invariant == .durability)
        #expect(append(&oracle, 4, 1, 1, [10]) == nil)
        #expect(oracle.checkCommit(0, 1...1, by: some) { _ in Term(1) } == nil)
    }

    @Test("I6: a joint configuration needs a quorum of both halves")
    func joint() throws {
        var oracle = oracle(6)
        let members = (1...6).map { RaftCore.Replica(NodeID(UInt32($0))) }
        let goal = Membership.Goal(
            change: .start, voters: MemberSet(mask: 0b111000), kept: MemberSet(mask: 0b111000))
        let joint = try #require(
            Membership(
                members: members, voters: MemberSet(mask: 0b111000),
                outgoing: MemberSet(mask: 0b000111), witnesses: MemberSet(), goal: goal,
                finished: nil))
        for node in [0, 1, 2, 3] { #expect(append(&oracle, node, 1, 1, [10]) == nil) }
        #expect(
            oracle.checkCommit(0, 1...1, by: [joint]) { _ in Term(1) }?.invariant == .durability)
        #expect(append(&oracle, 4, 1, 1, [10]) == nil)
        #expect(oracle.checkCommit(0, 1...1, by: [joint]) { _ in Term(1) } == nil)
    }

    @Test("I6: what an earlier life of a node in the group holds doesn't count")
    func earlierLife() throws {
        var oracle = oracle(3)
        let id = ReplicaID(added: EntryPosition(index: LogIndex(9), term: Term(2)))
        let members = [RaftCore.Replica(1), RaftCore.Replica(2, id), RaftCore.Replica(3)]
        let now = try #require(
            Membership(
                members: members, voters: MemberSet(mask: 0b111), outgoing: MemberSet(),
                witnesses: MemberSet(), goal: nil, finished: nil))
        for node in [0, 1] { #expect(append(&oracle, node, 1, 1, [10]) == nil) }
        #expect(
            oracle.checkCommit(0, 1...1, by: [now]) { _ in Term(1) }?.invariant == .durability)
        oracle.remove(0, node: 1, isFormerMember: true)
        oracle.create(0, node: 1, id)
        #expect(append(&oracle, 1, 1, 1, [10]) == nil)
        #expect(oracle.checkCommit(0, 1...1, by: [now]) { _ in Term(1) } == nil)
    }

    @Test("I6: a disk that drops what is committed is refused; what isn't committed may go")
    func dropped() {
        var oracle = oracle(3)
        #expect(append(&oracle, 0, 1, 1, [10, 11, 12]) == nil)
        #expect(append(&oracle, 0, 3, 2, [13], committed: [1, 1]) == nil)
        #expect(append(&oracle, 0, 2, 3, [14], committed: [1, 1]) == .durability)
    }

    @Test("I6: a disk that is read again after a crash may miss nothing that is committed")
    func readAgain() {
        var oracle = oracle(3)
        #expect(append(&oracle, 0, 1, 1, [10, 11]) == nil)
        let before = oracle.forget(node: 0, isSinceDamage: false)
        oracle.create(0, node: 0)
        #expect(append(&oracle, 0, 1, 1, [10]) == nil)
        let committed = terms([1])
        let more = terms([1, 1])
        #expect(oracle.compare(node: 0, before: before) { committed($1) } == nil)
        #expect(oracle.compare(node: 0, before: before) { more($1) }?.invariant == .durability)
    }

    @Test("I6: a term that goes back on a disk is refused, and a vote that changes")
    func hardState() {
        func set(_ states: (UInt64, NodeID)...) -> Violation.Invariant? {
            var oracle = oracle(1)
            var found: Violation.Invariant?
            for (term, vote) in states {
                found = oracle.set(0, node: 0, HardState(term: Term(term), vote: vote))?.invariant
            }
            return found
        }
        #expect(set((2, .none), (2, 1), (3, 2), (3, 2)) == nil)
        #expect(set((2, 1), (1, 1)) == .durability)
        #expect(set((2, 1), (2, 3)) == .durability)
        #expect(set((2, 1), (2, .none)) == .durability)
    }

    @Test("I3: an entry that stands elsewhere behind another one, or is another one, is refused")
    func matchingDisks() {
        var oracle = oracle(4)
        #expect(append(&oracle, 0, 1, 1, [10]) == nil)
        #expect(append(&oracle, 0, 2, 3, [30]) == nil)
        #expect(append(&oracle, 1, 1, 1, [10]) == nil)
        #expect(append(&oracle, 1, 2, 3, [30]) == nil)
        #expect(append(&oracle, 2, 1, 2, [20]) == nil)
        #expect(append(&oracle, 2, 2, 3, [30]) == .logMatching)
        #expect(append(&oracle, 3, 1, 1, [11]) == .logMatching)
    }

    @Test("I6: a leader by votes that are not durable is refused")
    func votes() {
        var oracle = oracle(3)
        func set(_ node: Int, _ term: UInt64, _ vote: NodeID) {
            #expect(oracle.set(0, node: node, HardState(term: Term(term), vote: vote)) == nil)
        }
        set(0, 2, 1)
        set(1, 1, 1)
        #expect(
            oracle.checkVotes(0, leader: 1, term: Term(2), by: voters(1, 2, 3))?.invariant
                == .durability)
        set(1, 2, 3)
        #expect(
            oracle.checkVotes(0, leader: 1, term: Term(2), by: voters(1, 2, 3))?.invariant
                == .durability)
        set(2, 3, 2)
        #expect(oracle.checkVotes(0, leader: 1, term: Term(2), by: voters(1, 2, 3)) == nil)
    }

    @Test("I7: an acknowledged write that no replica applied, or another one, is refused")
    func acknowledged() {
        var oracles = Oracles(nodes: 3)
        let track = oracles.track(of: GroupID(1))
        let ticket = oracles.requests.begin(track)
        let phantom = oracles.acknowledge(ticket, command: 5, request: 0, index: LogIndex(1))
        #expect(phantom?.invariant == .acknowledgement)
        _ = oracles.applies.apply(
            track, node: 1, previous: .zero, index: LogIndex(2), command: 6)
        let other = oracles.acknowledge(ticket, command: 5, request: 0, index: LogIndex(2))
        #expect(other?.invariant == .acknowledgement)
        #expect(oracles.acknowledge(ticket, command: 6, request: 0, index: LogIndex(2)) == nil)
    }

    @Test("A bounded read may miss what was told lately, and nothing that was told before")
    func boundedReads() {
        var oracle = RequestOracle()
        oracle.addTrack()
        for (time, index) in [(100, 5), (200, 6), (300, 7)] {
            oracle.now = UInt64(time)
            let ticket = oracle.begin(0)
            #expect(
                oracle.acknowledge(ticket, command: UInt64(time), index: LogIndex(UInt64(index)))
                    == nil)
        }
        oracle.now = 320
        #expect(oracle.begin(0, staleness: 1_000).floor == .zero)
        #expect(oracle.begin(0, staleness: 220).floor == LogIndex(5))
        #expect(oracle.begin(0, staleness: 50).floor == LogIndex(6))
        let ticket = oracle.begin(0, staleness: 10)
        #expect(oracle.read(ticket, node: 1, applied: LogIndex(7)) == nil)
        #expect(
            oracle.read(ticket, node: 1, applied: LogIndex(6))?.invariant == .linearizability)
    }

    @Test("A stale read, a refused command that takes effect, and a doubled one are refused")
    func requests() {
        var oracle = RequestOracle()
        oracle.addTrack()
        let early = oracle.begin(0)
        #expect(oracle.acknowledge(early, command: 1, index: LogIndex(5)) == nil)
        let late = oracle.begin(0)
        #expect(oracle.read(early, node: 1, applied: LogIndex(4)) == nil)
        #expect(
            oracle.read(late, node: 1, applied: LogIndex(4))?.invariant == .linearizability)
        #expect(
            oracle.acknowledge(late, command: 2, index: LogIndex(3))?.invariant
                == .linearizability)

        oracle.remember(command: 7, request: 0)
        #expect(oracle.refuse(command: 7, reason: .unavailable) == nil)
        #expect(oracle.apply(command: 7, index: LogIndex(8))?.invariant == .linearizability)
        oracle.remember(command: 9, request: 1)
        #expect(oracle.apply(command: 9, index: LogIndex(9)) == nil)
        #expect(oracle.apply(command: 9, index: LogIndex(10))?.invariant == .linearizability)
        #expect(oracle.refuse(command: 9, reason: .unavailable)?.invariant == .linearizability)
    }
}
