import Foundation
import NIOHTTP1
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes and bad input")
    struct TroubleProcessTests {
        @Test("a node of another cluster is kept out, and disturbs nobody")
        func wrongCluster() async throws {
            try await TestCluster.with(started: [1, 2]) { cluster in
                try await cluster.start(3, arguments: cluster.arguments(3, clusterID: "another"))
                for number in 0..<10 {
                    #expect(
                        try await cluster.put("k\(number)", "v", to: 1 + number % 2).status == 200)
                }
                #expect(try await cluster.send(.GET, "/readyz", to: 3).status == 503)
                #expect(
                    try await cluster.put("k", "v", to: 3, query: "?timeout_ms=500").status != 200)
            }
        }

        @Test("garbage on the peer port costs its own connection only")
        func garbage() async throws {
            try await TestCluster.with { cluster in
                var random = SystemRandomNumberGenerator()
                for round in 0..<30 {
                    let socket = try RawSocket(port: cluster.ports[round % 3])
                    switch round % 4 {
                    case 0: socket.write("GET / HTTP/1.1\r\n\r\n")
                    case 1: socket.write([UInt8](repeating: 0xFF, count: 4_096))
                    case 2:
                        socket.write((0..<2_000).map { _ in .random(in: 0...255, using: &random) })
                    default: socket.write([UInt8](repeating: 0, count: 100))
                    }
                    if round % 4 == 1 { #expect(socket.readToEnd().isClosed) }
                }
                let idle = try (0..<100).map { _ in try Held(RawSocket(port: cluster.ports[0])) }
                for number in 0..<20 {
                    #expect(
                        try await cluster.put("k\(number)", "v", to: 1 + number % 3).status == 200)
                }
                withExtendedLifetime(idle) {}
                try await cluster.waitUntilHealthy()
            }
        }

        /// Keeps a connection open.
        private final class Held {
            let socket: RawSocket
            init(_ socket: consuming RawSocket) { self.socket = socket }
        }

        @Test("broken HTTP is a bad request in the contract's form, then the connection ends")
        func brokenHTTP() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                let port = try cluster.httpPort(1)
                let longField = String(repeating: "a", count: 200_000)
                for text in [
                    "NONSENSE\r\n\r\n", "GET /healthz HTTP/9.9\r\n\r\n",
                    "PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
                    "GET /healthz HTTP/1.1\r\nHost: x\r\nX: \(longField)\r\n\r\n",
                ] {
                    let socket = try RawSocket(port: port)
                    socket.write(text)
                    let (bytes, isClosed) = socket.readToEnd()
                    let answer = String(decoding: bytes, as: UTF8.self)
                    #expect(answer.hasPrefix("HTTP/1.1 400"), "\(text.prefix(40)): \(answer)")
                    #expect(answer.lowercased().contains("kraft-node: 1"))
                    #expect(answer.contains(#""code":"bad_request""#))
                    #expect(isClosed)
                }
                #expect(try await cluster.put("a", "b", to: 1).status == 200)
            }
        }

        @Test("bad requests are refused by name, and connections are kept")
        func badRequests() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                let cases: [(HTTPMethod, String, [UInt8]?, Int)] = [
                    (.PUT, "/v1/kv/a?timeout_ms=0", [1], 400),
                    (.PUT, "/v1/kv/a?if_version=x", [1], 400),
                    (.PUT, "/v1/kv/", [1], 400), (.GET, "/v1/kv/a/b", nil, 400),
                    (.PATCH, "/v1/kv/a", [1], 400), (.GET, "/v1/groups/%2e%2e", nil, 400),
                    (.GET, "/v1/groups/a%2fb", nil, 400), (.GET, "/v1/groups/none", nil, 404),
                    (.POST, "/v1/groups/kv-0/transfer", Array("{".utf8), 400),
                    (.POST, "/v1/groups/kv-0/transfer", Array(#"{"too":1}"#.utf8), 400),
                    (.GET, "/nothing/here", nil, 404), (.GET, "/", nil, 501),
                    (.POST, "/v1/txn", Array("{}".utf8), 501), (.GET, "/v1/kv?limit=1", nil, 501),
                    (.PUT, "/v1/kv/a?ttl_ms=5", [1], 501),
                    (.GET, "/v1/kv/a?consistency=bounded", nil, 400),
                    (.POST, "/v1/groups/kv-0/members", Array("{}".utf8), 400),
                    (.POST, "/v1/groups/kv-0/members", Array(#"{"add":[{"node":9}]}"#.utf8), 400),
                    (.POST, "/v1/groups/kv-0/members", Array(#"{"remove":[1]}"#.utf8), 400),
                    (.POST, "/v1/groups/none/members", Array(#"{"remove":[1]}"#.utf8), 404),
                    (.GET, "/v1/plans/7", nil, 404), (.GET, "/v1/plans/none@1.2", nil, 404),
                    (.POST, "/v1/cluster/join", Array(#"{"node_id":2}"#.utf8), 400),
                    (.POST, "/v1/cluster/join", Array(#"{"node_id":1,"addr":"x:1"}"#.utf8), 409),
                    (.POST, "/v1/cluster/leave", Array(#"{"node_id":1}"#.utf8), 409),
                    (.POST, "/v1/cluster/leave", Array(#"{"node_id":7}"#.utf8), 404),
                    (.PUT, "/v1/kv/\(String(repeating: "a", count: 4_097))", [1], 400),
                    (.POST, "/v1/kv/a/increment?by=1.5", nil, 400),
                ]
                for (method, path, body, status) in cases {
                    let answer = try await cluster.send(method, path, to: 1, body: body)
                    #expect(answer.status == status, "\(method) \(path.prefix(60)): \(answer.text)")
                    #expect(answer["error.code"] != nil)
                    #expect(answer["error.message"]?.isEmpty == false)
                    #expect(answer.headers.first(name: "Kraft-Node") == "1")
                }
                let session = try await cluster.send(
                    .PUT, "/v1/kv/a", to: 1, body: [1], headers: [("Kraft-Session", "7")])
                #expect(session.status == 400)
            }
        }

        @Test("a value may have 1 MiB; a longer one is refused before it is read")
        func largeValues() async throws {
            try await TestCluster.with { cluster in
                let full = [UInt8](repeating: 7, count: 1 << 20)
                #expect(
                    try await cluster.send(.PUT, "/v1/kv/full", to: 1, body: full).status == 200)
                #expect(try await cluster.send(.GET, "/v1/kv/full", to: 2).body == full)
                let over = try await cluster.send(.PUT, "/v1/kv/full", to: 1, body: full + [1])
                #expect(over.status == 413)
                #expect(over["error.code"] == "too_large")
                let appended = try await cluster.send(.POST, "/v1/kv/full/append", to: 1, body: [1])
                #expect(appended.status == 413)

                // A body that is announced, but never comes.
                let socket = try RawSocket(port: try cluster.httpPort(1))
                socket.write(
                    "PUT /v1/kv/huge HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
                let answer = String(decoding: socket.readToEnd(limit: 12).bytes, as: UTF8.self)
                #expect(answer.hasPrefix("HTTP/1.1 413"))
            }
        }

        @Test("a client that asks first is told to go on, or that its body is too large")
        func expectContinue() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                let port = try cluster.httpPort(1)
                let socket = try RawSocket(port: port)
                let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                socket.write(head + "Content-Length: 3\r\n\r\n")
                let interim = socket.readToEnd(limit: 12).bytes
                #expect(String(decoding: interim, as: UTF8.self).hasPrefix("HTTP/1.1 100"))
                socket.write("abc")
                _ = try await eventually("the value") {
                    try await cluster.get("k", from: 1).text == "abc" ? true : nil
                }
                let refused = try RawSocket(port: port)
                refused.write(head + "Content-Length: 9999999\r\n\r\n")
                let answer = String(decoding: refused.readToEnd(limit: 12).bytes, as: UTF8.self)
                #expect(answer.hasPrefix("HTTP/1.1 413"))
            }
        }
    }
}
