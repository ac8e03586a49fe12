import Testing

@testable import kraft_bench

@Suite("What the benchmark shows")
struct ReportTests {
    @Test("the median is the middle one, or lies between the two in the middle")
    func median() {
        #expect(Spread([]) == nil)
        #expect(Spread([3])?.median == 3)
        #expect(Spread([5, 1, 3])?.median == 3)
        #expect(Spread([4, 1, 2, 100])?.median == 3)
        #expect(Spread([4, 1, 2, 100])?.min == 1)
        #expect(Spread([4, 1, 2, 100])?.max == 100)
    }

    @Test("one value stands alone, several with their extremes")
    func spread() {
        #expect(Spread([1_500])?.text(Report.count) == "1,500")
        #expect(Spread([2, 1, 4])?.text(Report.count) == "2 (1–4)")
    }

    @Test("ratios say how often the machine's own time fits in")
    func ratios() throws {
        var latencies = Latencies()
        for number in 1...100 { latencies.record(UInt64(number) * 100_000) }
        var disk = Latencies()
        for number in 1...100 { disk.record(UInt64(number) * 50_000) }
        let limits = MachineLimits(
            fdatasync: Percentiles(disk), loopback: Percentiles(disk))
        let report = Sample(latencyMicroseconds: Percentiles(latencies), limits: limits)
        #expect(abs(report.p50ByFdatasync - 2) < 0.01)
        #expect(abs(report.p99ByFdatasync - 2) < 0.01)
        let table = LoadSeries(runs: [report]).table()
        #expect(table.contains("p50 / p50 of fdatasync         2.0 ×"))
        #expect(table.contains("p99 / p99 of fdatasync         2.0 ×"))
    }

    @Test("a limit's median is that of the best piece, its rare values are those of all")
    func pieces() {
        var (quiet, busy) = (Latencies(), Latencies())
        quiet.record(100_000, count: 1_000)
        busy.record(4_000_000, count: 1_000)
        let limit = LimitsProbe.percentiles([busy, quiet, busy])
        #expect(abs(limit.p50 - 100) < 1)
        #expect(abs(limit.p99 - 4_000) < 10)
    }

    @Test("a target is met from its limit on")
    func goals() {
        let rate = Goal.rate("writes", atLeast: 900_000)
        #expect(rate.target == "≥ 900,000/s")
        #expect(rate.isMet(900_000))
        #expect(!rate.isMet(899_999))
        let cpu = Goal.cpu(atMost: 0.9)
        #expect(cpu.target == "≤ 0.90 µs")
        #expect(cpu.isMet(0.9))
        #expect(!cpu.isMet(0.91))
        #expect(!cpu.isMet(.nan))
    }

    @Test("the table of targets takes medians, and tells what broke")
    func targets() {
        let trials = [
            Trial(name: "a", goals: [.rate("x", atLeast: 10)]) { _ in .init(values: []) },
            Trial(name: "b", goals: [.cpu(atMost: 1)]) { _ in .init(values: []) },
        ]
        let report = TargetsReport(
            trials, [[9.0, 12, 11].map { .init(values: [$0]) }, []],
            failures: [nil, "no <disk>"], machine: Machine(folder: "/"))
        #expect(report.rows.map(\.isMet) == [true, nil])
        #expect(report.rows[0].measured == "11/s (9/s–12/s)")
        #expect(!report.isSound)
        #expect(report.table().contains("b: no <disk>"))
        #expect(report.page().html().contains("b: no &lt;disk&gt;"))
    }

    @Test("a run that lost a write makes a series unsound")
    func unsound() {
        var bad = Sample(
            latencyMicroseconds: Percentiles(Latencies()),
            limits: MachineLimits(
                fdatasync: Percentiles(Latencies()), loopback: Percentiles(Latencies())))
        let good = bad
        bad.check.problems = ["lost"]
        #expect(LoadSeries(runs: [good, good]).isSound)
        #expect(!LoadSeries(runs: [good, bad]).isSound)
        #expect(LoadSeries(runs: [good, bad]).table().contains("FAILED: lost"))
    }

    @Test("a stale read, or no read at all, fails the check")
    func stale() {
        var check = ResultCheck()
        var tally = ClientTally(group: "g")
        tally.readCount = 3
        check.add(reads: [tally])
        #expect(check.problems.isEmpty)
        tally.staleCount = 1
        check.add(reads: [tally])
        #expect(check.problems == ["g: 1 stale reads"])
        var empty = ResultCheck()
        empty.add(reads: [])
        #expect(!empty.problems.isEmpty)
    }
}

/// The least that a series can be made of.
private struct Sample: LoadReport {
    static let title = "sample"
    static var figures: [Figure<Sample>] { latencyFigures + ratioFigures }

    var settingsWords: String { "none" }
    var latencyMicroseconds: Percentiles
    var limits: MachineLimits
    var check = ResultCheck()
    var machine = Machine(folder: "/")
    var percentUsedByOthers = 0.0
}
