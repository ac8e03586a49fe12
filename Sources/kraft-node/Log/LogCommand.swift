import ArgumentParser
import Foundation
import KraftMultiRaft

/// Looks at the log of a data folder, without a node and without changing anything.
struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wal", abstract: "Looks at a data folder's log, and says whether it is sound.",
        discussion: """
            DIR is a data folder, or its folder 'wal'. Nothing is changed, and a node may be \
            running on it. Exit codes: 0 sound, 74 damaged or unreadable, 64 usage, 66 no log there.
            """,
        subcommands: [Inspect.self, Verify.self])

    /// There is nothing to look at.
    static let noInput = ExitCode(66)

    struct Target: ParsableArguments {
        @Argument(help: "A data folder, or its folder 'wal'.") var dir: String
        @Flag(help: "Print one JSON object.") var json = false

        func read() throws -> LogReport {
            do throws(KraftError) {
                let report = try LogFolder.report(of: dir) {
                    Thread.sleep(forTimeInterval: 0.1)
                }
                if let report { return report }
            } catch {
                complain(error.message)
                throw NodeExit.storage
            }
            complain("no log in '\(dir)'")
            throw LogCommand.noInput
        }
    }

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists what is in the log, per segment and per group.")
        @OptionGroup var target: Target

        func run() throws {
            let report = try target.read()
            if target.json {
                output(try LogJSON(report).encoded())
            } else {
                for line in LogText(report).inspection { print(line) }
            }
            if !report.isSound { throw NodeExit.storage }
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says in a line or two whether the log is sound.")
        @OptionGroup var target: Target

        func run() throws {
            let report = try target.read()
            if target.json {
                var json = LogJSON(report)
                json.segments = nil
                json.groups = nil
                output(try json.encoded())
            } else {
                for line in LogText(report).verdict { print(line) }
            }
            if !report.isSound { throw NodeExit.storage }
        }
    }
}
