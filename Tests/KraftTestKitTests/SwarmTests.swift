import Foundation
import KraftTestKit
import Testing

/// Seeds drawn by number; each is a whole cluster with faults, then a calm. `KRAFT_SIM_SEEDS` says
/// how many, where that isn't the default.
@Suite("Swarm", .serialized)
struct SwarmTests {
    /// Three of four are clusters of 5 nodes and 16 groups: 501 of these. Enough that every counter
    /// is reached; a build without optimisation runs fewer.
    private static let fullCount: UInt64 = 668
    private static let shards: UInt64 = 2

    private static var count: UInt64 {
        let asked = ProcessInfo.processInfo.environment["KRAFT_SIM_SEEDS"].flatMap { UInt64($0) }
        return asked ?? (_isDebugAssertConfiguration() ? 16 : fullCount)
    }

    @Test(
        "Whatever breaks, the invariants hold, the cluster lives again, and all faults are reached")
    func swarm() async {
        SeedReporter.install()
        let count = SwarmTests.count
        let began = clock()
        var total = SwarmSummary()
        await withTaskGroup(of: SwarmSummary.self) { group in
            for shard in 0..<SwarmTests.shards {
                group.addTask { SwarmTests.run(shard: shard, count: count) }
            }
            for await part in group { total += part }
        }
        for line in total.lines { print("  \(line)") }
        let seconds = Double(clock() - began) / Double(CLOCKS_PER_SEC)
        print("summary: simulator    \(total.headline(cpuSeconds: seconds))")
        guard count >= SwarmTests.fullCount else { return }
        #expect(total.standardSeeds >= 500)
        // What rots is no fault of the swarm's.
        let unreached = total.coverage.unreached.filter {
            ![.snapshotsRotten, .fetchesDamaged].contains($0)
        }
        #expect(unreached.isEmpty, "never reached: \(unreached)")
        #expect(total.injected.allSatisfy { $0 > 0 }, "some fault was never injected")
    }

    private static func run(shard: UInt64, count: UInt64) -> SwarmSummary {
        var summary = SwarmSummary()
        for seed in stride(from: 1 + shard, through: count, by: Int(shards)) {
            SeedReporter.begin(seed, shard: Int(shard))
            let report = SwarmRun.run(seed: seed)
            summary.add(report)
            guard let violation = report.violations.first else { continue }
            Issue.record(
                """
                seed \(seed): \(violation)
                \(report.plan)
                reproduce: \(report.reproduction)
                smaller: \(smaller(report.plan))
                """)
        }
        return summary
    }

    /// What a failing plan comes down to, within a bounded number of runs.
    private static func smaller(_ plan: Plan) -> String {
        var minimizer = Minimizer(runLimit: 80) { SwarmRun($0).run().violations.first }
        return minimizer.minimize(plan)?.plan.text ?? plan.text
    }

    @Test("Seeds that once failed")
    func onceFailed() {
        // 11928: a replica left and came back, and the restore of the one before it ended in its machine.
        for seed in [UInt64(11_928)] {
            let report = SwarmRun.run(seed: seed)
            #expect(report.violations.isEmpty, "seed \(seed): \(report.violations)")
        }
    }

    @Test("A seed is run the same with and without somebody who looks on")
    func log() {
        var lines = 0
        let plan = Plan.drawn(from: 3)
        let loud = SwarmRun(plan, isVerbose: true, log: { _ in lines += 1 }).run()
        #expect(loud.traceHash == SwarmRun(plan).run().traceHash)
        #expect(lines > 100)
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
