import Foundation
import NIOHTTP1

@testable import kraft_node

/// What tests of membership ask of a cluster.
extension TestCluster {
    func post(_ path: String, _ body: String, to id: Int, query: String = "") async throws -> Answer
    {
        try await send(.POST, path + query, to: id, body: Array(body.utf8), limit: .seconds(60))
    }

    func changeMembers(_ group: String, _ body: String, on id: Int) async throws -> Answer {
        try await post("/v1/groups/\(group)/members", body, to: id)
    }

    /// Begins a change and waits until its plan has ended; the plan.
    @discardableResult
    func change(
        _ group: String, _ body: String, on id: Int, expecting state: String = "done"
    ) async throws -> Answer {
        let begun = try await eventually("a change of \(group) to begin") {
            let answer = try await self.changeMembers(group, body, on: id)
            // Another one is still under way, or a leader is being elected.
            return [409, 503].contains(answer.status) ? nil : answer
        }
        guard let plan = begun["plan"] else {
            throw NodeProcess.Trouble(description: "\(group) \(body): \(begun.text)")
        }
        let ended = try await planEnd(plan, on: id)
        guard ended["state"] == state else {
            throw NodeProcess.Trouble(description: "\(group) \(body): \(ended.text)")
        }
        return ended
    }

    /// Waits until a plan has ended; how it stands then.
    func planEnd(_ plan: String, on id: Int) async throws -> Answer {
        try await eventually("\(plan) to end") {
            let answer = try await self.send(.GET, "/v1/plans/\(plan)", to: id)
            return answer.status == 200 && answer["state"] != "running" ? answer : nil
        }
    }

    /// The same change in all groups at once.
    func changeAll(_ body: String, on id: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for number in 0..<groups {
                tasks.addTask { try await self.change("kv-\(number)", body, on: id) }
            }
            try await tasks.waitForAll()
        }
    }

    func leave(_ node: Int, askedOf id: Int) async throws -> Answer {
        try await post(
            "/v1/cluster/leave", #"{"node_id":\#(node)}"#, to: id, query: "?timeout_ms=20000")
    }

    /// The members of a group, as `node:kind`, in the eyes of one node.
    func members(of group: String, seenFrom id: Int) async throws -> [String] {
        let answer = try await self.group(group, on: id)
        let json = try? JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        let replicas = json?["replicas"] as? [[String: Any]] ?? []
        return replicas.map { "\($0["node"] ?? ""):\($0["kind"] ?? "")" }
    }

    func status(of node: Int, seenFrom id: Int) async throws -> String? {
        let answer = try await send(.GET, "/v1/cluster/members", to: id)
        let json = try? JSONSerialization.jsonObject(with: Data(answer.body)) as? [[String: Any]]
        return json?.first { $0["id"] as? Int == node }?["status"] as? String
    }

    /// Waits until a line of a node's log holds these words.
    func waitForLog(_ words: String, of id: Int) async throws {
        let process = try process(id)
        _ = try await eventually("'\(words)' in the log of node \(id)") {
            process.errors.contains(words) ? true : nil
        }
    }
}
