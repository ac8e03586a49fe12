import Foundation

/// Spoils what a node writes, through the library of Tests/FaultInjection that is preloaded into its
/// process. What it does can be changed while the node runs.
final class FaultyDisk: Sendable {
    private let folder: String
    private let library: String

    /// Compiles the library. Its files go with the cluster's folder.
    init(for cluster: TestCluster) throws {
        folder = cluster.directory
        library = "\(folder)/fault.so"
        let source = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("FaultInjection/preload.c").path
        let compiler = Process()
        compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        compiler.arguments = [
            "cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread",
        ]
        try compiler.run()
        compiler.waitUntilExit()
        guard compiler.terminationStatus == 0 else {
            throw NodeProcess.Trouble(description: "the library of faults can't be compiled")
        }
    }

    /// Of a node whose data lies in `dataFolder`.
    func environment(_ id: Int, dataFolder: String? = nil) -> [String: String] {
        [
            "LD_PRELOAD": library, "FAULT_DIR": dataFolder ?? "\(folder)/\(id)",
            "FAULT_CONTROL": control(id), "FAULT_REPORT": reportPath(id),
        ]
    }

    private func control(_ id: Int) -> String { "\(folder)/\(id).faults" }
    private func reportPath(_ id: Int) -> String { "\(folder)/\(id).injected" }

    /// Lines of README.md; none: the disk is a good one again.
    func order(_ id: Int, _ lines: String...) throws {
        try (lines.joined(separator: "\n") + "\n").write(
            toFile: control(id), atomically: true, encoding: .utf8)
    }

    /// How often a fault was really injected.
    func count(_ fault: String, on id: Int) -> Int {
        let text = (try? String(contentsOfFile: reportPath(id), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").count { $0 == fault }
    }
}

extension TestCluster {
    /// A cluster whose nodes all have a disk that can be spoilt; ready.
    static func withFaultyDisks(
        groups: Int = 4, flags: [String] = [],
        _ body: (TestCluster, FaultyDisk) async throws -> Void
    ) async throws {
        try await TestCluster.with(groups: groups, flags: flags, started: []) { cluster in
            let disk = try FaultyDisk(for: cluster)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for id in 1...3 {
                    tasks.addTask {
                        try await cluster.start(id, environment: disk.environment(id))
                    }
                }
                try await tasks.waitForAll()
            }
            try await cluster.waitUntilReady()
            try await body(cluster, disk)
        }
    }

    /// How many groups a node leads, as it says itself.
    func groupsLed(by id: Int) async throws -> Int {
        let metrics = try await send(.GET, "/metrics", to: id).text
        let line = metrics.split(separator: "\n").first { $0.hasPrefix("kraft_groups_led ") }
        return line.flatMap { Int($0.split(separator: " ")[1]) } ?? 0
    }

    /// The node that leads most groups, and so the one whose trouble shows most.
    func busiest() async throws -> Int {
        var most = (node: 1, led: -1)
        for id in running {
            let led = try await groupsLed(by: id)
            if led > most.led { most = (id, led) }
        }
        return most.node
    }
}
