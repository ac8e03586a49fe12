import ArgumentParser
import Foundation

/// Where the benchmark's clients live.
enum ClientKind: String, ExpressibleByArgument, Codable, Sendable, CaseIterable {
    /// On the node's loop, with no hop or task per call.
    case loop
    /// Tasks that await the async API.
    case async
    /// The same tasks, on the node's own loop by `KraftMultiRaft.taskExecutor`.
    case asyncOnLoop = "async-on-loop"
}

/// How up to date a read has to be.
enum ReadLevel: String, ExpressibleByArgument, Codable, Sendable, CaseIterable {
    /// By a round to a majority (ReadIndex), which all reads of the moment share.
    case linearizable
    /// By the leader alone, under its lease.
    case lease
    /// What this node has applied.
    case local
}

/// Who leads the groups.
enum LeaderPlacement: String, ExpressibleByArgument, Codable, Sendable, CaseIterable {
    /// Node 1 leads all.
    case one
    /// The groups are dealt out to the nodes in turn.
    case spread

    /// The place among `nodeCount` nodes of the one that leads group `number`.
    func leader(of number: Int, nodeCount: Int) -> Int {
        self == .one ? 0 : number % nodeCount
    }
}

/// Several counts in one argument, with commas: `1,10,100`.
struct CountList: ExpressibleByArgument, Sendable {
    var counts: [Int]

    init(_ counts: [Int]) { self.counts = counts }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        counts = parts.compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        guard counts.count == parts.count else { return nil }
    }

    var defaultValueDescription: String { counts.map(String.init).joined(separator: ",") }
}

/// Refuses a number outside of its range.
func require<Value: Comparable>(
    _ name: String, _ value: Value?, _ range: ClosedRange<Value>
) throws {
    if let value, !range.contains(value) {
        throw ValidationError("\(name): \(range.lowerBound) to \(range.upperBound)")
    }
}

func require(_ name: String, _ list: CountList, _ range: ClosedRange<Int>) throws {
    for count in list.counts { try require(name, count, range) }
}

/// Options of subcommands that measure the same several times.
struct SeriesOptions: ParsableArguments {
    @Option(help: "How often it is measured; medians are printed, with the extremes.") var runs = 1
    @Option(help: ArgumentHelp("Also write a page with plots.", valueName: "file"))
    var html: String?

    func validate() throws { try require("--runs", runs, 1...1_000) }
}

/// Options of all subcommands.
struct CommonOptions: ParsableArguments {
    @Option(help: "Seconds measured.") var seconds: Double?

    @Option(
        help: ArgumentHelp(
            "Where the temporary data folder is made. Default: where this executable is.",
            valueName: "folder"))
    var dataDir: String?

    @Flag(help: "Print JSON instead of a table.") var json = false

    /// The folder below which the data folder is made.
    func dataParent() -> String {
        if let dataDir { return URL(fileURLWithPath: dataDir).path }
        let executable = try? FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/self/exe")
        let folder = ((executable ?? "./") as NSString).deletingLastPathComponent
        return access(folder, W_OK) == 0 ? folder : FileManager.default.currentDirectoryPath
    }

    func validate() throws {
        try require("--seconds", seconds, 0.01...86_400)
        if let dataDir {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: dataDir, isDirectory: &isFolder),
                isFolder.boolValue
            else { throw ValidationError("--data-dir: no such folder: \(dataDir)") }
        }
    }
}
