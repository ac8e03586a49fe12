import Foundation
import KraftTestKit
import Testing

/// Seeds drawn by number; each is a whole cluster with faults, then a calm.
///
/// - `KRAFT_SIM_SEED`: runs this one only, and says what happens in it.
/// - `KRAFT_SIM_SEEDS`: how many to run.
/// - `KRAFT_SOAK_MINUTES`: runs new seeds for so long.
@Suite("Swarm", .serialized)
struct SwarmTests {
    /// Enough that every counter is reached; a build without optimisation runs fewer.
    private static let fullCount = 240
    private static var defaultSeeds: Int { _isDebugAssertConfiguration() ? 16 : fullCount }
    private static let shards = 2

    private static func environment(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    @Test("Whatever breaks, the invariants hold, and the cluster lives again")
    func swarm() async {
        SeedReporter.install()
        if let seed = SwarmTests.environment("KRAFT_SIM_SEED") {
            let report = SwarmRun.run(seed: seed) { print($0) }
            for line in report.coverage.lines { print(line) }
            SwarmTests.expectClean(report)
            return
        }
        let began = ProcessInfo.processInfo.systemUptime
        let minutes = SwarmTests.environment("KRAFT_SOAK_MINUTES")
        // A soak goes on where nobody has been; the default is the same for everybody.
        let first = minutes == nil ? 1 : UInt64(Date().timeIntervalSince1970) * 1_000
        let count = SwarmTests.environment("KRAFT_SIM_SEEDS") ?? UInt64(SwarmTests.defaultSeeds)
        var total = Coverage()
        var simulated = 0.0
        var seeds = 0
        await withTaskGroup(of: (Coverage, Double, Int).self) { group in
            for shard in 0..<SwarmTests.shards {
                group.addTask {
                    SwarmTests.run(shard: shard, from: first) { seed in
                        guard let minutes else { return seed < first + count }
                        let now = ProcessInfo.processInfo.systemUptime
                        return now - began < Double(minutes) * 60
                    }
                }
            }
            for await part in group {
                total += part.0
                simulated += part.1
                seeds += part.2
            }
        }
        for line in total.lines { print("  \(line)") }
        let hours = String(format: "%.2f", simulated / 3_600)
        print("summary: simulator    \(seeds) seeds, \(hours) simulated hours")
        if seeds >= SwarmTests.fullCount {
            #expect(total.unreached.isEmpty, "never reached: \(total.unreached)")
        }
    }

    private static func run(
        shard: Int, from first: UInt64, while goesOn: (UInt64) -> Bool
    ) -> (Coverage, Double, Int) {
        var coverage = Coverage()
        var simulated = 0.0
        var seeds = 0
        var seed = first + UInt64(shard)
        while goesOn(seed) {
            SeedReporter.begin(seed, shard: shard)
            let report = SwarmRun.run(seed: seed)
            coverage += report.coverage
            simulated += Double(report.simulated.rawValue) / 1e9
            seeds += 1
            expectClean(report)
            seed += UInt64(shards)
        }
        return (coverage, simulated, seeds)
    }

    private static func expectClean(_ report: SwarmRun.Report) {
        for violation in report.violations {
            Issue.record(
                """
                seed \(report.plan.seed): \(violation)
                \(report.plan)
                reproduce: \(report.reproduction)
                """)
        }
    }
}

/// Says which seeds were running when the engine trapped.
enum SeedReporter {
    nonisolated(unsafe) private static var seeds: InlineArray<2, UInt64> = [0, 0]

    static func begin(_ seed: UInt64, shard: Int) { seeds[shard] = seed }

    static func install() {
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV] {
            signal(number) { number in
                SeedReporter.tell()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// Only what a signal handler may do: no allocation.
    private static func tell() {
        for shard in 0..<2 where seeds[shard] > 0 {
            for byte in "TRAPPED, perhaps: make sim SEED=".utf8 { put(byte) }
            var divisor: UInt64 = 10_000_000_000_000_000_000
            while divisor > seeds[shard] { divisor /= 10 }
            while divisor > 0 {
                put(UInt8(48 + seeds[shard] / divisor % 10))
                divisor /= 10
            }
            put(10)
        }
    }

    private static func put(_ byte: UInt8) {
        _ = withUnsafeBytes(of: byte) { write(2, $0.baseAddress, 1) }
    }
}
