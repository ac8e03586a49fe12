import Foundation
import KraftTestKit

/// One plan, for somebody who wants to see what happens in it.
enum Replay {
    /// Runs it with a line for what matters. Returns the exit code.
    static func show(_ plan: Plan, isVerbose: Bool) -> Int32 {
        TrapReporter.begin(plan.seed)
        say("seed \(plan.text): \(plan)")
        let report = SwarmRun(plan, isVerbose: isVerbose, log: say).run()
        say("")
        var summary = SwarmSummary()
        summary.add(report)
        for line in summary.lines where !line.hasSuffix(": 0") { say("  \(line)") }
        say("trace hash \(report.traceHash)")
        for violation in report.violations { say("VIOLATION \(violation)") }
        let millis = report.simulated.rawValue / 1_000_000
        say(
            report.isClean
                ? "seed \(plan.text): passed, \(millis) ms simulated, 0 violations"
                : "seed \(plan.text): FAILED after \(millis) ms; reproduce: \(report.reproduction)")
        return report.isClean ? 0 : 1
    }

    /// Cuts a failing plan down, judging in processes of their own, as a trap ends one.
    static func minimize(_ plan: Plan) -> Int32 {
        say("minimising \(plan.text)")
        var minimizer = Minimizer(progress: { say("  \($0.prefix(160))") }, judge: Child.judge)
        guard let (least, violation) = minimizer.minimize(plan) else {
            say("seed \(plan.text): nothing is broken")
            return 0
        }
        say("least after \(minimizer.runs) runs: \(least)")
        say("VIOLATION \(violation)")
        for planned in least.faults {
            say("  fault \(planned.number) at \(planned.time / 1_000_000) ms: \(planned.fault)")
        }
        say("pin: \"\(least.text)\"")
        say("reproduce: make sim SEED=\"\(least.text)\"")
        return 1
    }
}
