import AsyncHTTPClient
import Foundation
import NIOCore

/// What somebody does who looks after the cluster's disks.
extension ChaosCluster {
    // MARK: Words

    func logLength(_ node: Int) -> UInt64 {
        let attributes = try? FileManager.default.attributesOfItem(atPath: logFile(node).path)
        return (attributes?[.size] as? UInt64) ?? 0
    }

    /// What a node has logged since its log had this length; nothing below warnings is there.
    func words(of node: Int, from begin: UInt64) -> [String] {
        guard let handle = try? FileHandle(forReadingFrom: logFile(node)) else { return [] }
        defer { try? handle.close() }
        try? handle.seek(toOffset: begin)
        let text = String(decoding: (try? handle.readToEnd()) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").map(String.init)
    }

    /// The line with which it ended.
    func lastWord(_ node: Int) -> String {
        words(of: node, from: 0).last { $0.hasPrefix("kraft-node: ") } ?? ""
    }

    func waitForExit(_ node: Int, within limit: Duration) async -> Int32? {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            if let code = exitCode(node) { return code }
            try? await Task.sleep(for: .milliseconds(50))
        }
        return nil
    }

    // MARK: Health

    /// Every node runs and finds all its groups healthy.
    func areAllWell() async -> Bool {
        for node in 1...count {
            guard exitCode(node) == nil,
                let (status, body) = try? await ask(.get, "/v1/health", of: node), status == 200,
                body.contains(#""status":"healthy""#), body.contains(#""total":\#(groups),"#)
            else { return false }
        }
        return true
    }

    /// What a node says of groups that its log may have lost something of; nil if there are none.
    func damage(seenBy node: Int) async -> String? {
        guard let body = try? await ask(.get, "/v1/health", of: node).body else { return nil }
        let json = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
        let reasons = json?["reasons"] as? [String] ?? []
        return reasons.first { $0.contains("is damaged on this node") }
    }

    func waitUntilWell(within limit: Duration) async throws {
        let deadline = ContinuousClock.now + limit
        while await !areAllWell() {
            guard ContinuousClock.now < deadline else {
                var states: [String] = []
                for node in 1...count {
                    let body = try? await ask(.get, "/v1/health", of: node).body
                    states.append("node \(node): \(body ?? "no answer")")
                }
                throw Trouble(
                    description: "not well after \(limit): \(states.joined(separator: "; "))")
            }
            try? await Task.sleep(for: .milliseconds(50))
        }
    }

    // MARK: The way back

    /// As the operations guide says: the node leaves the cluster, its folder is emptied, it joins
    /// again and is added to its groups.
    func replaceFolder(of node: Int) async throws {
        kill(node)
        let other = node % count + 1
        try await insist("node \(node) to leave") {
            try await self.ask(
                .post, "/v1/cluster/leave?timeout_ms=8000", of: other,
                body: #"{"node_id":\#(node)}"#)
        }
        try? FileManager.default.removeItem(at: dataFolder(node))
        noteRejoined(node)
        await restart(node)
        try await insist("node \(node) to be a member") {
            try await self.ask(
                .post, "/v1/cluster/join", of: other,
                body: #"{"node_id":\#(node),"addr":"\#(self.peerAddress(node))"}"#)
        }
        for number in 0..<groups {
            try await insist("node \(node) to be a voter of kv-\(number)") {
                let path = "/v1/groups/kv-\(number)"
                let (status, body) = try await self.ask(.get, path, of: other)
                if status == 200, self.isVoter(node, in: body) { return (200, body) }
                _ = try await self.ask(
                    .post, path + "/members", of: other, body: #"{"add":[{"node":\#(node)}]}"#)
                return (0, "not yet")
            }
        }
    }

    private func isVoter(_ node: Int, in group: String) -> Bool {
        let json = try? JSONSerialization.jsonObject(with: Data(group.utf8)) as? [String: Any]
        let replicas = json?["replicas"] as? [[String: Any]] ?? []
        return replicas.contains { $0["node"] as? Int == node && $0["kind"] as? String == "voter" }
            && json?["joint"] as? Bool != true
    }

    /// Asks until it is done.
    private func insist(
        _ what: String, _ ask: () async throws -> (status: Int, body: String)
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        var last = "no answer"
        while ContinuousClock.now < deadline {
            if let answer = try? await ask() {
                if answer.status == 200 { return }
                last = "\(answer.status) \(answer.body)"
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
        throw Trouble(description: "waited in vain for \(what): \(last)")
    }

    private func ask(
        _ method: HTTPMethod, _ path: String, of node: Int, body: String? = nil
    ) async throws -> (status: Int, body: String) {
        var request = HTTPClientRequest(url: url(node) + path)
        request.method = method == .get ? .GET : .POST
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(10))
        let bytes = try await response.body.collect(upTo: 4 << 20)
        return (Int(response.status.code), String(buffer: bytes))
    }

    private enum HTTPMethod { case get, post }
}
