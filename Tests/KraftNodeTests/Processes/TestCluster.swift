import AsyncHTTPClient
import Foundation
import KraftAdmin
import NIOCore
import NIOHTTP1
import Synchronization

@testable import kraft_node

/// An answer as a client sees it.
struct Answer: Sendable {
    var status: Int
    var headers: HTTPHeaders
    var body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }

    /// A field of a JSON object, `a.b` for one inside another.
    subscript(path: String) -> String? {
        var value = try? JSONSerialization.jsonObject(with: Data(body))
        for part in path.split(separator: ".") {
            value = (value as? [String: Any])?[String(part)]
        }
        return value.flatMap { $0 is NSNull ? nil : "\($0)" }
    }
}

/// A few real nodes on loopback, with a folder that goes when the test ends.
final class TestCluster: Sendable {
    let directory: String
    let ports: [UInt16]
    let groups: Int
    /// The nodes that begin the cluster; the others join it.
    let founders: Int
    /// Further flags of every node.
    let flags: [String]
    private let state = Mutex([Int: Running]())

    private struct Running: Sendable {
        var process: NodeProcess
        var url: String
    }

    private init(nodes: Int, founders: Int, groups: Int, flags: [String]) throws {
        self.groups = groups
        self.founders = founders
        self.flags = flags
        ports = FreePorts.find(nodes)
        directory =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("kraft-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
    }

    /// Runs `body` with a cluster of which the given nodes (all founders, if nil) have been started;
    /// cleans up however it ends.
    static func with(
        nodes: Int = 3, founders: Int? = nil, groups: Int = 4, flags: [String] = [],
        started: [Int]? = nil, _ body: (TestCluster) async throws -> Void
    ) async throws {
        let cluster = try TestCluster(
            nodes: nodes, founders: founders ?? nodes, groups: groups, flags: flags)
        defer { cluster.destroy() }
        let ids = started ?? Array(1...cluster.founders)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for id in ids { tasks.addTask { try await cluster.start(id) } }
            try await tasks.waitForAll()
        }
        if ids.count * 2 > cluster.founders { try await cluster.waitUntilReady() }
        try await body(cluster)
    }

    /// Runs `kraft-node` with these arguments to its end.
    static func command(
        _ arguments: [String], within limit: Duration = .seconds(15)
    ) async throws -> (status: Int32, output: String, errors: String) {
        let process = try NodeProcess(arguments)
        defer { process.destroy() }
        let status = try await process.waitForExit(limit)
        // The pipes are read by other threads.
        var output = process.output
        while true {
            try await Task.sleep(for: .milliseconds(50))
            if process.output == output { break }
            output = process.output
        }
        return (status, output, process.errors)
    }

