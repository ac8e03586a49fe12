import ArgumentParser

/// Measures writes: closed loops of proposals in many groups at once, or an offered rate.
struct WritesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "writes", abstract: "Measures writes. What is done without a subcommand.")

    @Option(help: "Groups, all with a voter on each node.") var groups: Int?
    @Option(help: "Proposals under way in each group.") var inFlight: Int?
    @Option(
        help: """
            Writes offered per second, over all groups, whatever becomes of them; latencies count \
            from when each was due. Without it as many as --in-flight allows.
            """)
    var rate: Double?
    @Option(help: "How uneven the load is: 0 even, else the exponent of a Zipf distribution.")
    var skew = 0.0
    @Option(help: "Bytes in a command; at least 8.") var payload = 16
    @Option(help: "Seconds of the same load before measuring.") var warmup: Double?
    @Option(
        help: """
            loop: on the node's loop; async: tasks that await the API; async-on-loop: such tasks on \
            the node's loop as their executor.
            """)
    var clients = ClientKind.loop
    @Option(
        name: .customLong("gather-ms"),
        help: "Milliseconds for which proposals may gather, to be taken into the log together.")
    var gather = 0.0
    @Option(help: "Commands in one call of async clients.") var batch = 1
    @Option(help: "spread: each node leads a third of the groups; one: node 1 leads all.")
    var leaders = LeaderPlacement.spread
    @Option(help: "What each command costs its state machine: rounds of a hash, of about 2 ns.")
    var work = 0
    @Option(help: "Nodes; all groups have a voter on each.") var nodes = 3
    @Option(help: "Loops of each node, over which the groups are spread.") var loops = 1
    @Flag(help: "A small, short run, for its check of the result.") var quick = false
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--groups", groups, 1...100_000)
        try require("--in-flight", inFlight, 1...65_536)
        try require("--rate", rate, 0.1...10_000_000)
        try require("--skew", skew, 0...5)
        try require("--payload", payload, BenchCommand.minimumSize...1 << 20)
        try require("--work", work, 0...1_000_000)
        try require("--nodes", nodes, 1...7)
        try require("--loops", loops, 1...16)
        try require("--batch", batch, 1...65_536)
        try require("--gather-ms", gather, 0...99)
        try require("--warmup", warmup, 0...86_400)
        if batch > 1, clients == .loop {
            throw ValidationError("--batch: for --clients async; on the loop there are no calls")
        }
        if rate != nil, clients != .loop {
            throw ValidationError("--rate: for --clients loop")
        }
        if loops > 1, clients == .asyncOnLoop {
            throw ValidationError(
                "--clients async-on-loop: for --loops 1; that loop is the shared one")
        }
        if rate != nil, inFlight != nil {
            throw ValidationError("--rate or --in-flight: with a rate nothing waits for answers")
        }
    }

    var settings: WritesSettings {
        WritesSettings(
            groups: groups ?? (quick ? 6 : 48), inFlight: inFlight ?? (quick ? 8 : 16),
            rate: rate, skew: skew, payloadSizeBytes: payload,
            seconds: common.seconds ?? (quick ? 1 : 5), warmupSeconds: warmup ?? (quick ? 0.3 : 1),
            clients: clients, batch: batch, leaders: leaders, nodes: nodes, loops: loops,
            workRounds: work, gatherMicroseconds: Int(gather * 1_000), isQuick: quick)
    }

    func run() async throws {
        try await CommandRun.make(common, html: series.html) { folder, remains in
            var runs: [WritesReport] = []
            for number in 1...series.runs {
                if series.runs > 1 { progress("run \(number) of \(series.runs)") }
                runs.append(try await WritesRun(settings, folder: folder, remains).measure())
            }
            return LoadSeries(runs: runs)
        }
    }
}

/// What a run of writes was told to do.
struct WritesSettings: Codable, Sendable {
    var groups: Int
    var inFlight: Int
    /// Writes offered per second, over all groups; nil in closed loops.
    var rate: Double? = nil
    /// The exponent of a Zipf distribution of the load over the groups.
    var skew = 0.0
    var payloadSizeBytes: Int
    var seconds = 5.0
    var warmupSeconds = 1.0
    var clients = ClientKind.loop
    var batch = 1
    var leaders = LeaderPlacement.spread
    var nodes = 3
    /// Of each node.
    var loops = 1
    /// What each command costs the state machine: see `MachineSetup`.
    var workRounds = 0
    /// For how long proposals may gather (`Timing.gatherInterval`).
    var gatherMicroseconds = 0
    var isQuick = false
}
