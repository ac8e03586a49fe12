/// What many seeds came to: the figures that `make soak` and the tests print.
public struct SwarmSummary: Sendable {
    public private(set) var seeds = 0
    public private(set) var standardSeeds = 0
    public private(set) var simulatedNanoseconds: UInt64 = 0
    public private(set) var coverage = Coverage()
    /// By `Fault.rawValue`.
    public private(set) var injected = [UInt64](repeating: 0, count: Fault.allCases.count)
    public private(set) var violations = 0

    public init() {}

    public mutating func add(_ report: SwarmRun.Report) {
        seeds += 1
        if Plan.isStandardShape(report.plan.seed) { standardSeeds += 1 }
        simulatedNanoseconds += report.simulated.rawValue
        coverage += report.coverage
        for fault in Fault.allCases { injected[fault.rawValue] += report.injected[fault.rawValue] }
        if !report.isClean { violations += 1 }
    }

    public static func += (total: inout SwarmSummary, part: SwarmSummary) {
        total.seeds += part.seeds
        total.standardSeeds += part.standardSeeds
        total.simulatedNanoseconds += part.simulatedNanoseconds
        total.coverage += part.coverage
        for fault in Fault.allCases {
            total.injected[fault.rawValue] += part.injected[fault.rawValue]
        }
        total.violations += part.violations
    }

    /// A seed ended in a trap: nothing else is known of it.
    public mutating func addTrap() {
        seeds += 1
        violations += 1
    }

    public var simulatedHours: Double { Double(simulatedNanoseconds) / 3.6e12 }

    /// Requests whose end was held against what really happened.
    public var operationsChecked: UInt64 {
        let ends: [Coverage.Counter] = [
            .acknowledged, .refused, .unknown, .overloaded, .staleRoutes, .readsAnswered,
            .readsRefused, .transfersDone, .sessionsOpened, .sessionTouches, .sessionsClosed,
        ]
        return ends.reduce(0) { $0 + coverage[$1] }
    }

    // MARK: Text

    /// Counters by name, then faults by kind; a line each.
    public var lines: [String] {
        coverage.lines
            + Fault.allCases.map { "fault \($0): \(injected[$0.rawValue])" }
    }

    /// - `cpuSeconds`: that it took, all processes together.
    public func headline(cpuSeconds: Double) -> String {
        let perMinute = cpuSeconds > 0 ? simulatedHours / (cpuSeconds / 60) : 0
        return """
            \(seeds) seeds (\(standardSeeds) of 5 nodes and 16 groups), \
            \(SwarmSummary.text(simulatedHours)) simulated hours, \(injectedFaults) faults, \
            \(operationsChecked) operations checked, \(violations) violations; \
            \(SwarmSummary.text(perMinute)) simulated hours per CPU minute
            """
    }

    public var injectedFaults: UInt64 { injected.reduce(0, +) }

    /// Two decimals, without Foundation.
    static func text(_ value: Double) -> String {
        let hundredths = UInt64(max(0, value) * 100 + 0.5)
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
    }

    // MARK: From one process to another

    /// All of it as numbers.
    public var numbers: [UInt64] {
        [UInt64(seeds), UInt64(standardSeeds), simulatedNanoseconds, UInt64(violations)]
            + Coverage.Counter.allCases.map { coverage[$0] } + injected
    }

    /// Nil for numbers of another build.
    public init?(numbers: [UInt64]) {
        let counters = Coverage.Counter.allCases
        guard numbers.count == 4 + counters.count + injected.count else { return nil }
        seeds = Int(numbers[0])
        standardSeeds = Int(numbers[1])
        simulatedNanoseconds = numbers[2]
        violations = Int(numbers[3])
        for counter in counters { coverage[counter] = numbers[4 + counter.rawValue] }
        injected = Array(numbers[(4 + counters.count)...])
    }
}
