import AsyncHTTPClient
import Foundation
import Synchronization

/// `kraft-node` processes in a folder of their own, with a proxy between each pair of them.
final class ChaosCluster: Sendable {
    struct Trouble: Error, CustomStringConvertible { var description: String }

    let count: Int
    let client: HTTPClient
    let network: ProxyNetwork
    let groups: Int
    private let leaseMilliseconds: Int
    private let folder: URL
    private let peerPorts: [UInt16]
    private let httpPorts: [UInt16]
    private let running = Mutex<[Int: Running]>([:])
    /// Nodes that came back with an empty folder: they are known by their own addresses, and are
    /// started as those that join.
    private let rejoined = Mutex<Set<Int>>([])

    private struct Running: @unchecked Sendable {
        var process: Process
        /// The node ends when this closes, whatever becomes of us.
        var lifeline: Pipe
    }

    init(nodes: Int, groups: Int, leaseMilliseconds: Int) throws {
        count = nodes
        self.groups = groups
        self.leaseMilliseconds = leaseMilliseconds
        folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("kraft-chaos-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let ports = Loopback.freePorts(2 * nodes)
        peerPorts = Array(ports.prefix(nodes))
        httpPorts = Array(ports.suffix(nodes))
        network = try ProxyNetwork(peerPorts: peerPorts)
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
        configuration.timeout.connect = .milliseconds(500)
        configuration.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(configuration: configuration)
    }

    func url(_ node: Int) -> String { "http://127.0.0.1:\(httpPorts[node - 1])" }
    func peerAddress(_ node: Int) -> String { "127.0.0.1:\(peerPorts[node - 1])" }

    /// Everything that a node keeps.
    func dataFolder(_ node: Int) -> URL { folder.appendingPathComponent("node-\(node)") }
    /// For what the tool itself keeps.
    var scratchFolder: URL { folder }
    func logFile(_ node: Int) -> URL { folder.appendingPathComponent("node-\(node).log") }

    func noteRejoined(_ node: Int) { rejoined.withLock { _ = $0.insert(node) } }

    /// The exit code of a node that has ended by itself; nil while it runs.
    func exitCode(_ node: Int) -> Int32? {
        running.withLock { running in
            guard let process = running[node]?.process, !process.isRunning else { return nil }
            return process.terminationReason == .exit
                ? process.terminationStatus : 128 + process.terminationStatus
        }
    }

    func start() async throws {
        for node in 1...count { try launch(node) }
        try await waitUntilReady()
    }

    private static var executable: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("kraft-node")
    }

    private func launch(_ node: Int) throws {
        let process = Process()
        process.executableURL = ChaosCluster.executable
        let peers = (1...count).map { peer in
            let port = peer == node ? peerPorts[node - 1] : network.port(from: node, to: peer)
            return "\(peer)=127.0.0.1:\(port)"
        }
        let others = (1...count).filter { $0 != node }.map { peerAddress($0) }
        let entry =
            rejoined.withLock { $0.contains(node) }
            ? ["--join", others.joined(separator: ",")]
            : ["--peers", peers.joined(separator: ","), "--groups", "\(groups)"]
        process.arguments =
            [
                "run", "--id", "\(node)", "--data-dir", dataFolder(node).path,
                "--listen", peerAddress(node), "--http", "127.0.0.1:\(httpPorts[node - 1])",
                "--cluster-id", "chaos", "--log-level", "warning", "--die-with-stdin",
            ] + entry
        if leaseMilliseconds > 0 {
            process.arguments?.append(contentsOf: ["--lease-ms", "\(leaseMilliseconds)"])
        }
        process.environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("KRAFT_") }
        let lifeline = Pipe()
        process.standardInput = lifeline
        process.standardOutput = FileHandle.nullDevice
        let log = logFile(node)
        if !FileManager.default.fileExists(atPath: log.path) {
            _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        }
        let handle = try FileHandle(forWritingTo: log)
        _ = try handle.seekToEnd()
        process.standardError = handle
        try process.run()
        running.withLock { $0[node] = Running(process: process, lifeline: lifeline) }
    }

    func waitUntilReady() async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        for node in 1...count {
            while true {
                let request = HTTPClientRequest(url: url(node) + "/readyz")
                if let answer = try? await client.execute(request, timeout: .seconds(2)),
                    answer.status == .ok
                {
                    break
                }
                guard ContinuousClock.now < deadline else {
                    throw Trouble(description: "node \(node) doesn't get ready; \(logTail(node))")
                }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    private func logTail(_ node: Int) -> String {
        String((try? String(contentsOf: logFile(node), encoding: .utf8))?.suffix(1_000) ?? "")
    }

    // MARK: Harm, and its end

    private func take(_ node: Int) -> Running? {
        running.withLock { $0.removeValue(forKey: node) }
    }

    func kill(_ node: Int) {
        guard let node = take(node) else { return }
        Foundation.kill(node.process.processIdentifier, SIGKILL)
        node.process.waitUntilExit()
    }

    func signal(_ node: Int, isStopped: Bool) {
        let process = running.withLock { $0[node]?.process.processIdentifier }
        guard let process else { return }
        Foundation.kill(process, isStopped ? SIGSTOP : SIGCONT)
    }

    func terminate(_ node: Int) async {
        guard let node = take(node) else { return }
        node.process.terminate()
        for _ in 0..<1_200 where node.process.isRunning {
            try? await Task.sleep(for: .milliseconds(10))
        }
        if node.process.isRunning { Foundation.kill(node.process.processIdentifier, SIGKILL) }
        node.process.waitUntilExit()
    }

    func restart(_ node: Int) async {
        do { try launch(node) } catch { say("chaos: node \(node) can't be started: \(error)") }
    }

    /// All nodes run, all links are whole, and all nodes are ready.
    func heal() async throws {
        network.heal()
        for node in 1...count {
            signal(node, isStopped: false)
            let isUp = running.withLock { $0[node]?.process.isRunning ?? false }
            if !isUp {
                _ = take(node)
                try launch(node)
            }
        }
        try await waitUntilReady()
    }

    /// Ends everything; the folder goes too. May be called twice.
    func destroy() {
        for node in 1...count { kill(node) }
        network.close()
        try? client.syncShutdown()
        try? FileManager.default.removeItem(at: folder)
    }
}
