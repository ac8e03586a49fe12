import Foundation
import KraftTestKit

/// A process that runs seeds, one after the other, and says on standard output how each ended.
///
/// `begin SEED` before each; then `end N…` (a `SwarmSummary` of it alone), and before that, if it
/// failed, `violation SEED text`.
enum Worker {
    static func run(from first: UInt64, step: UInt64, end: UInt64) {
        var seed = first
        while seed < end {
            TrapReporter.begin(seed)
            say("begin \(seed)")
            let report = SwarmRun.run(seed: seed)
            for violation in report.violations.prefix(1) { say("violation \(seed) \(violation)") }
            var summary = SwarmSummary()
            summary.add(report)
            say("end " + summary.numbers.map(String.init).joined(separator: " "))
            seed += step
        }
    }

    /// Runs seeds up to the first that fails, and says what it breaks. Returns the exit code.
    static func runQuickly(from first: UInt64, end: UInt64) -> Int32 {
        var summary = SwarmSummary()
        for seed in first..<end {
            TrapReporter.begin(seed)
            let report = SwarmRun.run(seed: seed)
            summary.add(report)
            guard !report.isClean else { continue }
            say("seed \(seed): \(report.plan)")
            for violation in report.violations { say("VIOLATION \(violation)") }
            say("reproduce: \(report.reproduction)")
            return 1
        }
        say("\(summary.seeds) seeds, all clean")
        return 0
    }

    /// Says what a plan breaks: `broken INVARIANT|time|message`, or `sound`.
    static func judge(_ plan: Plan) {
        let report = SwarmRun(plan).run()
        guard let violation = report.violations.first else {
            say("sound")
            return
        }
        let message = violation.message.replacingOccurrences(of: "\n", with: " ")
        say("broken \(violation.invariant.rawValue)|\(violation.time)|\(message)")
    }
}
