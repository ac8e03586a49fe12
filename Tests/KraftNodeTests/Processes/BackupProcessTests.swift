import Foundation
import Synchronization
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes: backup and restore, and a lost quorum")
    struct BackupProcessTests {
        /// Runs a command to its end; what it printed.
        @discardableResult
        private func run(
            _ arguments: [String], expecting status: Int32 = 0,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws -> String {
            let ended = try await TestCluster.command(arguments, within: .seconds(80))
            #expect(
                ended.status == status, "\(arguments): \(ended.output)\(ended.errors)",
                sourceLocation: sourceLocation)
            return ended.output + ended.errors
        }

        private func digests(_ cluster: TestCluster, on id: Int) async throws -> [String?] {
            var digests: [String?] = []
            for number in 0..<cluster.groups {
                digests.append(try await cluster.group("kv-\(number)", on: id)["digest"])
            }
            return digests
        }

        private func back(up cluster: TestCluster, to folder: String) async throws {
            try await run(["backup", "--node", try cluster.url(1), "--to", folder])
        }

        /// Every member holds what the group's log says.
        private func waitUntilWhole(_ cluster: TestCluster) async throws {
            for number in 0..<cluster.groups {
                _ = try await eventually("kv-\(number) to have all members again") {
                    let members = try await cluster.members(of: "kv-\(number)", seenFrom: 1)
                    return members == ["1:voter", "2:voter", "3:voter"] ? true : nil
                }
            }
            try await cluster.waitForEqualDigests()
        }

        @Test("what was acknowledged before a backup under load is in the new cluster")
        func load() async throws {
            try await TestCluster.with { cluster in
                let folder = "\(cluster.directory)/backup"
                let session = try await cluster.send(
                    .POST, "/v1/sessions?ttl_ms=600000", to: 1)["session"]
                let token = try #require(session)
                func increment(_ cluster: TestCluster) async throws -> Answer {
                    try await cluster.send(
                        .POST, "/v1/kv/once/increment", to: 2,
                        headers: [("Kraft-Session", token), ("Kraft-Sequence", "1")])
                }
                let once = try await increment(cluster)
                #expect(once["value"] == "1", "\(once.text)")
                for number in 0..<100 {
                    #expect(
                        try await cluster.put("k\(number)", "v\(number)", to: 1).status == 200)
                }
                let writers = try await Load.with(cluster, writers: 4) { load in
                    _ = try await eventually("some load") { load.acknowledged > 50 ? true : nil }
                    try await back(up: cluster, to: folder)
                }
                #expect(writers.complaints == [])

                try await TestCluster.with { new in
                    let said = try await run([
                        "restore", "--node", try new.url(2), "--from", folder,
                    ])
                    #expect(said.contains("kv-3: restored"), "\(said)")
                    for number in 0..<100 {
                        let answer = try await new.get("k\(number)", from: number % 3 + 1)
                        #expect(answer.text == "v\(number)")
                    }
                    try await waitUntilWhole(new)
                    // Its session lives on: what it did before the backup it doesn't do twice.
                    let again = try await increment(new)
                    #expect(again["value"] == "1", "\(again.text)")
                    #expect(try await new.get("once", from: 3).text == "1")
                    // And all of it is still there after all nodes were down.
                    for id in 1...3 { try new.kill9(id) }
                    for id in 1...3 { try await new.start(id) }
                    try await new.waitUntilReady()
                    for number in 0..<100 {
                        let answer = try await new.get("k\(number)", from: number % 3 + 1)
                        #expect(answer.text == "v\(number)")
                    }
                }
            }
        }

        @Test("a restored cluster has the same content; what isn't sound or fitting is refused")
        func content() async throws {
            try await TestCluster.with(groups: 2) { cluster in
                let folder = "\(cluster.directory)/backup"
                for number in 0..<60 {
                    let value = String(repeating: "x", count: 100 * number)
                    #expect(try await cluster.put("k\(number)", value, to: 1).status == 200)
                }
                try await back(up: cluster, to: folder)
                try await cluster.waitForEqualDigests()
                let before = try await digests(cluster, on: 1)

                // A folder with something in it, a group that isn't there, one group as a stream.
                try await run(
                    ["backup", "--node", try cluster.url(1), "--to", folder], expecting: 64)
                try await run(
                    [
                        "backup", "--node", try cluster.url(1), "--to", "\(folder)-2",
                        "--group", "nope",
                    ], expecting: 64)
                let file = try #require(
                    FileManager.default.contents(atPath: "\(folder)/kv-1.snap"))
                let stream = try await cluster.send(.GET, "/v1/groups/kv-1/backup", to: 2)
                #expect(stream.status == 200)
                #expect(abs(stream.body.count - file.count) < 200)
                #expect(stream.headers.first(name: "Kraft-Group") == "kv-1")
                #expect(
                    try await cluster.send(.GET, "/v1/groups/nope/backup", to: 2).status == 404)

                // Not into groups that hold something.
                let full = try await run(
                    ["restore", "--node", try cluster.url(1), "--from", folder], expecting: 64)
                #expect(full.contains("isn't empty"), "\(full)")

                try await TestCluster.with(groups: 2) { new in
                    let empty = try await digests(new, on: 1)
                    let dry = try await run([
                        "restore", "--node", try new.url(1), "--from", folder, "--dry-run",
                    ])
                    #expect(dry.contains("to all of 1,2,3"), "\(dry)")
                    // One bit, a part, a file: each is found before anything changes.
                    for spoil in ["bit", "cut", "gone", "manifest"] {
                        let copy = "\(cluster.directory)/\(spoil)"
                        try FileManager.default.copyItem(atPath: folder, toPath: copy)
                        let path =
                            spoil == "manifest"
                            ? "\(copy)/manifest.json" : "\(copy)/kv-1.snap"
                        var bytes = try #require(FileManager.default.contents(atPath: path))
                        switch spoil {
                        case "cut": bytes.removeLast(10)
                        default: bytes[bytes.count / 2] ^= 4
                        }
                        if spoil == "gone" {
                            try FileManager.default.removeItem(atPath: path)
                        } else {
                            try bytes.write(to: URL(fileURLWithPath: path))
                        }
                        try await run(
                            ["restore", "--node", try new.url(1), "--from", copy], expecting: 74)
                    }
                    #expect(try await digests(new, on: 1) == empty)
                    #expect(try await new.group("kv-0", on: 1)["last_index"] == "1")

                    try await run([
                        "restore", "--node", "127.0.0.1:1,\(try new.url(1))", "--from", folder,
                        "--group", "kv-1",
                    ])
                    #expect(try await digests(new, on: 1)[0] == empty[0])
                    try await run([
                        "restore", "--node", try new.url(3), "--from", folder, "--group", "kv-0",
                    ])
                    try await waitUntilWhole(new)
                    for id in 1...3 { #expect(try await digests(new, on: id) == before) }
                    #expect(try await new.put("more", "1", to: 2).status == 200)
                }
                try await TestCluster.with(groups: 1) { other in
                    let said = try await run(
                        ["restore", "--node", try other.url(1), "--from", folder], expecting: 64)
                    #expect(said.contains("--groups"), "\(said)")
                }
            }
        }

        @Test("a restore that was cut off is done again, and nothing served half a state")
        func interrupted() async throws {
            try await TestCluster.with(groups: 1) { cluster in
                let folder = "\(cluster.directory)/backup"
                for number in 0..<20 {
                    #expect(try await cluster.put("k\(number)", "v", to: 1).status == 200)
                }
                try await back(up: cluster, to: folder)
                try await TestCluster.with(groups: 1) { new in
                    // As far as a restore comes that dies before it gives the group its state.
                    let leader = try await new.leader(of: "kv-0", seenFrom: 1)
                    let others = [1, 2, 3].filter { $0 != leader }.map { "\($0)" }
                    try await new.change(
                        "kv-0", #"{"remove":[\#(others.joined(separator: ","))]}"#, on: leader)
                    let file = try #require(
                        FileManager.default.contents(atPath: "\(folder)/kv-0.snap"))
                    let half = try await new.send(
                        .POST, "/v1/groups/kv-0/restore", to: leader,
                        body: Array(file.prefix(file.count / 2)))
                    #expect(half.status == 400, "\(half.text)")
                    let elsewhere = try await new.send(
                        .POST, "/v1/groups/kv-0/restore", to: leader % 3 + 1, body: Array(file))
                    #expect(elsewhere.status == 503, "\(elsewhere.text)")
                    try new.kill9(leader)
                    try await new.start(leader)
                    try await new.waitUntilReady()
                    #expect(try await new.get("k3", from: leader).status == 404)
                    let names = try FileManager.default.contentsOfDirectory(
                        atPath: "\(new.directory)/\(leader)/snapshots")
                    #expect(names == [])
                    try await run(["restore", "--node", try new.url(leader), "--from", folder])
                    try await waitUntilWhole(new)
                    for number in 0..<20 {
                        let id = number % 3 + 1
                        #expect(try await new.get("k\(number)", from: id).text == "v")
                    }
                }
            }
        }

        @Test("the node that is left of three serves alone, and gets members again")
        func lostQuorum() async throws {
            try await TestCluster.with(nodes: 5, founders: 3, groups: 2) { cluster in
                for number in 0..<80 {
                    #expect(try await cluster.put("k\(number)", "v\(number)", to: 1).status == 200)
                    guard number == 40 else { continue }
                    // Of one group a part is in a snapshot.
                    try await cluster.waitForEqualDigests()
                    let taken = try await cluster.post("/v1/groups/kv-0/snapshot", "", to: 3)
                    #expect(taken.status == 200)
                }
                try await cluster.waitForEqualDigests()
                let before = try await digests(cluster, on: 3)
                let data = "\(cluster.directory)/3"
                try await run(["recover", "--data-dir", data, "--inspect"], expecting: 64)
                for id in [1, 2, 3] { try cluster.kill9(id) }

                let inspected = try await run(["recover", "--data-dir", data, "--inspect"])
                #expect(inspected.contains("kv-1") && inspected.contains("1,2,3"), "\(inspected)")
                let refused = try await run(
                    ["recover", "--data-dir", data, "--all", "--lost", "1"], expecting: 70)
                #expect(refused.contains("majority"), "\(refused)")
                func firstSegment() throws -> Data {
                    try Data(
                        contentsOf: URL(fileURLWithPath: "\(data)/wal/0000000000000001.seg"))
                }
                let log = try firstSegment()
                let dry = try await run([
                    "recover", "--data-dir", data, "--all", "--lost", "1,2", "--dry-run",
                ])
                #expect(dry.contains("lost: whatever nodes 1,2 acknowledged"), "\(dry)")
                #expect(try firstSegment() == log)
                let done = try await run([
                    "recover", "--data-dir", data, "--all", "--lost", "1,2",
                ])
                #expect(done.contains("kv-0: recovered"), "\(done)")
                try await run(["wal", "verify", data])

                try await cluster.start(3)
                try await cluster.waitUntilReady([3])
                #expect(try await digests(cluster, on: 3) == before)
                for number in 0..<80 {
                    #expect(try await cluster.get("k\(number)", from: 3).text == "v\(number)")
                }
                #expect(try await cluster.put("after", "1", to: 3).status == 200)
                #expect(try await cluster.members(of: "kv-0", seenFrom: 3) == ["3:voter"])
                #expect(try await cluster.status(of: 1, seenFrom: 3) == "left")

                for id in [4, 5] { try await cluster.start(id) }
                try await cluster.waitUntilReady([4, 5])
                for id in [4, 5] {
                    try await run([
                        "member", "add", "\(id)", "--url", try cluster.url(3), "--timeout",
                        "60000",
                    ])
                }
                try await cluster.waitForEqualDigests()
                #expect(try await cluster.get("k7", from: 5).text == "v7")

                // Who was lost comes back with what it held, a majority of the old groups.
                for id in [1, 2] {
                    try await cluster.start(id)
                    try await cluster.waitForLog("has left the cluster", of: id)
                }
                _ = try await eventually("those that left to serve nothing") {
                    var isServing = false
                    for id in [1, 2] {
                        let answer = try await cluster.put(
                            "stray", "\(id)", to: id, query: "?timeout_ms=500")
                        isServing = isServing || answer.status == 200
                    }
                    return isServing ? nil : true
                }
                #expect(try await cluster.put("after", "2", to: 4).status == 200)
                try cluster.kill9(3)
                _ = try await eventually("the new members to go on without it") {
                    try await cluster.get("after", from: 5).text == "2" ? true : nil
                }
            }
        }
    }
}
