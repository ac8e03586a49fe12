/// Which rounds a fuzz test runs: so many, from seed 1 on, the same in every run; unless the
/// environment asks for others.
///
/// - `KRAFT_FUZZ_FACTOR`: so many times as many.
/// - `KRAFT_FUZZ_FROM`: the first seed, where nobody has been.
/// - `KRAFT_FUZZ_ROUNDS`: only so many; 1, to replay a round that failed.
public struct FuzzRounds: Sendable {
    public let seeds: Range<UInt64>

    /// - `count`: how many rounds an ordinary test run may take.
    /// - `environment`: the process's own.
    // ordered: looked up only
    public init(_ count: Int, environment: [String: String]) {
        func number(_ name: String) -> UInt64? { environment[name].flatMap { UInt64($0) } }
        let first = number("KRAFT_FUZZ_FROM") ?? 1
        let wanted =
            number("KRAFT_FUZZ_ROUNDS")
            ?? UInt64(count).multipliedReportingOverflow(by: number("KRAFT_FUZZ_FACTOR") ?? 1)
            .partialValue
        seeds = first..<(first.addingReportingOverflow(wanted).overflow ? first : first + wanted)
    }

    /// Runs a round for each seed, with dice of its own.
    public func run<E: Error>(_ round: (inout ByteMutator) throws(E) -> Void) throws(E) {
        for seed in seeds {
            var mutator = ByteMutator(seed: seed)
            try round(&mutator)
        }
    }

    /// What to set to run the round of this seed alone.
    public static func reproduction(_ seed: UInt64) -> String {
        "KRAFT_FUZZ_FROM=\(seed) KRAFT_FUZZ_ROUNDS=1"
    }
}
