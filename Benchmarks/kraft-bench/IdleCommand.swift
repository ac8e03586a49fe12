import ArgumentParser
import Foundation

/// Measures what groups cost that do nothing.
struct IdleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "idle",
        abstract: "Measures what idle groups cost: packets, CPU and memory by number of groups.")

    @Option(help: "Numbers of groups, one measurement each, with commas.") var groups = "10,2000"
    @OptionGroup var common: CommonOptions

    private var counts: [Int]? {
        let parts = groups.split(separator: ",", omittingEmptySubsequences: false)
        let counts = parts.compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        guard counts.count == parts.count, counts.allSatisfy({ (1...100_000).contains($0) })
        else { return nil }
        return counts
    }

    func validate() throws {
        guard counts != nil else {
            throw ValidationError("--groups: numbers from 1 to 100000, with commas between")
        }
    }

    func run() async throws {
        let remains = Remains()
        do {
            let folder = try remains.makeFolder(in: common.dataParent())
            var rows: [IdleReport.Row] = []
            for count in counts ?? [] {
                let run = IdleRun(
                    groups: count, seconds: common.seconds ?? 5, folder: folder, remains)
                rows.append(try await run.measure())
            }
            let report = IdleReport(rows: rows, machine: Machine(folder: folder))
            remains.end()
            print(try common.json ? report.json() : report.table())
        } catch {
            remains.end()
            complain("\(error)")
            throw BenchFailure.exitCode
        }
    }
}
