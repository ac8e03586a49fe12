import Foundation
import NIOHTTP1
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes on small file systems")
    struct SmallDiskTests {
        @Test("32 MB are filled up and freed: writes are refused, reads go on, nothing is lost")
        func filledAndFreed() async throws {
            let disks = (1...3).compactMap { _ in SmallDisk(megabytes: 32) }
            defer { for disk in disks { disk.unmount() } }
            guard disks.count == 3 else {
                print("skipped: this user may not mount a tmpfs")
                return
            }
            try await TestCluster.with(groups: 2, started: []) { cluster in
                func start() async throws {
                    for id in 1...3 {
                        let folder = disks[id - 1].path + "/data"
                        try await cluster.start(
                            id, arguments: cluster.arguments(id, dataDirectory: folder))
                    }
                    try await cluster.waitUntilReady()
                }
                try await start()
                let value = [UInt8](repeating: 7, count: 64 << 10)
                var acknowledged: [String] = []
                func write(_ key: String) async throws -> Answer {
                    let answer = try await cluster.send(
                        .PUT, "/v1/kv/\(key)?timeout_ms=2000", to: 1 + acknowledged.count % 3,
                        body: value)
                    if answer.status == 200 { acknowledged.append(key) }
                    return answer
                }
                #expect(try await write("first").status == 200)
                for disk in disks { try disk.fill() }
                var refused: Answer?
                for number in 0..<1_000 where refused == nil {
                    let answer = try await write("filled-\(number)")
                    if answer["error.message"]?.contains("read-only") == true { refused = answer }
                }
                let answer = try #require(refused, "\(acknowledged.count) writes went through")
                #expect(answer.status == 503)
                #expect(answer["error.code"] == "unavailable")
                #expect(cluster.running == [1, 2, 3])
                for id in 1...3 {
                    #expect(try cluster.process(id).process.isRunning)
                    #expect(try await cluster.get("first", from: id).status == 200)
                }
                for disk in disks { disk.free() }
                _ = try await eventually("a write after space came back") {
                    try await write("afterwards").status == 200 ? true : nil
                }
                for key in acknowledged {
                    #expect(try await cluster.get(key, from: 2).body == value, "\(key)")
                }
                for id in 1...3 { try cluster.kill9(id) }
                try await start()
                for key in acknowledged {
                    #expect(try await cluster.get(key, from: 3).body == value, "\(key)")
                }
                print(
                    "summary: small disks  \(acknowledged.count) writes on 32 MB, filled and freed")
            }
        }
    }
}

/// A file system in memory.
private struct SmallDisk {
    let path: String

    /// Nil if this user may not mount one.
    init?(megabytes: Int) {
        path =
            FileManager.default.temporaryDirectory
            .appendingPathComponent("kraft-disk-\(UUID().uuidString)").path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch { return nil }
        guard SmallDisk.run("mount", "-t", "tmpfs", "-o", "size=\(megabytes)m", "kraft", path)
        else {
            try? FileManager.default.removeItem(atPath: path)
            return nil
        }
    }

    private static func run(_ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    private var filler: String { path + "/filler" }

    /// Until nothing more goes in.
    func fill() throws {
        guard FileManager.default.createFile(atPath: filler, contents: nil) else { return }
        let descriptor = open(filler, O_WRONLY | O_APPEND)
        defer { close(descriptor) }
        for size in [1 << 20, 4_096] {
            let bytes = [UInt8](repeating: 1, count: size)
            while Foundation.write(descriptor, bytes, size) == size {}
        }
    }

    func free() { unlink(filler) }

    func unmount() {
        _ = SmallDisk.run("umount", "-l", path)
        try? FileManager.default.removeItem(atPath: path)
    }
}
