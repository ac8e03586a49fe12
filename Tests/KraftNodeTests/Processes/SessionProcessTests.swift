import Foundation
import NIOCore
import NIOHTTP1
import Testing

@testable import kraft_node

extension TestCluster {
    fileprivate func openSession(on id: Int, query: String = "") async throws -> String {
        let answer = try await send(.POST, "/v1/sessions\(query)", to: id)
        #expect(answer.status == 201, "\(answer.text)")
        return try #require(answer["session"])
    }

    fileprivate func increment(
        _ key: String, _ session: String, _ sequence: Int, to id: Int, query: String = "",
        limit: TimeAmount = .seconds(20)
    ) async throws -> Answer {
        try await send(
            .POST, "/v1/kv/\(key)/increment\(query)", to: id,
            headers: [("Kraft-Session", session), ("Kraft-Sequence", "\(sequence)")],
            limit: limit)
    }
}

extension ProcessTests {
    @Suite("Sessions of real nodes")
    struct SessionProcessTests {
        @Test("a write takes effect once, and answers the same through every node")
        func everyNode() async throws {
            try await TestCluster.with { cluster in
                let opened = try await cluster.send(
                    .POST, "/v1/sessions?ttl_ms=30000", to: 1)
                #expect(opened.status == 201)
                #expect(opened["ttl_ms"] == "30000")
                let session = try #require(opened["session"])
                // Keys of several groups share the session's numbers.
                for sequence in 1...12 {
                    let key = "n\(sequence % 6)"
                    let first = try await cluster.increment(
                        key, session, sequence, to: sequence % 3 + 1)
                    #expect(first.status == 200, "\(first.text)")
                    for id in [1, 2, 3, 1] {
                        let again = try await cluster.increment(key, session, sequence, to: id)
                        #expect(again.status == 200)
                        #expect(again.body == first.body)
                    }
                }
                for number in 0..<6 {
                    #expect(try await cluster.get("n\(number)", from: 2).text == "2")
                }
                // Also what failed.
                let headers = [("Kraft-Session", session), ("Kraft-Sequence", "13")]
                let conflict = try await cluster.send(
                    .PUT, "/v1/kv/n0?if_version=0", to: 1, body: [1], headers: headers)
                #expect(conflict.status == 409)
                #expect(try await cluster.send(.DELETE, "/v1/kv/n0", to: 3).status == 200)
                let again = try await cluster.send(
                    .PUT, "/v1/kv/n0?if_version=0", to: 2, body: [1], headers: headers)
                #expect(again.status == 409 && again.body == conflict.body)
                #expect(try await cluster.get("n0", from: 1).status == 404)
                try await cluster.waitForEqualDigests()
                let metrics = try await cluster.send(.GET, "/metrics", to: 1).text
                #expect(metrics.contains("kraft_group_sessions{group=\"kv-0\"} 1"))
            }
        }

