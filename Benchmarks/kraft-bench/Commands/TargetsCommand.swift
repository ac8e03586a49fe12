import ArgumentParser
import Foundation

/// Measures all that there is a target for.
struct TargetsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "targets",
        abstract: "Measures all that there is a target for; one table. What `make bench` does.",
        discussion: """
            All are measured in turn, and then all again. A target that isn't met is no failure; a \
            result that is wrong is.
            """)

    @Option(help: "How often each is measured; medians are printed, with the extremes.")
    var runs = 5
    @Option(help: "How often of these what takes minutes is measured, too.") var longRuns = 1
    @Option(help: "Only those whose names hold one of these words, with commas between.")
    var only: String?
    @Option(help: ArgumentHelp("Also write a page.", valueName: "file")) var html: String?
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try require("--runs", runs, 1...1_000)
        try require("--long-runs", longRuns, 0...1_000)
        if trials.isEmpty {
            throw ValidationError(
                "--only: these are\n" + Trial.all.map(\.name).joined(separator: "\n"))
        }
    }

    private var trials: [Trial] {
        guard let only else { return Trial.all }
        let words = only.split(separator: ",").map(String.init)
        return Trial.all.filter { trial in
            words.contains { trial.name.localizedCaseInsensitiveContains($0) }
        }
    }

    func run() async throws {
        try await CommandRun.make(common, html: html) { folder, remains in
            let place = Trial.Place(
                folder: folder, remains: remains, seconds: common.seconds ?? 2)
            return await TargetsRun(trials, runs: runs, longRuns: longRuns, place).measure()
        }
    }
}
