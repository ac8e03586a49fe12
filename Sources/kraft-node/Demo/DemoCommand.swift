import ArgumentParser
import Foundation

/// What the demo was asked for.
struct DemoOptions: Sendable {
    var nodes: Int
    var groups: Int
    var dataDirectory: String?
    var seconds: Int
}

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Starts a cluster, kills a node under load, proves that no write was lost.",
        discussion: """
            Runs real node processes on loopback ports, writes through HTTP, kills the node that \
            leads most groups with SIGKILL, starts it again, then reads back every acknowledged \
            write and compares the digests of all replicas. Ends with 0, or says what was lost and \
            ends with 70. Ctrl-C ends it and all its processes.
            """)

    @Option(help: "Number of nodes, from 3 to 15.") var nodes = 3
    @Option(help: "Number of groups, from 1 to 10,000.") var groups = 8
    @Option(help: "Where the nodes keep their data. (default: a folder that is removed at the end)")
    var dataDir: String?
    @Option(name: .customLong("for"), help: "How many seconds to write, from 6.") var seconds = 10

    func validate() throws {
        guard (3...15).contains(nodes) else { throw ValidationError("nodes: must be 3 to 15") }
        guard (1...NodeSettings.groupLimit).contains(groups) else {
            throw ValidationError("groups: must be 1 to \(NodeSettings.groupLimit)")
        }
        guard (6...86_400).contains(seconds) else {
            throw ValidationError("for: must be 6 to 86400 seconds")
        }
    }

    func run() async throws {
        let options = DemoOptions(
            nodes: nodes, groups: groups, dataDirectory: dataDir, seconds: seconds)
        let cleanup = DemoCleanup()
        let signals = DemoSignals(cleanup: cleanup)
        defer { withExtendedLifetime(signals) {} }
        let isClean: Bool
        do {
            isClean = try await Demo(options: options, cleanup: cleanup).run()
            cleanup.clean()
        } catch {
            cleanup.clean()
            complain("the demo failed: \(error)")
            throw NodeExit.internalError
        }
        if !isClean { throw NodeExit.internalError }
    }
}
