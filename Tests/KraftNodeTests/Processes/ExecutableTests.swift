import Foundation
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("The executable")
    struct ExecutableTests {
        @Test("refuses a data folder that is in use, or of another node or cluster")
        func dataFolder() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                #expect(try await cluster.put("k", "v", to: 1).status == 200)
                let port = FreePorts.find(1)[0]
                func attempt(_ id: String, _ clusterID: String) async throws -> (Int32, String) {
                    let process = try NodeProcess([
                        "run", "--id", id, "--data-dir", "\(cluster.directory)/1", "--listen",
                        "127.0.0.1:\(port)", "--http", "127.0.0.1:0", "--cluster-id", clusterID,
                        "--peers", "\(id)=127.0.0.1:\(port)", "--groups", "1", "--die-with-stdin",
                    ])
                    defer { process.destroy() }
                    return (try await process.waitForExit(), process.errors)
                }
                let (inUse, words) = try await attempt("1", "test")
                #expect(inUse == 64, "\(words)")
                #expect(try await cluster.get("k", from: 1).text == "v")
                _ = try await cluster.terminate(1)
                #expect(try await attempt("2", "test").0 == 64)
                #expect(try await attempt("1", "another").0 == 64)
                try await cluster.start(1)
                try await cluster.waitUntilReady()
                #expect(try await cluster.get("k", from: 1).text == "v")
            }
        }

        @Test("goes by the groups and the router that the data folder was made with")
        func routingRecord() async throws {
            try await TestCluster.with(nodes: 1, groups: 4) { cluster in
                for number in 0..<20 { _ = try await cluster.put("k\(number)", "v", to: 1) }
                #expect(try await cluster.terminate(1) == 0)
                try await cluster.start(
                    1, arguments: cluster.arguments(1) + ["--groups", "9", "--router", "range"])
                try await cluster.waitUntilReady()
                for number in 0..<20 {
                    #expect(try await cluster.get("k\(number)", from: 1).text == "v")
                }
                #expect(
                    try await cluster.send(.GET, "/v1/cluster/sharding", to: 1)["router"] == "hash")
            }
        }

        @Test("prints one ready line and nothing else on standard output")
        func readyLine() async throws {
            try await TestCluster.with(nodes: 1, groups: 2) { cluster in
                let process = try cluster.process(1)
                _ = try await cluster.put("k", "v", to: 1)
                #expect(try await cluster.terminate(1) == 0)
                let lines = process.output.split(separator: "\n")
                #expect(lines.count == 1)
                #expect(lines.first?.hasPrefix("ready id=1 http=127.0.0.1:") == true)
                #expect(lines.first?.hasSuffix(" peer=127.0.0.1:\(cluster.ports[0])") == true)
            }
        }

        @Test(
            "ends with 64 for wrong settings, and says which",
            arguments: [
                (["run"], "id:"), (["run", "--id", "0"], "id (--id)"),
                (["run", "--id", "1", "--data-dir", "/nonexistent/d"], "peers: missing"),
                (["run", "--id", "1", "--data-dir", "d", "--join", "a"], "join (--join)"),
                (["group", "members", "g", "--add", "4:boss"], "add"),
                (["run", "--nonsense"], "nonsense"), (["demo", "--nodes", "2"], "nodes"),
                (["kv", "get"], "key"), (["status", "--url", "nowhere"], "url"),
                (["nonsense"], "nonsense"),
            ])
        func usage(arguments: [String], words: String) async throws {
            let process = try NodeProcess(arguments)
            defer { process.destroy() }
            #expect(try await process.waitForExit() == 64)
            // Its last words may still be on their way through the pipe.
            _ = try await eventually("'\(words)'", within: .seconds(5)) {
                process.errors.contains(words) ? true : nil
            }
            #expect(process.output.isEmpty)
        }

        @Test("ends with 69 when no node can be reached, and with 70 for what isn't built")
        func clientExits() async throws {
            let unreachable = try NodeProcess(["status", "--url", "http://127.0.0.1:1"])
            #expect(try await unreachable.waitForExit() == 69)
            for name in ["queue", "vector", "bench"] {
                let process = try NodeProcess([name, "anything", "--url", "x"])
                #expect(try await process.waitForExit() == 70)
            }
        }

        @Test("is a client for keys and groups")
        func client() async throws {
            try await TestCluster.with(nodes: 1, groups: 2) { cluster in
                let url = try cluster.url(1)
                func call(_ arguments: String...) async throws -> (status: Int32, output: String) {
                    let process = try NodeProcess(arguments + ["--url", url])
                    let status = try await process.waitForExit()
                    // The reader may be a moment behind the exit.
                    try await Task.sleep(for: .milliseconds(50))
                    return (status, process.output)
                }
                #expect(try await call("kv", "put", "a key/ö", "value").status == 0)
                #expect(try await call("kv", "get", "a key/ö") == (0, "value"))
                #expect(try await call("kv", "append", "a key/ö", "+").status == 0)
                #expect(try await call("kv", "get", "a key/ö").output == "value+")
                #expect(
                    try await call("kv", "increment", "n", "--by=-3").output.contains(
                        #""value":-3"#))
                #expect(try await call("kv", "put", "n", "1", "--if-version", "0").status == 70)
                #expect(try await call("kv", "delete", "n").status == 0)
                #expect(try await call("kv", "get", "n").status == 70)
                #expect(try await call("status").output.contains("healthy"))
                #expect(try await call("group", "list").output.contains("kv-1"))
                #expect(try await call("group", "show", "kv-1").output.contains(#""name":"kv-1""#))
                #expect(try await call("group", "transfer", "kv-1", "--to", "1").status == 0)
                #expect(try await call("group", "show", "..").status == 64)
            }
        }

        @Test("the demo loses nothing, and leaves nothing behind")
        func demo() async throws {
            let process = try NodeProcess(["demo", "--for", "6"])
            defer { process.destroy() }
            let status = try await process.waitForExit(.seconds(90))
            #expect(status == 0, "\(process.output.suffix(2_000)) \(process.errors.suffix(2_000))")
            _ = try await eventually("the summary", within: .seconds(5)) {
                process.output.contains("\n0 lost\n") ? true : nil
            }
            #expect(process.output.contains("killed with SIGKILL"))
            #expect(process.output.contains("without a leader: "))
            #expect(process.output.contains("caught up in"))
        }

        @Test("the demo's nodes end with it, even when it is killed", arguments: [SIGINT, SIGKILL])
        func demoEnds(signal: Int32) async throws {
            let folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("kraft-test-\(UUID().uuidString)").path
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let process = try NodeProcess(["demo", "--data-dir", folder])
            defer { process.destroy() }
            _ = try await eventually("the cluster", within: .seconds(30)) {
                process.output.contains("all nodes are up") ? true : nil
            }
            #expect(try nodes(in: folder).count == 3)
            process.send(signal: signal)
            _ = try await process.waitForExit()
            _ = try await eventually("the nodes to end", within: .seconds(10)) {
                try nodes(in: folder).isEmpty ? true : nil
            }
        }

        /// Processes whose command line names the folder, but for the demo itself.
        private func nodes(in folder: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { entry in
                guard Int32(entry) != nil,
                    let line = FileManager.default.contents(atPath: "/proc/\(entry)/cmdline")
                else { return false }
                let words = line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                return words.count > 1 && words[1] == "run"
                    && words.contains { $0.hasPrefix(folder) }
            }
        }
    }
}
