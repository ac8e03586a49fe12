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
            oracle.checkCompleteness(0, leader: 2, term: Term(term), terms: terms(log))
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

    @Test("I6: a committed entry on a minority of disks is refused, as are terms that go back")
    func durability() {
        var oracle = DurabilityOracle(nodes: 3)
        oracle.addTrack()
        func replica(_ term: UInt64, _ entries: [UInt64], vote: NodeID = 1)
            -> DurabilityOracle.Replica
        {
            .init(term: Term(term), vote: vote, entries: entries.map { (Term($0), $0) })
        }
        #expect(oracle.see(0, node: 0, replica(2, [1, 2])) == nil)
        #expect(oracle.see(0, node: 1, replica(2, [1])) == nil)
        #expect(oracle.check(0, commit: LogIndex(1)) { _ in Term(1) } == nil)
        let minority = oracle.check(0, commit: LogIndex(2)) { Term($0.rawValue) }
        #expect(minority?.invariant == .durability)
        #expect(oracle.see(0, node: 1, replica(1, [1]))?.invariant == .durability)
        #expect(oracle.see(0, node: 0, replica(2, [1, 2], vote: 3))?.invariant == .durability)
    }

    @Test("I6: a leader by votes that are not durable is refused")
    func votes() {
        var oracle = DurabilityOracle(nodes: 3)
        oracle.addTrack()
        func see(_ node: Int, _ term: UInt64, _ vote: NodeID) {
            #expect(
                oracle.see(0, node: node, .init(term: Term(term), vote: vote, entries: [])) == nil)
        }
        see(0, 2, 1)
        see(1, 1, 1)
        #expect(oracle.checkVotes(0, leader: 1, term: Term(2))?.invariant == .durability)
        see(1, 2, 3)
        #expect(oracle.checkVotes(0, leader: 1, term: Term(2))?.invariant == .durability)
        see(2, 3, 2)
        #expect(oracle.checkVotes(0, leader: 1, term: Term(2)) == nil)
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
