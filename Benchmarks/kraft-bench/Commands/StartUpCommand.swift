import ArgumentParser

/// Measures the creation of many groups, what they take, and a restart with them.
struct StartUpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start-up",
        abstract: "Measures creating many groups in one go, their memory, and a node's restart.")

    @Option(help: "Numbers of groups, one measurement each, with commas.")
    var groups = CountList([1_000, 10_000])
    @OptionGroup var common: CommonOptions

    func validate() throws { try require("--groups", groups, 1...200_000) }

    func run() async throws {
        try await CommandRun.make(common) { folder, remains in
            var rows: [StartUpReport.Row] = []
            for count in groups.counts {
                let run = StartUpRun(
                    groups: count, idleSeconds: common.seconds ?? 5, folder: folder, remains)
                rows.append(try await run.measure())
            }
            return StartUpReport(rows: rows, machine: Machine(folder: folder))
        }
    }
}
