import Foundation
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes whose logs give way to snapshots")
    struct SnapshotProcessTests {
        private func index(_ name: String, _ group: String, _ cluster: TestCluster, _ id: Int)
            async throws -> Int
        {
            try #require(try await cluster.group(group, on: id)[name].flatMap { Int($0) })
        }

        private func metric(_ name: String, _ cluster: TestCluster, _ id: Int) async throws -> Int {
            let text = try await cluster.send(.GET, "/metrics", to: id).text
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
            return try #require(line.flatMap { Int($0.dropFirst(name.count + 1)) })
        }

        private func files(_ cluster: TestCluster, _ id: Int) throws -> [String] {
            try FileManager.default.contentsOfDirectory(
                atPath: "\(cluster.directory)/\(id)/snapshots")
        }

        @Test("one is taken when it is asked for, over HTTP and by the command line")
        func asked() async throws {
            let flags = ["--snapshot-entries", "1000"]
            try await TestCluster.with(groups: 1, flags: flags) { cluster in
                for number in 0..<300 {
                    #expect(try await cluster.put("k\(number)", "v", to: 1).status == 200)
                }
                #expect(try await index("first_index", "kv-0", cluster, 2) == 1)
                // A follower may be a little behind.
                try await cluster.waitForEqualDigests()
                let taken = try await cluster.post("/v1/groups/kv-0/snapshot", "", to: 2)
                #expect(taken.status == 200, "\(taken.text)")
                let position = try #require(taken["index"].flatMap { Int($0) })
                #expect(position > 300)
                let file = try #require(files(cluster, 2).first)
                let path = "\(cluster.directory)/2/snapshots/\(file)"
                let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
                #expect(taken["bytes"] == size.map { "\($0)" })
                // A tenth of the limit stays for followers that are a little behind.
                #expect(try await index("first_index", "kv-0", cluster, 2) == position - 99)
                #expect(try await metric("kraft_snapshots_total", cluster, 2) == 1)
                #expect(try await metric("kraft_snapshots_total", cluster, 1) == 0)

                let process = try NodeProcess([
                    "group", "snapshot", "kv-0", "--url", try cluster.url(3),
                ])
                let line = try await process.line(startingWith: "kv-0 ")
                #expect(try await process.waitForExit() == 0)
                #expect(line.hasPrefix("kv-0 is in a snapshot up to "))
                #expect(line.hasSuffix(" bytes"))
                #expect(
                    try await cluster.post("/v1/groups/nope/snapshot", "", to: 1).status == 404)

                try cluster.kill9(2)
                #expect(try await cluster.put("k7", "new", to: 1).status == 200)
                try await cluster.start(2)
                try await cluster.waitUntilReady([2])
                #expect(try await cluster.get("k7", from: 2).text == "new")
                #expect(try await cluster.get("k299", from: 2).text == "v")
                try await cluster.waitForEqualDigests()
            }
        }

        @Test("under load and kills nothing is lost, and who was away comes back by a snapshot")
        func load() async throws {
            let flags = ["--snapshot-entries", "100", "--snapshot-interval-ms", "500"]
            try await TestCluster.with(groups: 2, flags: flags) { cluster in
                let load = try await Load.with(cluster, writers: 6) { load in
                    for victim in [1, 2, 3] {
                        try cluster.kill9(victim)
                        let other = victim % 3 + 1
                        for number in 0..<cluster.groups {
                            let name = "kv-\(number)"
                            let start = try await index("last_index", name, cluster, other)
                            _ = try await eventually("\(name) to give way", within: .seconds(40)) {
                                try await index("first_index", name, cluster, other) > start
                                    ? true : nil
                            }
                        }
                        try await cluster.start(victim)
                        try await cluster.waitUntilReady([victim])
                        _ = try await eventually("it to be given a snapshot") {
                            try await metric("kraft_snapshots_installed_total", cluster, victim) > 0
                                ? true : nil
                        }
                    }
                }
                print("snapshots under load: \(load.summary)")
                try await cluster.waitUntilHealthy()
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
                for id in cluster.running {
                    _ = try await eventually("older files to go") {
                        try files(cluster, id).count == cluster.groups ? true : nil
                    }
                }
            }
        }
    }
}
