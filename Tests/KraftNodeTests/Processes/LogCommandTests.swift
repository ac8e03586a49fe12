import Foundation
import NIOHTTP1
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("kraft-node wal")
    struct LogCommandTests {
        private func wal(
            _ arguments: String...
        ) async throws -> (status: Int32, output: String, errors: String) {
            try await TestCluster.command(["wal"] + arguments)
        }

        private func files(of folder: String) throws -> [String: Data] {
            var files: [String: Data] = [:]
            for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
                files[name] = FileManager.default.contents(atPath: "\(folder)/\(name)")
            }
            return files
        }

        @Test("says what is in a node's log, while the node runs and afterwards")
        func inspect() async throws {
            try await TestCluster.with(nodes: 1, groups: 3) { cluster in
                for number in 0..<30 {
                    #expect(try await cluster.put("k\(number)", "v", to: 1).status == 200)
                }
                let folder = "\(cluster.directory)/1"
                let running = try await wal("inspect", folder)
                #expect(running.status == 0, "\(running)")
                #expect(running.output.contains("node 1 of cluster 'test', 1 lives"))
                #expect(try await cluster.terminate(1) == 0)

                let before = try files(of: folder)
                for path in [folder, folder + "/wal", folder + "/wal/"] {
                    let text = try await wal("inspect", path)
                    #expect(text.status == 0, "\(text)")
                    for number in 0..<3 { #expect(text.output.contains("kv-\(number)")) }
                    #expect(text.output.contains("1:voter"))
                    #expect(text.output.contains("\nsound: "))
                    let verdict = try await wal("verify", path)
                    #expect(verdict.status == 0)
                    #expect(verdict.output.hasPrefix("sound: "))
                }
                let json = try await wal("inspect", folder, "--json")
                let object = try #require(
                    JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
                #expect(object["sound"] as? Bool == true)
                #expect(object["node"] as? Int == 1)
                let groups = try #require(object["groups"] as? [[String: Any]])
                #expect(groups.map { $0["name"] as? String } == ["kv-0", "kv-1", "kv-2"])
                let entries = groups.map {
                    ($0["last"] as? Int ?? 0) - ($0["first"] as? Int ?? 0) + 1
                }
                #expect(entries.reduce(0, +) >= 33)
                #expect(try files(of: folder) == before)
            }
        }

        @Test("names the place of damage, and ends with 74 then; 66 without a log, 64 without DIR")
        func verify() async throws {
            try await TestCluster.with(nodes: 1, groups: 1) { cluster in
                for number in 0..<10 {
                    #expect(try await cluster.put("k\(number)", "v", to: 1).status == 200)
                }
                let folder = "\(cluster.directory)/1"
                let segment = "\(folder)/wal/0000000000000001.seg"
                // With one behind it, the first one is missed when it is gone.
                _ = try await eventually("the next segment is made") {
                    FileManager.default.fileExists(atPath: "\(folder)/wal/0000000000000002.seg")
                        ? true : nil
                }
                #expect(try await cluster.terminate(1) == 0)
                let sound = try #require(FileManager.default.contents(atPath: segment))
                var spoilt = sound
                spoilt[3 * 4_096 + 60] ^= 1
                try spoilt.write(to: URL(fileURLWithPath: segment))
                let damaged = try await wal("verify", folder)
                #expect(damaged.status == 74, "\(damaged)")
                #expect(damaged.output.contains("damaged: segment 1, offset 12288"))
                #expect(damaged.output.contains("kv-0"))
                let json = try await wal("verify", folder, "--json")
                #expect(json.status == 74)
                #expect(json.output.contains(#""offset":12288"#))
                #expect(try await wal("inspect", folder).status == 74)
                try sound.dropLast(4_096).write(to: URL(fileURLWithPath: segment))
                #expect(try await wal("verify", folder).status == 74)
                try FileManager.default.removeItem(atPath: segment)
                #expect(try await wal("verify", folder).status == 74)

                #expect(try await wal("verify", "\(cluster.directory)/none").status == 66)
                #expect(try await wal("verify", cluster.directory).status == 66)
                #expect(try await wal("verify").status == 64)
                #expect(try await wal("inspect", folder, "--nonsense").status == 64)
            }
        }

        @Test("takes no write under way for damage, however busy the node is")
        func busy() async throws {
            try await TestCluster.with(nodes: 1, groups: 4) { cluster in
                let load = try await Load.with(cluster, writers: 8) { _ in
                    for _ in 0..<10 {
                        let verdict = try await wal("verify", "\(cluster.directory)/1")
                        #expect(verdict.status == 0, "\(verdict)")
                    }
                }
                #expect(load.complaints == [])
            }
        }
    }
}
