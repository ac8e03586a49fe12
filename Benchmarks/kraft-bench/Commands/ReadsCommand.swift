import ArgumentParser

/// Measures reads of each consistency.
struct ReadsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reads",
        abstract: "Measures reads: linearizable, by lease, or local.",
        discussion: "Each group is written to before; a read that misses any of it is stale.")

    @Option(help: "linearizable (ReadIndex), lease or local.")
    var level = ReadLevel.linearizable
    @Option(help: "Groups, all with three voters.") var groups = 48
    @Option(help: "Reads under way in each group.") var inFlight = 64
    @Option(help: "Seconds of the same load before measuring.") var warmup = 1.0
    @Option(help: "loop: on the node's loop; async: tasks that await the API.")
    var clients = ClientKind.loop
    @Flag(help: "Readers live at a follower of their groups, not at the leader.")
    var atFollowers = false
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--groups", groups, 1...10_000)
        try require("--in-flight", inFlight, 1...65_536)
        try require("--warmup", warmup, 0...86_400)
    }

    func run() async throws {
        let settings = ReadsSettings(
            level: level, groups: groups, inFlight: inFlight, seconds: common.seconds ?? 5,
            warmupSeconds: warmup, clients: clients, isAtFollowers: atFollowers)
        try await CommandRun.make(common, html: series.html) { folder, remains in
            var runs: [ReadsReport] = []
            for number in 1...series.runs {
                if series.runs > 1 { progress("run \(number) of \(series.runs)") }
                runs.append(try await ReadsRun(settings, folder: folder, remains).measure())
            }
            return LoadSeries(runs: runs)
        }
    }
}

/// What a run of reads was told to do.
struct ReadsSettings: Codable, Sendable {
    var level: ReadLevel
    var groups: Int
    var inFlight: Int
    var seconds: Double
    var warmupSeconds: Double
    var clients = ClientKind.loop
    var isAtFollowers = false
}
