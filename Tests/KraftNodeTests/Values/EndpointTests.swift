import KraftKeyValue
import KraftMultiRaft
import Testing

@testable import KraftAdmin

private func endpoint(_ request: String) throws -> Endpoint {
    let parts = request.split(separator: " ")
    return try Endpoint(method: String(parts[0]), path: parts[1])
}

private func status(_ request: String) -> Int {
    do {
        _ = try endpoint(request)
        return 200
    } catch {
        return (error as? HTTPFault)?.status ?? 0
    }
}

@Suite("Paths and methods")
struct EndpointTests {
    @Test("keys are percent-encoded bytes of one segment")
    func keys() throws {
        #expect(try endpoint("GET /v1/kv/a") == .getKey(#require(KeyValueStore.Key("a"))))
        #expect(try endpoint("PUT /v1/kv/a%2Fb") == .putKey(#require(KeyValueStore.Key("a/b"))))
        #expect(
            try endpoint("DELETE /v1/kv/%00%ff")
                == .deleteKey(#require(KeyValueStore.Key([0, 255]))))
        #expect(
            try endpoint("POST /v1/kv/append/append")
                == .appendKey(#require(KeyValueStore.Key("append"))))
        #expect(
            try endpoint("POST /v1/kv/n/increment")
                == .incrementKey(#require(KeyValueStore.Key("n"))))
        #expect(try endpoint("GET /v1/kv/a+b") == .getKey(#require(KeyValueStore.Key("a+b"))))
    }

    @Test(
        "bad keys are bad requests",
        arguments: [
            "GET /v1/kv/", "GET /v1/kv/a/b", "PUT /v1/kv/a/", "GET /v1/kv/%2", "GET /v1/kv/%zz",
            "GET /v1/kv/sch\u{F6}n",
        ])
    func badKeys(request: String) {
        #expect(status(request) == 400)
    }

    @Test("a key may have 4,096 bytes and no more")
    func keyLength() {
        let key = String(repeating: "%61", count: 4_096)
        #expect(status("GET /v1/kv/\(key)") == 200)
        #expect(status("GET /v1/kv/\(key)a") == 400)
    }

    @Test("the built paths of the contract are known")
    func built() throws {
        let name = try #require(GroupName("kv-0"))
        let expected: [(String, Endpoint)] = [
            ("GET /v1/cluster/info", .clusterInfo), ("GET /v1/cluster/members", .clusterMembers),
            ("GET /v1/cluster/sharding", .clusterSharding), ("GET /v1/groups", .groups),
            ("GET /v1/groups/kv-0", .group(name)),
            ("POST /v1/groups/kv-0/transfer", .transferGroup(name)), ("GET /v1/health", .health),
            ("POST /v1/sessions", .openSession),
            ("POST /v1/groups/kv-0/members", .changeMembers(name)),
            ("POST /v1/groups/kv-0/step-down", .stepDown(name)),
            ("POST /v1/groups/kv-0/elect", .elect(name)),
            ("POST /v1/groups/kv-0/snapshot", .snapshotGroup(name)), ("GET /v1/plans", .plans),
            ("GET /v1/plans/kv-0@1.2", .plan("kv-0@1.2")),
            ("GET /v1/plans/kv-0%401.2", .plan("kv-0@1.2")), ("GET /v1/plans/7", .plan("7")),
            ("POST /v1/cluster/join", .joinCluster), ("POST /v1/cluster/leave", .leaveCluster),
            ("GET /healthz", .liveness), ("GET /readyz", .readiness), ("GET /metrics", .metrics),
        ]
        for (request, wanted) in expected { #expect(try endpoint(request) == wanted) }
    }

    @Test(
        "the contract's other paths are not implemented",
        arguments: [
            "GET /", "GET /v1/kv", "POST /v1/txn", "POST /v1/groups",
            "DELETE /v1/groups/a", "POST /v1/groups/a/split", "POST /v1/groups/a/merge",
            "POST /v1/groups/a/move",
            "GET /v1/groups/a/explain", "POST /v1/cluster/maintenance",
            "GET /v1/cluster/migrations", "DELETE /v1/cluster/migrations/3",
            "POST /v1/cluster/rebalance", "POST /v1/queues/q/enqueue", "GET /v1/queues/q/stats",
            "PUT /v1/vectors/c/1", "POST /v1/vectors/c/search",
        ])
    func notImplemented(request: String) {
        #expect(status(request) == 501)
    }

    @Test(
        "unknown paths are not found",
        arguments: [
            "GET /v1", "GET /v2/kv/a", "GET /favicon.ico", "GET /v1/cluster", "GET /v1/cluster/x",
            "GET /v1/groups/a/b", "GET /healthz/x", "GET //v1/kv/a", "POST /v1/sessions/7",
        ])
    func unknown(request: String) {
        #expect(status(request) == 404)
    }

    @Test(
        "a method that the path doesn't have is a bad request",
        arguments: [
            "POST /v1/kv/a", "PATCH /v1/kv/a", "GET /v1/kv/a/append", "PUT /v1/groups",
            "POST /healthz", "GET /v1/groups/a/transfer", "POST /v1/cluster/info",
            "GET /v1/groups/a/snapshot",
            "GET /v1/sessions", "DELETE /v1/sessions",
        ])
    func wrongMethod(request: String) {
        #expect(status(request) == 400)
    }

    @Test(
        "hostile group names are bad requests",
        arguments: [
            "..", ".", "a%2Fb", "a%00", "%20", "a%0Ab", "%F0%9F%92%A9", "%ff", "a%22b",
            String(repeating: "a", count: 129), "",
        ])
    func hostileNames(name: String) {
        #expect(status("GET /v1/groups/\(name)") == 400)
        #expect(status("POST /v1/groups/\(name)/transfer") == 400)
    }
}

@Suite("Query parameters")
struct QueryParametersTests {
    private func parameters(_ query: Substring) throws -> QueryParameters {
        try QueryParameters(query, known: ["by", "if_version"])
    }

    @Test("are read by name")
    func read() throws {
        let found = try parameters("by=%2D5&if_version=0&timeout_ms=250")
        #expect(try found.signed("by") == -5)
        #expect(try found.unsigned("if_version") == 0)
        #expect(try found.timeout() == .milliseconds(250))
        #expect(try parameters("").timeout() == .seconds(5))
        #expect(try parameters("").signed("by") == nil)
    }

    @Test(
        "are refused when misspelt, doubled or broken",
        arguments: ["ifversion=0", "by=1&by=2", "by=%", "by=%ff", "=1"])
    func refused(query: String) {
        #expect(throws: HTTPFault.self) { try parameters(query[...]) }
    }

    @Test(
        "have bounds",
        arguments: ["0", "-1", "600001", "", "1s", "99999999999999999999"])
    func timeouts(text: String) throws {
        let found = try parameters("timeout_ms=\(text)")
        #expect(throws: HTTPFault.self) { try found.timeout() }
    }

    @Test("numbers name their field when they are none")
    func numbers() throws {
        let found = try parameters("by=9223372036854775808&if_version=-1")
        #expect(throws: HTTPFault.badRequest("by: must be a signed 64-bit decimal number")) {
            try found.signed("by")
        }
        #expect(throws: HTTPFault.badRequest("if_version: must be a whole number from 0 on")) {
            try found.unsigned("if_version")
        }
    }
}
