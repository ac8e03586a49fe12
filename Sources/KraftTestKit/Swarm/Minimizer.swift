/// Takes out of a failing plan whatever isn't needed to break the same invariant.
///
/// Faults by delta debugging (Zeller and Hildebrandt, 2002: halves, then quarters, and so on, and
/// their complements); then knobs, clients, groups and time, each once more until nothing goes.
public struct Minimizer {
    /// What a plan breaks; nil when nothing, or when that couldn't be found out.
    public typealias Judge = (Plan) -> Violation?

    private let judge: Judge
    private let runLimit: Int
    private let progress: (String) -> Void
    public private(set) var runs = 0

    /// - `runLimit`: how many plans may be tried.
    /// - `progress`: is told of each plan that is smaller and fails alike.
    public init(
        runLimit: Int = 400, progress: @escaping (String) -> Void = { _ in },
        judge: @escaping Judge
    ) {
        self.judge = judge
        self.runLimit = runLimit
        self.progress = progress
    }

    /// The smallest plan that it found, and what that breaks. Both nil when `plan` breaks nothing.
    public mutating func minimize(_ plan: Plan) -> (plan: Plan, violation: Violation)? {
        guard let violation = judge(plan) else { return nil }
        var best = (plan: plan, violation: violation)
        var before = ""
        while before != best.plan.text, runs < runLimit {
            before = best.plan.text
            shorten(&best)
            cutFaults(&best)
            for cut in Minimizer.knobs { attempt(best.plan.cut(cut), &best) }
            lower(.clients, \.load.clients, to: 1, &best)
            lower(.sessions, \.load.sessionClients, to: 0, &best)
            lower(.groups, \.groups, to: 1, &best)
        }
        return best
    }

    private static let knobs = [
        PlanCut(.network, "calm"), PlanCut(.disk, "calm"), PlanCut(.clock, "calm"),
        PlanCut(.turns, "calm"), PlanCut(.boots, "calm"), PlanCut(.limits, "plain"),
        PlanCut(.log, "plain"), PlanCut(.load, "plain"), PlanCut(.timing, "plain"),
    ]

    /// Takes a smaller plan for the best if it breaks the same invariant.
    @discardableResult
    private mutating func attempt(
        _ candidate: Plan?, _ best: inout (plan: Plan, violation: Violation)
    ) -> Bool {
        guard let candidate, candidate.text != best.plan.text, runs < runLimit else { return false }
        runs += 1
        guard let violation = judge(candidate),
            Minimizer.areAlike(violation, best.violation)
        else { return false }
        best = (candidate, violation)
        progress("\(runs) runs: \(candidate.faults.count) faults, \(candidate.text)")
        return true
    }

    /// The same invariant, and for liveness the same complaint: which node and group is no matter.
    private static func areAlike(_ a: Violation, _ b: Violation) -> Bool {
        guard a.invariant == b.invariant else { return false }
        return a.invariant != .liveness || a.message.prefix(12) == b.message.prefix(12)
    }

    /// The faults need to last no longer than until it breaks.
    private mutating func shorten(_ best: inout (plan: Plan, violation: Violation)) {
        let broken = best.violation.time / 1_000_000 + 1
        if broken < best.plan.duration.rawValue / 1_000_000 {
            attempt(best.plan.cut(PlanCut(.ms, String(broken))), &best)
        }
        var length = best.plan.duration.rawValue / 1_000_000
        while length > 1 {
            guard attempt(best.plan.cut(PlanCut(.ms, String(length / 2))), &best) else { return }
            length /= 2
        }
    }

    private mutating func cutFaults(_ best: inout (plan: Plan, violation: Violation)) {
        let before = best.plan.faults.filter { $0.time < best.plan.duration.rawValue }
        attempt(Minimizer.keep(before.map(\.number), of: best.plan), &best)
        var pieces = 2
        while runs < runLimit {
            let numbers = best.plan.faults.map(\.number)
            guard !numbers.isEmpty else { return }
            let size = max(1, (numbers.count + pieces - 1) / pieces)
            var isSmaller = false
            for start in stride(from: 0, to: numbers.count, by: size) {
                let end = min(numbers.count, start + size)
                let rest = Array(numbers[..<start] + numbers[end...])
                if attempt(Minimizer.keep(rest, of: best.plan), &best) {
                    isSmaller = true
                    break
                }
            }
            if isSmaller {
                pieces = max(2, pieces - 1)
            } else {
                guard size > 1 else { return }
                pieces *= 2
            }
        }
    }

    private static func keep(_ numbers: [Int], of plan: Plan) -> Plan? {
        guard numbers.count < plan.faults.count else { return nil }
        let list = numbers.map(String.init).joined(separator: ",")
        return plan.cut(PlanCut(.faults, list.isEmpty ? "none" : list))
    }

    /// Halves a number as long as it goes on to fail.
    private mutating func lower(
        _ key: PlanCut.Key, _ value: KeyPath<Plan, Int>, to least: Int,
        _ best: inout (plan: Plan, violation: Violation)
    ) {
        while best.plan[keyPath: value] > least {
            let next = max(least, best.plan[keyPath: value] / 2)
            guard attempt(best.plan.cut(PlanCut(key, String(next))), &best) else { return }
        }
    }
}
