import AsyncHTTPClient
import Foundation
import NIOCore

/// The demo's nodes, and what it asks them.
final class DemoCluster: Sendable {
    let nodes: [DemoNode]
    let http: HTTPClient
    let groupCount: Int

    init(options: DemoOptions, directory: String, http: HTTPClient, cleanup: DemoCleanup) {
        self.http = http
        groupCount = options.groups
        let ports = FreePorts.find(options.nodes)
        let peers = ports.enumerated().map { "\($0 + 1)=127.0.0.1:\($1)" }.joined(separator: ",")
        nodes = ports.enumerated().map { position, port in
            let id = position + 1
            return DemoNode(
                id: id,
                arguments: [
                    "run", "--id", "\(id)", "--data-dir", "\(directory)/node-\(id)",
                    "--listen", "127.0.0.1:\(port)", "--http", "127.0.0.1:0",
                    "--cluster-id", "demo", "--peers", peers, "--groups", "\(options.groups)",
                    "--router", "consistent-hash", "--die-with-stdin",
                ],
                logPath: "\(directory)/node-\(id).log", cleanup: cleanup)
        }
    }

    var running: [DemoNode] { nodes.filter(\.isRunning) }

    func start() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for node in nodes { tasks.addTask { try await node.start() } }
            try await tasks.waitForAll()
        }
    }

    /// A node's view of its groups; nil when it doesn't answer.
    func groups(of node: DemoNode) async -> [GroupInfo]? {
        guard let url = node.url else { return nil }
        let request = HTTPClientRequest(url: "\(url)/v1/groups")
        guard let response = try? await http.execute(request, timeout: .seconds(2)),
            response.status == .ok,
            let body = try? await response.body.collect(upTo: 64 << 20)
        else { return nil }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode([GroupInfo].self, from: Data(body.readableBytesView))
    }

    /// All running nodes' views, taken at about the same time.
    func survey() async -> [Int: [GroupInfo]] {
        await withTaskGroup(of: (Int, [GroupInfo]?).self) { tasks in
            for node in running {
                tasks.addTask { (node.id, await self.groups(of: node)) }
            }
            var views: [Int: [GroupInfo]] = [:]
            for await (id, groups) in tasks { views[id] = groups }
            return views
        }
    }
}