    private func destroy() {
        for running in state.withLock({ $0.values.map(\.process) }) { running.destroy() }
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Nodes

    func arguments(_ id: Int, clusterID: String = "test", dataDirectory: String? = nil) -> [String]
    {
        let peers = ports.prefix(founders).enumerated()
            .map { "\($0 + 1)=127.0.0.1:\($1)" }.joined(separator: ",")
        let begins = ["--peers", peers, "--groups", "\(groups)"]
        return base(id, clusterID: clusterID, dataDirectory: dataDirectory)
            + (id <= founders ? begins : ["--join", seeds(for: id)])
    }

    /// Without a word on how the node comes into the cluster.
    func base(_ id: Int, clusterID: String = "test", dataDirectory: String? = nil) -> [String] {
        [
            "run", "--id", "\(id)", "--data-dir", dataDirectory ?? "\(directory)/\(id)",
            "--listen", "127.0.0.1:\(ports[id - 1])", "--http", "127.0.0.1:0",
            "--cluster-id", clusterID, "--log-level", "debug", "--die-with-stdin",
        ] + flags
    }

    private func seeds(for id: Int) -> String {
        ports.enumerated().filter { $0.offset != id - 1 }.map { "127.0.0.1:\($0.element)" }
            .joined(separator: ",")
    }

    func start(
        _ id: Int, arguments: [String]? = nil, environment: [String: String] = [:]
    ) async throws {
        let process = try NodeProcess(
            arguments ?? self.arguments(id), environment: environment)
        state.withLock { $0[id] = Running(process: process, url: "") }
        let line = try await process.line(startingWith: "ready ")
        guard let http = DemoNode.http(inReadyLine: line) else {
            throw NodeProcess.Trouble(description: "no http in '\(line)'")
        }
        state.withLock { $0[id] = Running(process: process, url: "http://\(http)") }
    }

    func process(_ id: Int) throws -> NodeProcess {
        guard let process = state.withLock({ $0[id]?.process }) else {
            throw NodeProcess.Trouble(description: "node \(id) doesn't run")
        }
        return process
    }

    func url(_ id: Int) throws -> String {
        // Empty until the node has said that it is ready.
        guard let url = state.withLock({ $0[id]?.url }), !url.isEmpty else {
            throw NodeProcess.Trouble(description: "node \(id) doesn't run")
        }
        return url
    }

    var running: [Int] { state.withLock { $0.keys.sorted() } }

    func kill9(_ id: Int) throws {
        try process(id).destroy()
        state.withLock { $0[id] = nil }
    }

    /// The exit code of an orderly end.
    func terminate(_ id: Int) async throws -> Int32 {
        let process = try process(id)
        process.send(signal: SIGTERM)
        let status = try await process.waitForExit()
        state.withLock { $0[id] = nil }
        return status
    }

    // MARK: Requests

    func send(
        _ method: HTTPMethod, _ path: String, to id: Int, body: [UInt8]? = nil,
        headers: [(String, String)] = [], limit: TimeAmount = .seconds(20),
        client: HTTPClient = .shared
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: try url(id) + path)
        request.method = method
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let response = try await client.execute(request, timeout: limit)
        let bytes = try await response.body.collect(upTo: 64 << 20)
        return Answer(
            status: Int(response.status.code), headers: response.headers,
            body: Array(bytes.readableBytesView))
    }

    func put(_ key: String, _ value: String, to id: Int, query: String = "") async throws -> Answer
    {
        try await send(
            .PUT, "/v1/kv/\(PercentCoding.encode(key.utf8))\(query)", to: id,
            body: Array(value.utf8))
    }

    func get(_ key: String, from id: Int, query: String = "") async throws -> Answer {
        try await send(.GET, "/v1/kv/\(PercentCoding.encode(key.utf8))\(query)", to: id)
    }

    func waitUntilReady(_ ids: [Int]? = nil) async throws {
        for id in ids ?? running {
            _ = try await eventually("node \(id) to be ready") {
                try await self.send(.GET, "/readyz", to: id).status == 200 ? true : nil
            }
        }
    }

    func waitUntilHealthy() async throws {
        for id in running {
            _ = try await eventually("node \(id) to be healthy") {
                let health = try await self.send(.GET, "/v1/health", to: id)
                return health["status"] == "healthy" ? true : nil
            }
        }
    }

    func httpPort(_ id: Int) throws -> UInt16 {
        guard let port = try url(id).split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw NodeProcess.Trouble(description: "node \(id) has no HTTP port")
        }
        return port
    }

    func group(_ name: String, on id: Int) async throws -> Answer {
        try await send(.GET, "/v1/groups/\(name)", to: id)
    }

    /// The node that leads a group, as one node sees it.
    func leader(of group: String, seenFrom id: Int) async throws -> Int {
        try await eventually("a leader of \(group)") {
            try await self.group(group, on: id)["leader"].flatMap { Int($0) }
        }
    }

    /// Waits until all running nodes hold the same content of a group.
    func waitForEqualDigests() async throws {
        _ = try await eventually("equal digests") {
            for number in 0..<self.groups {
                var seen: Set<String> = []
                for id in self.running {
                    let group = try await self.group("kv-\(number)", on: id)
                    seen.insert("\(group["applied_index"] ?? "")/\(group["digest"] ?? "")")
                }
                guard seen.count == 1 else { return nil as Bool? }
            }
            return true
        }
    }
}