        @Test("a write is settled by its retry when the leader is killed, and over restarts")
        func killedLeader() async throws {
            try await TestCluster.with { cluster in
                let session = try await cluster.openSession(on: 2)
                let first = try await cluster.increment("n", session, 1, to: 1)
                let group = try #require(first["group"])
                let leader = try await cluster.leader(of: group, seenFrom: 1)
                // One that the leader may or may not live to carry out.
                let asker = cluster.running.first { $0 != leader } ?? 1
                async let second = cluster.increment("n", session, 2, to: asker)
                try cluster.kill9(leader)
                let settled = try await second
                #expect(settled.status == 200, "\(settled.text)")
                #expect(settled["value"] == "2")
                for id in cluster.running {
                    #expect(try await cluster.increment("n", session, 1, to: id).body == first.body)
                    #expect(
                        try await cluster.increment("n", session, 2, to: id).body == settled.body)
                }
                for id in cluster.running { try cluster.kill9(id) }
                for id in 1...3 { try await cluster.start(id) }
                try await cluster.waitUntilReady()
                for id in 1...3 {
                    #expect(try await cluster.increment("n", session, 1, to: id).body == first.body)
                    #expect(
                        try await cluster.increment("n", session, 2, to: id).body == settled.body)
                }
                #expect(try await cluster.get("n", from: 3).text == "2")
            }
        }

        @Test("no increment is lost or doubled while leaders are killed under load")
        func load() async throws {
            try await TestCluster.with { cluster in
                let session = try await cluster.openSession(on: 1)
                let first = try await cluster.increment("n", session, 1, to: 1)
                let group = try #require(first["group"])
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for lane in 0..<4 {
                        tasks.addTask {
                            for number in 0..<50 {
                                let sequence = 2 + number * 4 + lane
                                _ = try await eventually("an answer to \(sequence)") {
                                    let id = cluster.running.randomElement() ?? 1
                                    let answer = try? await cluster.increment(
                                        "n", session, sequence, to: id, query: "?timeout_ms=500",
                                        limit: .seconds(1))
                                    return answer?.status == 200 ? true : nil
                                }
                                try await Task.sleep(for: .milliseconds(10))
                            }
                        }
                    }
                    tasks.addTask {
                        for _ in 0..<2 {
                            let survivor = cluster.running.randomElement() ?? 1
                            let leader = try await cluster.leader(of: group, seenFrom: survivor)
                            try cluster.kill9(leader)
                            try await Task.sleep(for: .milliseconds(500))
                            try await cluster.start(leader)
                            try await cluster.waitUntilReady()
                        }
                    }
                    try await tasks.waitForAll()
                }
                #expect(try await cluster.get("n", from: 1).text == "201")
                try await cluster.waitForEqualDigests()
            }
        }

        @Test("an expired session is told so, and its writes take effect no more")
        func expired() async throws {
            try await TestCluster.with { cluster in
                let session = try await cluster.openSession(on: 1, query: "?ttl_ms=1000")
                #expect(try await cluster.increment("n", session, 1, to: 1).status == 200)
                try await Task.sleep(for: .milliseconds(2_500))
                for id in 1...3 {
                    for sequence in [1, 2] {
                        let late = try await cluster.increment("n", session, sequence, to: id)
                        #expect(late.status == 409)
                        #expect(late["error.code"] == "conflict")
                    }
                }
                #expect(try await cluster.get("n", from: 2).text == "1")
                let unknown = try await cluster.increment(
                    "n", "00000000000000ab-60000", 1, to: 1)
                #expect(unknown.status == 409)
            }
        }

        @Test("a session that is used in one group lives on in all")
        func keptAlive() async throws {
            try await TestCluster.with { cluster in
                let session = try await cluster.openSession(on: 1, query: "?ttl_ms=2000")
                // Through another node than the one that opened it.
                for sequence in 1...20 {
                    #expect(
                        try await cluster.increment("n", session, sequence, to: 2).status == 200)
                    try await Task.sleep(for: .milliseconds(250))
                }
                for number in 0..<8 {
                    let answer = try await cluster.increment(
                        "other-\(number)", session, 21 + number, to: 3)
                    #expect(answer.status == 200, "\(answer.text)")
                }
            }
        }

        @Test("what isn't a session or a sequence is a bad request; reads don't look")
        func malformed() async throws {
            try await TestCluster.with(nodes: 1) { cluster in
                let session = try await cluster.openSession(on: 1)
                let pairs: [[(String, String)]] = [
                    [("Kraft-Session", session)], [("Kraft-Sequence", "1")],
                    [("Kraft-Session", session), ("Kraft-Sequence", "0")],
                    [("Kraft-Session", session), ("Kraft-Sequence", "one")],
                    [("Kraft-Session", "x"), ("Kraft-Sequence", "1")],
                    [
                        ("Kraft-Session", session), ("Kraft-Sequence", "1"),
                        ("Kraft-Sequence", "2"),
                    ],
                ]
                for headers in pairs {
                    let answer = try await cluster.send(
                        .PUT, "/v1/kv/a", to: 1, body: [1], headers: headers)
                    #expect(answer.status == 400, "\(headers)")
                    #expect(
                        try await cluster.send(.GET, "/v1/kv/a", to: 1, headers: headers).status
                            == 404)
                }
                for query in ["999", "86400001", "-1", "", "x"] {
                    let answer = try await cluster.send(
                        .POST, "/v1/sessions?ttl_ms=\(query)", to: 1)
                    #expect(answer.status == 400)
                }
                #expect(try await cluster.send(.GET, "/v1/sessions", to: 1).status == 400)
            }
        }

        @Test("without a quorum no session is opened")
        func noQuorum() async throws {
            try await TestCluster.with(started: [1]) { cluster in
                let answer = try await cluster.send(
                    .POST, "/v1/sessions?timeout_ms=500", to: 1)
                #expect(answer.status == 503)
                #expect(answer["error.code"] == "unavailable")
            }
        }
    }
}
