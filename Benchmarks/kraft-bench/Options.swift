import ArgumentParser
import Foundation

/// Where the benchmark's clients live.
enum ClientKind: String, ExpressibleByArgument, Codable, Sendable, CaseIterable {
    /// On the node's loop, with no hop or task per call.
    case loop
    /// Tasks that await the async API.
    case async
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
        if let seconds, !(seconds > 0 && seconds <= 86_400) {
            throw ValidationError("--seconds: above 0 and at most 86400")
        }
        if let dataDir {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: dataDir, isDirectory: &isFolder),
                isFolder.boolValue
            else { throw ValidationError("--data-dir: no such folder: \(dataDir)") }
        }
    }
}
