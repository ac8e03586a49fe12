import Foundation
import KraftTestKit
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes and raw bytes")
    struct RawBytesTests {
        private static let requests: [[UInt8]] = [
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "PUT /v1/kv/fuzz?if_version=0 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nvalue",
            "POST /v1/kv/fuzz/append HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: t\r\n\r\n",
            "POST /v1/groups/kv-0/transfer HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n"
                + "Content-Type: application/json\r\n\r\n{\"to\":1}",
            "PUT /v1/kv/fuzz HTTP/1.1\r\nHost: x\r\nKraft-Session: 0123456789abcdef-60000\r\n"
                + "Kraft-Sequence: 1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
            "DELETE /v1/kv/fuzz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /v1/kv/%66%75 HTTP/1.1\r\nHost:\r\n\r\n",
        ].map { Array($0.utf8) }

        private static func rounds(_ count: Int) -> FuzzRounds {
            FuzzRounds(count, environment: ProcessInfo.processInfo.environment)
        }

        @Test("whatever a client sends, the node serves the others, and gives back what it took")
        func httpPort() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                let port = try cluster.httpPort(1)
                let process = try cluster.process(1).process.processIdentifier
                #expect(try await cluster.put("k", "v", to: 1).status == 200)
                let filesBefore = openFiles(of: process)
                for seed in RawBytesTests.rounds(400).seeds {
                    var mutator = ByteMutator(seed: seed)
                    let socket = try RawSocket(port: port)
                    // Several one behind the other, of which most are spoilt.
                    for _ in 0..<mutator.random.number(in: 1...4) {
                        var bytes = mutator.random.pick(RawBytesTests.requests)
                        if mutator.random.chance(800) {
                            mutator.mutate(&bytes, others: RawBytesTests.requests)
                        }
                        socket.write(bytes)
                    }
                    // Some wait for an answer's first bytes, some are gone at once.
                    if mutator.random.chance(50) { _ = socket.readToEnd(limit: 1) }
                    guard seed % 40 == 0 else { continue }
                    let answer = try await cluster.put("k\(seed)", "v", to: 1)
                    try #require(answer.status == 200, "\(FuzzRounds.reproduction(seed))")
                }
                #expect(try await cluster.get("k", from: 1).text == "v")
                _ = try await eventually("the connections to be closed") {
                    openFiles(of: process) <= filesBefore + 8 ? true : nil
                }
            }
        }

        @Test("spoilt handshakes and frames on the peer port keep no node from its work")
        func peerPort() async throws {
            try await TestCluster.with { cluster in
                let samples: [[UInt8]] = [
                    [0x4B, 0x52, 1, 1, 60, 0, 0, 0] + Array(repeating: 7, count: 72),
                    [0x4B, 0x52, 1, 3, 255, 255, 255, 255, 0, 0, 0, 0], Array("KRFT".utf8),
                    RawBytesTests.requests[0],
                ]
                for seed in RawBytesTests.rounds(150).seeds {
                    var mutator = ByteMutator(seed: seed)
                    var bytes = mutator.random.pick(samples)
                    mutator.mutate(&bytes, others: samples)
                    let place = mutator.random.below(3)
                    try RawSocket(port: cluster.ports[place]).write(bytes)
                    guard seed % 30 == 0 else { continue }
                    let answer = try await cluster.put("k\(seed)", "v", to: 1 + place)
                    try #require(answer.status == 200, "\(FuzzRounds.reproduction(seed))")
                }
                try await cluster.waitUntilHealthy()
            }
        }

        private func openFiles(of process: Int32) -> Int {
            let entries = try? FileManager.default.contentsOfDirectory(
                atPath: "/proc/\(process)/fd")
            return entries?.count ?? 0
        }
    }
}
