import Testing

@testable import RaftCore

@Suite("Quorums and terms, against naive versions")
struct ArithmeticTests {
    @Test("the quorum value is what a sorted list says")
    func quorumValue() {
        var dice = Dice(seed: 1)
        for _ in 0..<5_000 {
            let count = 1 + dice.below(Membership.memberLimit)
            let nodes = (1...UInt32(count)).map { NodeID($0) }
            guard let membership = Membership(voters: nodes) else {
                Issue.record("no membership of \(count)")
                return
            }
            let values = nodes.map { _ in UInt64(dice.below(20)) }
            let naive = values.sorted(by: >)[count / 2]
            #expect(membership.quorumValue { values[$0] } == naive)
        }
    }

    @Test("a quorum is more than half, and two quorums meet")
    func quorums() {
        for count in 1...7 {
            let nodes = (1...UInt32(count)).map { NodeID($0) }
            guard let membership = Membership(voters: nodes) else { return }
            for mask in 0..<(UInt16(1) << UInt16(count)) {
                let set = MemberSet(mask: mask)
                #expect(membership.isQuorum(set) == (mask.nonzeroBitCount * 2 > count))
                let rest = MemberSet(mask: ~mask)
                #expect(!(membership.isQuorum(set) && membership.isQuorum(rest)))
            }
        }
    }

    @Test("voters must be distinct, known and few")
    func badVoters() {
        #expect(Membership(voters: []) == nil)
        #expect(Membership(voters: [1, 1]) == nil)
        #expect(Membership(voters: [0, 1]) == nil)
        #expect(Membership(voters: (1...17).map { NodeID($0) }) == nil)
        #expect(Membership(voters: [3, 1, 2])?.members.map(\.node) == [1, 2, 3])
    }

    @Test("the terms of a log are what a plain list says, over random lives")
    func logTerms() {
        var dice = Dice(seed: 7)
        for _ in 0..<300 {
            var terms = LogTerms()
            var naive: [UInt64] = [0]
            var term: UInt64 = 1
            var base = 0
            for _ in 0..<40 {
                let held = naive.count - 1 - base
                switch dice.below(5) {
                case 1 where held > 0:
                    base += 1 + dice.below(held)
                    terms.compact(upTo: LogIndex(UInt64(base)))
                case 0 where held > 0:
                    let index = base + 1 + dice.below(held)
                    terms.truncate(from: LogIndex(UInt64(index)))
                    naive.removeLast(naive.count - index)
                default:
                    term = max(term, naive.last ?? 0) + UInt64(dice.below(2))
                    let count = 1 + dice.below(5)
                    terms.append(count: count, term: Term(term))
                    naive += Array(repeating: term, count: count)
                }
                check(terms, naive, base, &dice)
            }
        }
    }

    private func check(_ terms: LogTerms, _ naive: [UInt64], _ base: Int, _ dice: inout Dice) {
        #expect(terms.lastIndex.rawValue == UInt64(naive.count - 1))
        #expect(terms.last.term.rawValue == naive[naive.count - 1])
        for index in 0...naive.count {
            let known = index >= base && index < naive.count ? Term(naive[index]) : nil
            #expect(terms.term(at: LogIndex(UInt64(index))) == known)
        }
        #expect(terms.base.index.rawValue == UInt64(base))
        let previous = base + dice.below(naive.count + 2 - base)
        let count = dice.below(8)
        let term = UInt64(dice.below(6))
        var matching = 0
        while matching < count, previous + 1 + matching < naive.count,
            naive[previous + 1 + matching] == term
        { matching += 1 }
        #expect(
            terms.matching(
                after: LogIndex(UInt64(previous)), count: count, term: Term(term)) == matching)
        var place = min(previous, naive.count - 1)
        while place > base, naive[place] > term { place -= 1 }
        let agreed = terms.lastPosition(notBeyond: LogIndex(UInt64(previous)), term: Term(term))
        let isThere = naive[place] <= term
        #expect(agreed?.index.rawValue == (isThere ? UInt64(place) : nil))
        #expect(agreed?.term.rawValue == (isThere ? naive[place] : nil))
        if base > 0 {
            let before = LogIndex(UInt64(dice.below(base)))
            #expect(terms.lastPosition(notBeyond: before, term: Term(term)) == nil)
        }
    }
}
