import ArgumentParser
import Foundation

/// Measures writes: closed loops of proposals, in many groups at once.
struct WritesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "writes", abstract: "Measures writes. What is done without a subcommand.")

    @Option(help: "Groups, all with three voters.") var groups: Int?
    @Option(help: "Proposals under way in each group.") var inFlight: Int?
    @Option(help: "Bytes in a command; at least 8.") var payload = 16
    @Option(help: "Seconds of the same load before measuring.") var warmup: Double?
    @Option(help: "loop: on the node's loop; async: tasks that await the API.")
    var clients = ClientKind.loop
    @Option(help: "Commands in one call of async clients.") var batch = 1
    @Option(help: "spread: each node leads a third of the groups; one: node 1 leads all.")
    var leaders = LeaderPlacement.spread
    @Flag(help: "A small, short run, for its check of the result.") var quick = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        try check("--groups", groups, 1...100_000)
        try check("--in-flight", inFlight, 1...65_536)
        try check("--payload", payload, BenchCommand.minimumSize...1 << 20)
        try check("--batch", batch, 1...65_536)
        if batch > 1, clients == .loop {
            throw ValidationError("--batch: for --clients async; on the loop there are no calls")
        }
        if let warmup, !(warmup >= 0 && warmup <= 86_400) {
            throw ValidationError("--warmup: at most 86400")
        }
    }

    private func check(_ name: String, _ value: Int?, _ range: ClosedRange<Int>) throws {
        if let value, !range.contains(value) {
            throw ValidationError("\(name): \(range.lowerBound) to \(range.upperBound)")
        }
    }

    var settings: WritesSettings {
        WritesSettings(
            groups: groups ?? (quick ? 6 : 48), inFlight: inFlight ?? (quick ? 8 : 16),
            payloadSizeBytes: payload, seconds: common.seconds ?? (quick ? 1 : 5),
            warmupSeconds: warmup ?? (quick ? 0.3 : 1), clients: clients, batch: batch,
            leaders: leaders, isQuick: quick)
    }

    func run() async throws {
        let remains = Remains()
        do {
            let folder = try remains.makeFolder(in: common.dataParent())
            let report = try await WritesRun(settings, folder: folder, remains).measure()
            remains.end()
            print(try common.json ? report.json() : report.table())
            guard report.check.problems.isEmpty else { throw BenchFailure.exitCode }
        } catch let code as ExitCode {
            throw code
        } catch {
            remains.end()
            complain("\(error)")
            throw BenchFailure.exitCode
        }
    }
}

/// What a run of writes was told to do.
struct WritesSettings: Codable, Sendable {
    var groups: Int
    var inFlight: Int
    var payloadSizeBytes: Int
    var seconds: Double
    var warmupSeconds: Double
    var clients: ClientKind
    var batch: Int
    var leaders: LeaderPlacement
    var isQuick: Bool
}
