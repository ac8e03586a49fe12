import ArgumentParser

/// Measures how long groups are without a leader after a node's death.
struct FailOverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fail-over",
        abstract: "Measures how long groups are without a leader whose node is killed.")

    @Option(help: "Numbers of groups, one measurement each, with commas; each node leads a third.")
    var groups = CountList([48, 1_000])
    @OptionGroup var common: CommonOptions

    func validate() throws { try require("--groups", groups, 3...100_000) }

    func run() async throws {
        try await CommandRun.make(common) { folder, remains in
            var rows: [FailOverReport.Row] = []
            for count in groups.counts {
                rows.append(
                    try await FailOverRun(groups: count, folder: folder, remains).measure())
            }
            return FailOverReport(rows: rows, machine: Machine(folder: folder))
        }
    }
}
