import Foundation
import NIOHTTP1
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes on disks that fail")
    struct DiskFaultTests {
        @Test("the first sync that fails ends the node with 74; others lead on, nothing is lost")
        func failedSync() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                let victim = try await cluster.busiest()
                let load = try await Load.with(cluster, writers: 6) { _ in
                    try await Task.sleep(for: .milliseconds(700))
                    let process = try cluster.process(victim)
                    // Only one fails; all later ones would succeed.
                    try disk.order(victim, "fail-sync 3")
                    #expect(try await process.waitForExit() == 74)
                    #expect(disk.count("fail-sync", on: victim) == 1)
                    #expect(process.errors.contains("node fenced"), "\(process.errors.suffix(500))")
                    #expect(process.errors.contains("i/o error"))
                    try cluster.kill9(victim)
                    for group in 0..<cluster.groups {
                        let other = victim % 3 + 1
                        _ = try await eventually("another leader of kv-\(group)") {
                            let leader = try await cluster.leader(
                                of: "kv-\(group)", seenFrom: other)
                            return leader != victim ? leader : nil
                        }
                    }
                    try disk.order(victim)
                    try await cluster.start(victim, environment: disk.environment(victim))
                    try await cluster.waitUntilReady()
                }
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
                #expect(load.acknowledged > 50, "\(load.summary)")
                // What it can't have done while its disk was broken, it does now.
                #expect(try await cluster.put("k", "v", to: victim).status == 200)
            }
        }

        @Test("a disk that takes 500 ms a sync leads nothing after a while; others stay quick")
        func slowDisk() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                let victim = try await cluster.busiest()
                try disk.order(victim, "delay-sync 500")
                let load = try await Load.with(cluster, writers: 4) { _ in
                    try await cluster.waitForLog("the disk is slow", of: victim)
                    try await cluster.waitUntilLeadsNothing(victim)
                    #expect(disk.count("delay-sync", on: victim) >= 4)
                    let times = try await cluster.writeTimes(40, through: victim % 3 + 1)
                    #expect(times[times.count / 2] < .milliseconds(250), "\(times)")
                    let health = try await cluster.send(.GET, "/v1/health", to: victim)
                    #expect(health.text.contains("disk is slow"))
                    try disk.order(victim)
                    try await cluster.waitForLog("the disk is quick again", of: victim)
                }
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
            }
        }

        @Test("a disk that hangs costs its node its leaderships within seconds, and nothing else")
        func hangingDisk() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                let victim = try await cluster.busiest()
                let load = try await Load.with(cluster, writers: 4) { _ in
                    try disk.order(victim, "delay-sync 9000")
                    let start = ContinuousClock.now
                    try await cluster.waitForLog("the disk hangs", of: victim)
                    try await cluster.waitUntilLeadsNothing(victim)
                    #expect(ContinuousClock.now - start < .seconds(6))
                    let times = try await cluster.writeTimes(40, through: victim % 3 + 1)
                    #expect(times[times.count / 2] < .milliseconds(250), "\(times)")
                    try disk.order(victim)
                    try await cluster.waitForLog("the disk answers again", of: victim)
                }
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
            }
        }

        @Test("writes that are cut short by the system are finished, and nobody notices")
        func shortWrites() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                for id in 1...3 { try disk.order(id, "short-write 2") }
                let load = try await Load.with(cluster, writers: 6) { _ in
                    try await Task.sleep(for: .seconds(2))
                }
                for id in 1...3 { #expect(disk.count("short-write", on: id) > 10) }
                for id in 1...3 { try cluster.kill9(id) }
                for id in 1...3 { try await cluster.start(id) }
                try await cluster.waitUntilReady()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
                #expect(load.acknowledged > 50, "\(load.summary)")
            }
        }

        @Test("a node whose disk is full lets others lead, and comes back by itself")
        func oneFullDisk() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                let victim = try await cluster.busiest()
                let load = try await Load.with(cluster, writers: 4) { _ in
                    try disk.order(victim, "no-space")
                    try await cluster.waitForLog("the disk is full", of: victim)
                    try await cluster.waitUntilLeadsNothing(victim)
                    #expect(disk.count("no-space", on: victim) > 0)
                    let times = try await cluster.writeTimes(40, through: victim % 3 + 1)
                    #expect(times[times.count / 2] < .milliseconds(250), "\(times)")
                    let health = try await cluster.send(.GET, "/v1/health", to: victim)
                    #expect(health.text.contains("disk is full"))
                    try disk.order(victim)
                    try await cluster.waitForLog("the disk has space again", of: victim)
                }
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [1, 2, 3])
                #expect(load.complaints == [])
                #expect(try cluster.process(victim).process.isRunning)
            }
        }

        @Test("with all disks full writes are refused, reads are served, and space heals it")
        func allDisksFull() async throws {
            try await TestCluster.withFaultyDisks { cluster, disk in
                for number in 0..<20 {
                    #expect(try await cluster.put("k\(number)", "v", to: 1).status == 200)
                }
                for id in 1...3 { try disk.order(id, "no-space") }
                // Until all have looked at their orders: one that doesn't know would be handed what
                // it can't lead.
                try await Task.sleep(for: .milliseconds(200))
                // A disk is found out by writing; those writes may end in any way.
                for number in 0..<20 {
                    let query = "?timeout_ms=1000"
                    _ = try await cluster.put("x\(number)", "v", to: 1, query: query)
                }
                for id in 1...3 { try await cluster.waitForLog("the disk is full", of: id) }
                for id in 1...3 {
                    // A group without a leader gets none before a vote can be written; others have one.
                    _ = try await eventually("node \(id) to be read-only") {
                        let key = "x\(Int.random(in: 0..<20))"
                        let put = try await cluster.put(key, "v", to: id, query: "?timeout_ms=500")
                        return put["error.message"]?.contains("read-only") == true ? true : nil
                    }
                }
                var (readOnly, served) = (0, 0)
                for number in 0..<20 {
                    for id in 1...3 {
                        let query = "?timeout_ms=1000"
                        let refused = try await cluster.put("y\(number)", "w", to: id, query: query)
                        #expect([503, 504].contains(refused.status), "\(refused.text)")
                        if refused["error.message"]?.contains("read-only") == true { readOnly += 1 }
                        let got = try await cluster.get("k\(number)", from: id, query: query)
                        #expect(
                            got.status == 200 && got.text == "v" || got.status == 503,
                            "\(got.text)")
                        if got.status == 200 { served += 1 }
                    }
                }
                #expect(readOnly >= 20)
                #expect(served >= 30)
                for id in 1...3 { try disk.order(id) }
                for number in 0..<20 {
                    _ = try await eventually("k\(number) to be written") {
                        try await cluster.put("k\(number)", "new", to: 1 + number % 3).status == 200
                            ? true : nil
                    }
                }
                try await cluster.waitUntilHealthy()
                try await cluster.waitForEqualDigests()
                for id in 1...3 { try cluster.kill9(id) }
                for id in 1...3 { try await cluster.start(id) }
                try await cluster.waitUntilReady()
                for number in 0..<20 {
                    #expect(try await cluster.get("k\(number)", from: 2).text == "new")
                }
            }
        }
    }
}

extension TestCluster {
    func waitUntilLeadsNothing(_ id: Int) async throws {
        _ = try await eventually("node \(id) to lead nothing") {
            try await self.groupsLed(by: id) == 0 ? true : nil
        }
    }

    /// How long writes took, ascending.
    func writeTimes(_ count: Int, through id: Int) async throws -> [Duration] {
        var times: [Duration] = []
        for number in 0..<count {
            let start = ContinuousClock.now
            let answer = try await put("timed\(number)", "v", to: id)
            guard answer.status == 200 else {
                throw NodeProcess.Trouble(description: "a write was answered \(answer.text)")
            }
            times.append(ContinuousClock.now - start)
        }
        return times.sorted()
    }
}
