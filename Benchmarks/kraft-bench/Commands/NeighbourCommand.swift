import ArgumentParser

/// Measures what a saturated group costs its neighbours on the same loop, and on another.
struct NeighbourCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "neighbour",
        abstract: "Measures groups with little to do beside a saturated one, on its loop or not.")

    @Option(help: "Groups with little to do.") var groups = 255
    @Option(help: "Writes offered to all of these per second.") var rate = 2_550.0
    @Option(help: "Nodes; all groups have a voter on each.") var nodes = 3
    @Option(help: "What each command costs the saturated group's machine: rounds of about 2 ns.")
    var work = 0
    @OptionGroup var series: SeriesOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--groups", groups, 1...100_000)
        try require("--rate", rate, 0.1...1_000_000)
        try require("--nodes", nodes, 1...7)
        try require("--work", work, 0...1_000_000)
    }

    func run() async throws {
        try await CommandRun.make(common, html: series.html) { folder, remains in
            var report = NeighbourReport(
                settings: NeighbourSettings(
                    groups: groups, rate: rate, nodes: nodes, workRounds: work,
                    seconds: common.seconds ?? 3),
                machine: Machine(folder: folder))
            // In turn: what the machine does meanwhile falls on both alike.
            for number in 1...series.runs {
                if series.runs > 1 { progress("run \(number) of \(series.runs)") }
                report.together.append(
                    try await NeighbourRun(report.settings, folder: folder, remains).measure())
                var settings = report.settings
                settings.isApart = true
                report.apart.append(
                    try await NeighbourRun(settings, folder: folder, remains).measure())
            }
            return report
        }
    }
}
