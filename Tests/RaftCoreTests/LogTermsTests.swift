import Testing

@testable import RaftCore

@Suite("The terms of a log")
struct LogTermsTests {
    @Test("appended, truncated and compacted, it says what a list of terms says")
    func naive() {
        for seed in 0..<40 as Range<UInt64> {
            var dice = Dice(seed: seed)
            var log = LogTerms()
            // The entries from the base on, and the base's own.
            var terms: [UInt64] = [0]
            var base: UInt64 = 0
            for _ in 0..<300 {
                let last = base + UInt64(terms.count) - 1
                switch dice.below(8) {
                case 0 where last > base:
                    let index = base + 1 + dice.below(last - base)
                    log.truncate(from: LogIndex(index))
                    terms.removeLast(Int(last - index) + 1)
                case 1 where last > base:
                    let index = base + dice.below(last - base + 1)
                    log.compact(upTo: LogIndex(index))
                    terms.removeFirst(Int(index - base))
                    base = index
                default:
                    let term = terms[terms.count - 1] + (dice.below(3) == 0 ? dice.below(3) : 0)
                    guard term > 0 else { continue }
                    let count = 1 + dice.below(4)
                    log.append(count: Int(count), term: Term(term))
                    terms += Array(repeating: term, count: Int(count))
                }
                check(log, terms, base: base, dice.below(12))
            }
        }
    }

    private func check(_ log: LogTerms, _ terms: [UInt64], base: UInt64, _ term: UInt64) {
        let last = base + UInt64(terms.count) - 1
        #expect(log.base == .init(index: LogIndex(base), term: Term(terms[0])))
        #expect(log.last == .init(index: LogIndex(last), term: Term(terms[terms.count - 1])))
        #expect(log.term(at: LogIndex(last + 1)) == nil)
        for index in base...last {
            #expect(log.term(at: LogIndex(index)) == Term(terms[Int(index - base)]))
            let run = terms[Int(index - base)...].prefix { $0 == terms[Int(index - base)] }
            if index > base {
                let end = log.endOfRun(at: LogIndex(index))
                #expect(end.rawValue == base + UInt64(run.endIndex) - 1)
            }
            let place = (0...Int(index - base)).last { terms[$0] <= term }
            let found = log.lastPosition(notBeyond: LogIndex(index), term: Term(term))
            #expect(
                found
                    == place.map {
                        EntryPosition(index: LogIndex(base + UInt64($0)), term: Term(terms[$0]))
                    })
        }
        guard last > base else { return }
        let next = terms[1]
        let equal = terms.dropFirst().prefix { $0 == next }.count
        #expect(
            log.matching(after: LogIndex(base), count: terms.count + 3, term: Term(next)) == equal)
    }
}
