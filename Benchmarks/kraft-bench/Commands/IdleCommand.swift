import ArgumentParser

/// Measures what groups cost that do nothing.
struct IdleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle",
        abstract: "Measures what idle groups cost: packets, CPU and memory by number of groups.")

    @Option(help: "Numbers of groups, one measurement each, with commas.")
    var groups = CountList([10, 2_000])
    @OptionGroup var common: CommonOptions

    func validate() throws { try require("--groups", groups, 1...200_000) }

    func run() async throws {
        try await CommandRun.make(common) { folder, remains in
            var rows: [IdleReport.Row] = []
            for count in groups.counts {
                let run = IdleRun(
                    groups: count, seconds: common.seconds ?? 5, folder: folder, remains)
                rows.append(try await run.measure())
            }
            return IdleReport(rows: rows, machine: Machine(folder: folder))
        }
    }
}
