import KraftTestKit
import Testing

/// The checker against one that tries everything.
@Suite("Random histories")
struct RandomHistoryTests {
    @Test("small ones are judged as by trying every order")
    func agreement() {
        var counts: [Bool: Int] = [:]
        for seed in UInt64(0)..<16_000 {
            var source = RandomHistory(seed: seed)
            source.flawPermille = seed % 3 == 0 ? 0 : 400
            source.hasVersions = seed % 2 == 0
            source.letters = Int(seed % 5)
            source.operations = 4 + Int(seed % 4)
            source.lostPermille = 250
            if seed % 2 == 0 {
                // Hardly anything is heard, and most writes depend on what was before.
                source.operations = 8
                source.lostPermille = 600
                source.letters = 1 + Int(seed % 4)
                source.hasVersions = seed % 3 != 0
                source.weights.conditional = 5
                source.weights.get = 2
            }
            let history = source.draw()
            let rises = seed % 8 != 0
            let expected = NaiveChecker.isLinearizable(history, versionsRise: rises)
            let found = verdict(history, versionsRise: rises)
            counts[expected, default: 0] += 1
            guard found == (expected ? .linearizable : .violated) else {
                Issue.record("seed \(seed): \(found), should be \(expected): \(history.entries)")
                return
            }
        }
        #expect(counts[true, default: 0] > 2_000)
        #expect(counts[false, default: 0] > 2_000)
    }

    @Test("those of a store that works are right, whatever is lost")
    func right() {
        for seed in UInt64(0)..<300 {
            var source = RandomHistory(seed: seed)
            source.operations = 60
            source.clients = 6
            source.letters = seed % 2 == 0 ? 0 : 4
            source.hasVersions = seed % 4 < 3
            source.lostPermille = 150
            let report = LinearizabilityChecker(KeyValueModel()).check(source.draw())
            #expect(report.verdict == .linearizable, "seed \(seed): \(report)")
        }
    }

    @Test("100,000 operations with unknown ones take few steps each")
    func large() {
        var steps = 0
        var operations = 0
        for seed in UInt64(0)..<100 {
            var source = RandomHistory(seed: seed)
            source.operations = 1_000
            source.clients = 12
            source.letters = 0
            source.lostPermille = 30
            let report = LinearizabilityChecker(KeyValueModel()).check(source.draw())
            #expect(report.verdict == .linearizable, "seed \(seed): \(report)")
            steps += report.steps
            operations += report.operations
        }
        #expect(operations == 100_000)
        #expect(steps < 10 * operations, "\(steps) steps")
    }

    @Test("100,000 operations of one key, some unknown, are not too many either")
    func oneKey() {
        var source = RandomHistory(seed: 1)
        source.operations = 100_000
        source.clients = 12
        source.letters = 0
        source.lostPermille = 5
        source.weights.delete = 2
        let report = LinearizabilityChecker(KeyValueModel()).check(source.draw())
        #expect(report.verdict == .linearizable, "\(report)")
        #expect(report.steps < 20 * report.operations, "\(report.steps) steps")
    }
}
