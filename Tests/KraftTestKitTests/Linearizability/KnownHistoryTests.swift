import KraftTestKit
import Testing

/// Histories whose verdict is known: each kind of wrong answer is refused, and nothing else is.
@Suite("Known histories")
struct KnownHistoryTests {
    struct Case: CustomTestStringConvertible {
        var name: String
        var operations: [Scripted]
        var testDescription: String { name }

        init(_ name: String, _ operations: [Scripted]) {
            self.name = name
            self.operations = operations
        }
    }

    static let bad = [
        Case(
            "a stale read",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.put("b"), .written(), 20...30),
                .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "a stale read of a key without a value",
            [.ok(.put("a"), .written(), 0...10), .ok(.get, .missing, 20...30)]),
        Case(
            "a phantom value",
            [.ok(.put("a"), .written(), 0...10), .ok(.get, .saw("x"), 5...30)]),
        Case(
            "a value read before it was written",
            [.ok(.get, .saw("a"), 0...10), .ok(.put("a"), .written(), 20...30)]),
        Case(
            "a lost write, although another one nobody heard of is under way",
            [
                .ok(.put("a"), .written(), 0...10), .lost(.put("b"), 15),
                .ok(.put("c"), .written(), 20...30), .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "a deleted value that is back",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.delete, .deleted(true), 20...30),
                .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "an append applied twice",
            [.ok(.append("a"), .length(1), 0...10), .ok(.get, .saw("aa"), 20...30)]),
        Case(
            "an append of unknown outcome applied twice",
            [
                .lost(.append("a"), 0), .ok(.get, .saw("a"), 5...10),
                .ok(.get, .saw("aa"), 20...30),
            ]),
        Case(
            "an append lost",
            [
                .ok(.append("a"), .length(1), 0...10), .ok(.append("b"), .length(1), 20...30),
            ]),
        Case(
            "appends in an order that real time forbids",
            [
                .ok(.append("a"), .length(1), 0...10), .ok(.append("b"), .length(2), 20...30),
                .ok(.get, .saw("ba"), 40...50),
            ]),
        Case(
            "an increment applied twice",
            [
                .ok(.increment(by: 1), .sum(1), 0...10), .ok(.increment(by: 1), .sum(3), 20...30),
            ]),
        Case(
            "an increment lost",
            [
                .ok(.increment(by: 1), .sum(1), 0...50), .ok(.increment(by: 1), .sum(1), 20...30),
            ]),
        Case(
            "two clients, one of which reads back in time",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.put("b"), .written(), 20...90),
                .ok(.get, .saw("b"), 30...40), .ok(.get, .saw("a"), 50...60),
            ]),
        Case(
            "a value that comes and goes while its write is unknown",
            [
                .ok(.put("a"), .written(), 0...10), .lost(.put("b"), 15),
                .ok(.get, .saw("b"), 20...30), .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "the value of a refused write",
            [
                .ok(.put("a"), .written(), 0...10), .refused(.put("b"), 20...30),
                .ok(.get, .saw("b"), 40...50),
            ]),
        Case(
            "a refused append that took effect",
            [
                .ok(.append("a"), .length(1), 0...10), .refused(.append("b"), 20...30),
                .ok(.append("c"), .length(3), 40...50),
            ]),
        Case(
            "a refused increment that took effect",
            [
                .refused(.increment(by: 1), 20...30), .ok(.increment(by: 1), .sum(2), 40...50),
            ]),
        Case(
            "a refused delete that took effect",
            [
                .ok(.put("a"), .written(), 0...10), .refused(.delete, 20...30),
                .ok(.get, .missing, 40...50),
            ]),
        Case(
            "a comparison that succeeds twice",
            [
                .ok(.put("a"), .written(7), 0...10),
                .ok(.put("b", if: 7), .written(8), 20...40),
                .ok(.put("c", if: 7), .written(9), 20...40),
            ]),
        Case(
            "two that both create the key",
            [
                .ok(.put("a", if: 0), .written(), 0...40),
                .ok(.put("b", if: 0), .written(), 0...40),
            ]),
        Case(
            "a conflict although the version is the one expected",
            [
                .ok(.put("a"), .written(7), 0...10),
                .ok(.put("b", if: 7), .conflict(version: nil), 20...30),
            ]),
        Case(
            "a condition that held although the version is another",
            [
                .ok(.put("a"), .written(7), 0...10), .ok(.put("b", if: 6), .written(8), 20...30),
            ]),
        Case(
            "a read with the version of another write",
            [
                .ok(.put("a"), .written(7), 0...10), .ok(.get, .saw("a", 6), 20...30),
            ]),
        Case(
            "a version that goes back",
            [
                .ok(.put("a"), .written(7), 0...10), .ok(.put("b"), .written(6), 20...30),
            ]),
        Case(
            "a delete that says that there was nothing",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.delete, .deleted(false), 20...30),
            ]),
        Case(
            "a number that could be added to, though it is none",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.increment(by: 1), .sum(1), 20...30),
            ]),
        Case(
            "a write that takes effect before it was sent",
            [.ok(.get, .saw("a"), 0...10), .lost(.put("a"), 20)]),
    ]

    @Test("a wrong one is refused", arguments: bad)
    func refused(_ bad: Case) {
        #expect(verdict(history(bad.operations)) == .violated)
        #expect(NaiveChecker.isLinearizable(history(bad.operations)) == false)
    }

    static let good = [
        Case("nothing at all", []),
        Case("only writes that nobody heard of", [.lost(.put("a"), 0), .lost(.delete, 1)]),
        Case(
            "a write that takes effect long after it was given up",
            [
                .ok(.put("a"), .written(1), 0...10), .lost(.put("late"), 12),
                .ok(.get, .saw("a", 1), 20...30), .ok(.put("b"), .written(2), 40...50),
                .ok(.get, .saw("b", 2), 60...70), .ok(.get, .saw("late", 3), 9_000...9_001),
            ]),
        Case(
            "a write that never takes effect",
            [
                .ok(.put("a"), .written(), 0...10), .lost(.put("b"), 12),
                .ok(.get, .saw("a"), 20...30), .ok(.get, .saw("a"), 80...90),
            ]),
        Case(
            "concurrent writes, one read first",
            [
                .ok(.put("a"), .written(), 0...100), .ok(.put("b"), .written(), 0...100),
                .ok(.get, .saw("a"), 20...30), .ok(.get, .saw("b"), 40...50),
            ]),
        Case(
            "concurrent writes, the other read first",
            [
                .ok(.put("a"), .written(), 0...100), .ok(.put("b"), .written(), 0...100),
                .ok(.get, .saw("b"), 20...30), .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "concurrent readers that see a write and don't",
            [
                .ok(.put("a"), .written(), 0...10), .ok(.put("b"), .written(), 20...90),
                .ok(.get, .saw("b"), 30...60), .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "ends that touch count as concurrent",
            [.ok(.put("a"), .written(), 0...10), .ok(.get, .missing, 10...20)]),
        Case(
            "an unknown append between two known ones",
            [
                .ok(.append("a"), .length(1, 1), 0...10), .lost(.append("b"), 12),
                .ok(.append("c"), .length(3, 3), 20...30), .ok(.get, .saw("abc", 3), 40...50),
            ]),
        Case(
            "two unknown appends, in the order opposite to their invocations",
            [
                .lost(.append("a"), 0), .lost(.append("b"), 5), .ok(.get, .saw("b"), 20...30),
                .ok(.get, .saw("ba"), 40...50),
            ]),
        Case(
            "an unknown delete, then an unknown creation",
            [
                .ok(.put("a"), .written(1), 0...10), .lost(.delete, 12),
                .lost(.put("b", if: 0), 14), .ok(.get, .saw("b", 5), 20...30),
            ]),
        Case(
            "an unknown write, then an unknown one on condition of its version",
            [
                .ok(.put("a"), .written(1), 0...10), .lost(.put("b"), 12),
                .lost(.put("c", if: 3), 14), .ok(.get, .saw("c", 5), 20...30),
            ]),
        Case(
            "some of many equal unknown increments",
            [
                .lost(.increment(by: 1), 0), .lost(.increment(by: 1), 1),
                .lost(.increment(by: 1), 2), .ok(.get, .saw("2"), 10...20),
                .ok(.increment(by: 5), .sum(8), 30...40),
            ]),
        Case(
            "an unknown write seen only by a delete",
            [.lost(.put("a"), 0), .ok(.delete, .deleted(true, 9), 10...20)]),
        Case(
            "an unknown write seen only by the version that a conflict names",
            [
                .ok(.put("a"), .written(3), 0...5), .lost(.put("b"), 6),
                .ok(.put("c", if: 3), .conflict(version: 4), 10...20),
            ]),
        Case(
            "a number that an append has made",
            [
                .ok(.put("1"), .written(), 0...10), .lost(.append("2"), 11),
                .ok(.increment(by: 1), .sum(13), 20...30),
            ]),
        Case(
            "a refused write that nobody sees",
            [
                .ok(.put("a"), .written(), 0...10), .refused(.put("b"), 20...30),
                .ok(.get, .saw("a"), 40...50),
            ]),
        Case(
            "a conflict with a write that is still unknown",
            [
                .ok(.put("a"), .written(7), 0...10), .lost(.put("b"), 12),
                .ok(.put("c", if: 7), .conflict(version: nil), 20...30),
                .ok(.get, .saw("b", 9), 40...50),
            ]),
        Case(
            "a key made again after its deletion",
            [
                .ok(.put("a", if: 0), .written(1), 0...10),
                .ok(.delete(ifVersion: 1), .deleted(true, 2), 20...30),
                .ok(.delete, .deleted(false, 3), 40...50),
                .ok(.put("a", if: 0), .written(4), 60...70),
                .ok(.put("b", if: 1), .conflict(version: 4), 80...90),
            ]),
        Case(
            "increments beyond 64 bits are conflicts",
            [
                .ok(.put("9223372036854775807"), .written(), 0...10),
                .ok(.increment(by: 1), .conflict(version: nil), 20...30),
                .ok(.increment(by: -1), .sum(.max - 1), 40...50),
            ]),
    ]

    @Test("a right one is accepted", arguments: good)
    func accepted(_ good: Case) {
        #expect(verdict(history(good.operations)) == .linearizable)
        #expect(NaiveChecker.isLinearizable(history(good.operations)))
    }

    @Test("a version that goes back is right where versions need not rise")
    func versionsOfSeveralLogs() {
        let operations: [Scripted] = [
            .ok(.put("a"), .written(7), 0...10), .ok(.put("b"), .written(6), 20...30),
            .ok(.get, .saw("b", 6), 40...50),
        ]
        #expect(verdict(history(operations), versionsRise: false) == .linearizable)
        let stale = operations + [.ok(.get, .saw("a", 7), 60...70)]
        #expect(verdict(history(stale), versionsRise: false) == .violated)
    }

    @Test("each object is judged by itself")
    func objects() {
        var both = KeyHistory()
        for object in ["right", "wrong"] {
            let put = both.invoke(process: 1, on: object, .put("a"), at: 0)
            both.end(put, .answered(.written(), at: 1))
            let get = both.invoke(process: 1, on: object, .get, at: 2)
            both.end(get, .answered(object == "right" ? .saw("a") : .missing, at: 3))
        }
        let report = LinearizabilityChecker(KeyValueModel()).check(both)
        #expect(report.violations.map(\.object) == ["wrong"])
        #expect(report.objects == 2)
        #expect(report.operations == 4)
    }

    @Test("a violation is told by the few operations that show it")
    func explanation() {
        var operations = (0..<50).map { number in
            let time = UInt64(number) * 1_000_000
            return Scripted.ok(.put("v\(number)"), .written(), time...(time + 500_000))
        }
        operations += [
            .lost(.put("lost"), 50_000_000), .refused(.put("no"), 50_000_000...50_500_000),
            .ok(.put("last"), .written(), 51_000_000...54_000_000),
            .ok(.get, .saw("last"), 51_000_000...52_000_000),
            .ok(.get, .saw("no"), 53_000_000...54_000_000),
            .ok(.get, .saw("last"), 55_000_000...56_000_000),
        ]
        let report = LinearizabilityChecker(KeyValueModel()).check(history(operations))
        #expect(
            "\(report)" == """
                k is not linearizable
                  at 49.500 ms, after 50 answered operations, it held
                    'v49' after @0
                  what follows has no order from there, whatever became of 2 that may have taken \
                effect:
                    53.000 to 54.000 ms, process 54: get -> 'no'
                  as if this had taken effect, though it was refused:
                    50.000 to 50.500 ms, process 51: put 'no', refused
                NOT LINEARIZABLE: 56 operations on 1 objects (54 answered, 1 refused, 1 unknown), \
                \(report.steps) steps
                """)
    }

    @Test("any state machine can be judged, with no more than its steps")
    func ownModel() {
        struct Sum: SequentialModel {
            var initialState = 0
            func step(_ sum: Int, _ added: Int, _ answer: Int?) -> Int? {
                answer == nil || answer == sum + added ? sum + added : nil
            }
        }
        var history = History<Sum>()
        func add(_ added: Int, _ sum: Int, _ times: ClosedRange<UInt64>) {
            let ticket = history.invoke(process: 1, added, at: times.lowerBound)
            history.end(ticket, .answered(sum, at: times.upperBound))
        }
        add(1, 1, 0...10)
        _ = history.invoke(process: 2, 5, at: 12)
        add(2, 3, 20...30)
        add(3, 11, 40...50)
        #expect(LinearizabilityChecker(Sum()).check(history).verdict == .linearizable)
        add(1, 17, 60...70)
        #expect(LinearizabilityChecker(Sum()).check(history).verdict == .violated)
        #expect(!NaiveChecker.isLinearizable(history.entries, Sum()))
    }

    @Test("a search that is too large is undecided, never right")
    func undecided() {
        // Any twenty of these forty give the length, but for the one byte too many.
        let lost = (0..<40).map { Scripted.lost(.append("\(10 + $0)"), UInt64($0)) }
        var checker = LinearizabilityChecker(KeyValueModel())
        checker.stepLimit = 100_000
        let report = checker.check(history(lost + [.ok(.append("x"), .length(42), 100...110)]))
        #expect(report.verdict == .undecided)
        #expect(report.undecided == ["k"])
        #expect("\(report)".contains("UNDECIDED"))
    }
}
