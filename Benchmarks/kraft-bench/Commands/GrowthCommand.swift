import ArgumentParser

/// Measures the same load on ever more groups.
struct GrowthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "growth",
        abstract: "Measures writes by number of active groups, with the same number in flight.")

    @Option(help: "Numbers of groups, with commas.")
    var groups = CountList([1, 10, 100, 1_000, 10_000])
    @Option(help: "Proposals under way in all groups together; one in each at least.")
    var inFlight = 10_000
    @Option(help: "Bytes in a command; at least 8.") var payload = 16
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--groups", groups, 1...100_000)
        try require("--in-flight", inFlight, 1...1_000_000)
        try require("--payload", payload, BenchCommand.minimumSize...1 << 20)
    }

    func run() async throws {
        let growth = CurvePlan.growth(
            groups.counts, inFlight: inFlight, payloadSizeBytes: payload,
            seconds: common.seconds ?? 3)
        try await CommandRun.make(common, html: series.html) { folder, remains in
            try await CurveRun([growth], runs: series.runs, folder: folder, remains).measure()
        }
    }
}

/// Measures latency over the offered rate, and writes over the number of groups.
struct SweepCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Measures latency over offered rates, and writes over groups, for plots.")

    @Option(help: "Writes offered per second, with commas.")
    var rates = CountList([1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000])
    @Option(help: "Groups of those runs.") var groups = 48
    @Option(help: "Numbers of groups of the closed loops, with commas.")
    var counts = CountList([1, 10, 48, 100, 1_000])
    @Option(help: "Proposals under way in all groups of a closed loop together.")
    var inFlight = 1_024
    @Option(help: "Bytes in a command; at least 8.") var payload = 128
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--rates", rates, 1...10_000_000)
        try require("--groups", groups, 1...100_000)
        try require("--counts", counts, 1...100_000)
        try require("--in-flight", inFlight, 1...1_000_000)
        try require("--payload", payload, BenchCommand.minimumSize...1 << 20)
    }

    func run() async throws {
        let seconds = common.seconds ?? 3
        let plans = [
            CurvePlan.rates(
                rates.counts, groups: groups, payloadSizeBytes: payload, seconds: seconds),
            CurvePlan.growth(
                counts.counts, inFlight: inFlight, payloadSizeBytes: payload, seconds: seconds),
        ]
        try await CommandRun.make(common, html: series.html) { folder, remains in
            try await CurveRun(plans, runs: series.runs, folder: folder, remains).measure()
        }
    }
}
