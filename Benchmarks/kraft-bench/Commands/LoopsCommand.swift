import ArgumentParser

/// Measures the same load on one loop of each node, and on several.
struct LoopsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loops",
        abstract: "Measures writes by loops (dedicated adapters), on one node and on three.")

    @Option(help: "Numbers of loops, with commas.") var loops = CountList([1, 2])
    @Option(help: "Groups, spread over the loops.") var groups = 48
    @Option(help: "Proposals under way in each group.") var inFlight = 256
    @Option(help: "Bytes in a command; at least 8.") var payload = 16
    @Option(help: "loop: on the groups' own loops; async: tasks that await the API.")
    var clients = ClientKind.loop
    @Option(help: "Commands in one call of async clients.") var batch = 1
    @Option(help: "What each command costs its state machine: rounds of a hash, of about 2 ns.")
    var work = 0
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--loops", loops, 1...16)
        try require("--groups", groups, 1...100_000)
        try require("--in-flight", inFlight, 1...65_536)
        try require("--payload", payload, BenchCommand.minimumSize...1 << 20)
        try require("--work", work, 0...1_000_000)
        try require("--batch", batch, 1...65_536)
        if clients == .asyncOnLoop { throw ValidationError("--clients: loop or async") }
        if batch > 1, clients == .loop {
            throw ValidationError("--batch: for --clients async; on the loop there are no calls")
        }
    }

    func run() async throws {
        let seconds = common.seconds ?? 3
        let settings = WritesSettings(
            groups: groups, inFlight: inFlight, payloadSizeBytes: payload, seconds: seconds,
            warmupSeconds: min(1, seconds / 2), clients: clients, batch: batch,
            workRounds: work)
        let plans = [1, 3].map { CurvePlan.loops(loops.counts, nodes: $0, settings) }
        try await CommandRun.make(common, html: series.html) { folder, remains in
            try await CurveRun(plans, runs: series.runs, folder: folder, remains).measure()
        }
    }
}
