import Foundation
import NIOHTTP1
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes")
    struct ClusterProcessTests {
        @Test("do everything with keys, whichever node is asked")
        func keys() async throws {
            try await TestCluster.with { cluster in
                let put = try await cluster.put("a/b", "one", to: 1)
                #expect(put.status == 200, "\(put.text)")
                #expect(put.headers.first(name: "Kraft-Node") == "1")
                #expect(put["index"] == put["version"])
                for id in 1...3 {
                    let got = try await cluster.get("a/b", from: id)
                    #expect(got.status == 200)
                    #expect(got.text == "one")
                    #expect(got.headers.first(name: "Kraft-Group") == put["group"])
                    #expect(got.headers.first(name: "Kraft-Version") == put["version"])
                    #expect(got.headers.first(name: "Kraft-Node") == "\(id)")
                }
                #expect(
                    try await cluster.put("a/b", "x", to: 2, query: "?if_version=0").status == 409)
                let version = put["version"] ?? ""
                let again = try await cluster.put(
                    "a/b", "two", to: 2, query: "?if_version=\(version)")
                #expect(again.status == 200)

                let appended = try await cluster.send(
                    .POST, "/v1/kv/a%2Fb/append", to: 3, body: Array("+3".utf8))
                #expect(appended["length"] == "5")
                #expect(try await cluster.get("a/b", from: 1).text == "two+3")

                for id in 1...3 {
                    let sum = try await cluster.send(.POST, "/v1/kv/n/increment?by=10", to: id)
                    #expect(sum["value"] == "\(id * 10)")
                }
                #expect(
                    try await cluster.send(.POST, "/v1/kv/a%2Fb/increment", to: 1).status == 409)

                let deleted = try await cluster.send(.DELETE, "/v1/kv/a%2Fb", to: 2)
                #expect(deleted["existed"] == "1" || deleted["existed"] == "true")
                let missing = try await cluster.get("a/b", from: 3)
                #expect(missing.status == 404)
                #expect(missing["error.code"] == "not_found")

            }
        }

        @Test("take any bytes as key and as value")
        func anyBytes() async throws {
            try await TestCluster.with(nodes: 1, groups: 2) { cluster in
                let value: [UInt8] = (0...255).map { $0 }
                #expect(
                    try await cluster.send(.PUT, "/v1/kv/%00", to: 1, body: value).status == 200)
                #expect(try await cluster.send(.GET, "/v1/kv/%00", to: 1).body == value)
                // The client library can't write a path that isn't UTF-8.
                for (request, end) in [
                    ("PUT /v1/kv/%00%FF HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", ""),
                    ("GET /v1/kv/%00%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "hi"),
                ] {
                    let socket = try RawSocket(port: try cluster.httpPort(1))
                    socket.write(request)
                    let answer = end.isEmpty ? socket.readToEnd(limit: 12) : socket.readToEnd()
                    let text = String(decoding: answer.bytes, as: UTF8.self)
                    #expect(text.hasPrefix("HTTP/1.1 200") && text.hasSuffix(end), "\(text)")
                }
            }
        }

        @Test("tell of the cluster, the groups, their health and metrics")
        func views() async throws {
            try await TestCluster.with { cluster in
                for number in 0..<20 { _ = try await cluster.put("k\(number)", "v", to: 1) }
                let info = try await cluster.send(.GET, "/v1/cluster/info", to: 2)
                #expect(info["cluster_id"] == "test")
                #expect(info["local_id"] == "2")
                #expect(info["member_count"] == "3")
                let members = try await cluster.send(.GET, "/v1/cluster/members", to: 1).text
                #expect(members.components(separatedBy: #""status":"alive""#).count == 4)
                let sharding = try await cluster.send(.GET, "/v1/cluster/sharding", to: 3)
                #expect(sharding["router"] == "hash")
                try await cluster.waitUntilHealthy()
                let metrics = try await cluster.send(.GET, "/metrics", to: 1).text
                #expect(metrics.contains("kraft_group_commands_total{group=\"kv-0\"}"))
                try await cluster.waitForEqualDigests()
                #expect(try await cluster.group("kv-9", on: 1).status == 404)
                #expect(
                    try await cluster.send(.GET, "/v1/queues/q/stats", to: 1)["error.code"]
                        == "not_implemented")
            }
        }

        @Test("hand leadership over when asked")
        func transfer() async throws {
            try await TestCluster.with { cluster in
                for target in [1, 2, 3] {
                    let answer = try await cluster.send(
                        .POST, "/v1/groups/kv-1/transfer", to: 1,
                        body: Array(#"{"to":\#(target)}"#.utf8))
                    #expect(answer.status == 200, "\(answer.text)")
                    #expect(try await cluster.leader(of: "kv-1", seenFrom: 1) == target)
                }
                let wrong = try await cluster.send(
                    .POST, "/v1/groups/kv-1/transfer?timeout_ms=1000", to: 1,
                    body: Array(#"{"to":9}"#.utf8))
                #expect((400..<600).contains(wrong.status))
                #expect(try await cluster.put("after", "1", to: 2).status == 200)
            }
        }

        @Test("end with 0 on SIGTERM and keep everything for the next start")
        func restart() async throws {
            try await TestCluster.with { cluster in
                for number in 0..<50 {
                    #expect(
                        try await cluster.put("k\(number)", "v\(number)", to: number % 3 + 1).status
                            == 200)
                }
                for id in 1...3 {
                    let began = ContinuousClock.now
                    #expect(try await cluster.terminate(id) == 0)
                    #expect(ContinuousClock.now - began < .seconds(10))
                }
                for id in 1...3 { try await cluster.start(id) }
                try await cluster.waitUntilReady()
                for number in 0..<50 {
                    #expect(
                        try await cluster.get("k\(number)", from: number % 3 + 1).text
                            == "v\(number)")
                }
                try await cluster.waitForEqualDigests()
            }
        }

        @Test("lose no acknowledged write and lead again within 2 s when a leader is killed")
        func killLeader() async throws {
            try await TestCluster.with { cluster in
                for number in 0..<50 {
                    #expect(try await cluster.put("k\(number)", "v\(number)", to: 1).status == 200)
                }
                let leader = try await cluster.leader(of: "kv-0", seenFrom: 1)
                try cluster.kill9(leader)
                let killed = ContinuousClock.now
                let survivor = cluster.running[0]
                _ = try await eventually("a new leader") {
                    let seen = try await cluster.leader(of: "kv-0", seenFrom: survivor)
                    return seen == leader ? nil : seen
                }
                // Well under a second when nothing else runs; other tests share the cores with it.
                #expect(ContinuousClock.now - killed < .seconds(4))
                try await cluster.waitUntilReady()
                for number in 0..<50 {
                    #expect(
                        try await cluster.get("k\(number)", from: survivor).text == "v\(number)")
                }
                for number in 50..<80 {
                    #expect(
                        try await cluster.put("k\(number)", "v\(number)", to: survivor).status
                            == 200)
                }
                try await cluster.start(leader)
                try await cluster.waitUntilReady()
                try await cluster.waitForEqualDigests()
                #expect(try await cluster.get("k79", from: leader).text == "v79")
            }
        }

        @Test("a leader that was paused for 5 s never answers with what was true before")
        func pausedLeader() async throws {
            try await TestCluster.with { cluster in
                let put = try await cluster.put("k", "old", to: 1)
                let group = try #require(put["group"])
                let leader = try await cluster.leader(of: group, seenFrom: 1)
                let paused = try cluster.process(leader)
                let others = cluster.running.filter { $0 != leader }
                paused.send(signal: SIGSTOP)
                let stopped = ContinuousClock.now
                defer { paused.send(signal: SIGCONT) }

                let during = try await eventually("a write without the paused leader") {
                    let put = try await cluster.put(
                        "k", "new", to: others[0], query: "?timeout_ms=2000")
                    return put.status == 200 ? put : nil
                }
                #expect(during.status == 200)
                #expect(ContinuousClock.now - stopped < .seconds(5))
                try await Task.sleep(until: stopped + .seconds(5))

                // Asked the moment that it wakes up, while it may still take itself for the leader.
                async let stale = cluster.get("k", from: leader)
                paused.send(signal: SIGCONT)
                let answer = try await stale
                if answer.status == 200 { #expect(answer.text == "new") }
                for id in 1...3 { #expect(try await cluster.get("k", from: id).text == "new") }
                #expect(try await cluster.put("k", "newer", to: leader).status == 200)
                #expect(try await cluster.get("k", from: others[0]).text == "newer")
            }
        }

        @Test(
            "without a quorum writes end in 503 or 504 by their deadline, and none is acknowledged")
        func noQuorum() async throws {
            try await TestCluster.with(started: [1]) { cluster in
                for _ in 0..<3 {
                    let began = ContinuousClock.now
                    let put = try await cluster.put("k", "v", to: 1, query: "?timeout_ms=700")
                    #expect([503, 504].contains(put.status), "\(put.status) \(put.text)")
                    #expect(ContinuousClock.now - began < .seconds(3))
                }
                let read = try await cluster.get("k", from: 1, query: "?timeout_ms=500")
                #expect(read.status == 503)
                #expect(read["error.code"] == "unavailable")
                #expect(
                    try await cluster.get("k", from: 1, query: "?consistency=local").status == 404)
                #expect(try await cluster.send(.GET, "/healthz", to: 1).status == 200)
                #expect(try await cluster.send(.GET, "/readyz", to: 1).status == 503)
                #expect(try await cluster.send(.GET, "/v1/health", to: 1)["status"] == "critical")
            }
        }
    }
}
