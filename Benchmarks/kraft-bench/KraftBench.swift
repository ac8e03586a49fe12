import ArgumentParser
import Foundation

/// The command line of `kraft-bench`.
@main
struct KraftBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kraft-bench",
        abstract: "Measures three nodes on loopback, with a durable log, and checks the result.",
        discussion: """
            Exit codes: 0 fine, 64 usage error, 70 the check of the result failed or something \
            broke, 130 interrupted.
            """,
        subcommands: [
            WritesCommand.self, ReadsCommand.self, IdleCommand.self, StartUpCommand.self,
            FailOverCommand.self, GrowthCommand.self, SweepCommand.self, LoopsCommand.self,
            NeighbourCommand.self, AwayCommand.self, TargetsCommand.self, NodeCommand.self,
        ],
        defaultSubcommand: WritesCommand.self)
}

/// Why a run can't be believed, or could not be made.
struct BenchFailure: Error, CustomStringConvertible, Sendable {
    static let exitCode = ExitCode(70)

    var description: String
    init(_ description: String) { self.description = description }
}

/// Words for a human on standard error.
func complain(_ message: String) {
    try? FileHandle.standardError.write(contentsOf: Data("kraft-bench: \(message)\n".utf8))
}

/// What goes on, for somebody who watches; a log file is spared it.
func progress(_ message: String) {
    if isatty(STDERR_FILENO) != 0 { complain(message) }
}
