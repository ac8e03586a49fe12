import ArgumentParser

/// Measures what it costs the others that a node comes back by snapshots.
struct AwayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "away",
        abstract: "Measures writes while a node that was away for long comes back by snapshots.")

    @Option(help: "Groups, all with three voters; nodes 1 and 2 lead them.") var groups = 8
    @Option(help: "Proposals under way in each group, while it is measured.") var inFlight = 4
    @Option(help: "Bytes in a command; at least 8.") var payload = 128
    @Option(help: "Entries that node 3 misses.") var entries = 1_000_000
    @Option(help: "KiB of state of each group.") var stateKib = 16_384
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--groups", groups, 1...10_000)
        try require("--in-flight", inFlight, 1...65_536)
        try require("--payload", payload, BenchCommand.minimumSize...1 << 20)
        try require("--entries", entries, 1...1_000_000_000)
        try require("--state-kib", stateKib, 0...1 << 20)
    }

    func run() async throws {
        let settings = AwaySettings(
            groups: groups, inFlight: inFlight, payloadSizeBytes: payload, entries: entries,
            stateSizeBytes: stateKib << 10, seconds: common.seconds ?? 5)
        try await CommandRun.make(common) { folder, remains in
            try await AwayRun(settings, folder: folder, remains).measure()
        }
    }
}

/// What such a run was told to do.
struct AwaySettings: Codable, Sendable {
    var groups: Int
    var inFlight: Int
    var payloadSizeBytes: Int
    var entries: Int
    var stateSizeBytes: Int
    /// Of the measurements before.
    var seconds: Double
}
