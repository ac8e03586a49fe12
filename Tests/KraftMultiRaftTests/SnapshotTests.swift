import Foundation
import KraftKeyValue
import Testing

@testable import KraftMultiRaft

/// Snapshots on real nodes.
@Suite("Nodes with snapshots", .timeLimit(.minutes(3)))
struct SnapshotTests {
    private func often(_ configuration: inout KraftConfiguration) {
        configuration.snapshots.entryLimit = 200
        configuration.snapshots.tailEntries = 20
    }

    private func files(_ cluster: TestCluster, _ node: NodeID) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            atPath: "\(cluster.folder)/\(node)/snapshots")
    }

    @Test func `logs give way by themselves, and nodes start again from their snapshots`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            var groups: [Group<Counter>] = []
            var nodes: [KraftMultiRaft] = []
            for id in cluster.addresses.keys.sorted() {
                nodes.append(try await cluster.start(id, often))
                groups.append(try await nodes[nodes.count - 1].createGroup("g") { Counter() })
            }
            for round in 0..<20 {
                for result in await groups[round % 3].propose(Array(repeating: 1, count: 100)) {
                    _ = try result.get()
                }
            }
            for node in nodes {
                try await eventually("the log of node \(node.node) gives way") {
                    try await node.status(of: "g").firstIndex > LogIndex(1_500)
                }
                try await eventually("older snapshots go") {
                    try files(cluster, node.node).count == 1
                }
                #expect(await node.status().metrics.snapshotsTaken > 2)
            }
            let digest = try await nodes[0].digest(of: "g").digest
            await cluster.stopAll()
            groups = []
            for id in cluster.addresses.keys.sorted() {
                nodes[Int(id.rawValue) - 1] = try await cluster.start(id, often)
                groups.append(
                    try await nodes[Int(id.rawValue) - 1].createGroup("g") { Counter() })
            }
            for (node, group) in zip(nodes, groups) {
                #expect(try await node.status(of: "g").firstIndex > LogIndex(1_500))
                #expect(try await group.read(.sum) == 2_000)
                #expect(try await group.read(.count, .local) == 2_000)
                #expect(try await node.digest(of: "g").digest == digest)
            }
            #expect(try await groups[2].propose(1) == 2_001)
        }
    }

    @Test func `a snapshot that is asked for is there, and is taken once for one state`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1)
            var events = node.events.makeAsyncIterator()
            _ = await events.next()
            let group = try await node.createGroup("g") { Counter() }
            for _ in 0..<30 { _ = try await group.propose(2) }
            let applied = try await node.status(of: "g").appliedIndex
            let taken = try await node.snapshot(of: "g")
            #expect(taken.index == applied)
            let name = try #require(try files(cluster, 1).first)
            let path = "\(cluster.folder)/1/snapshots/\(name)"
            let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
            #expect(size == Int(taken.byteCount))
            #expect(SnapshotName(fileName: name)?.position.index == applied)
            let again = try await node.snapshot(of: "g")
            #expect(again == taken)
            #expect(try files(cluster, 1) == [name])
            while let event = await events.next() {
                guard case .snapshotTaken(let name, let index, let byteCount) = event else {
                    continue
                }
                #expect(name.string == "g")
                #expect(index == taken.index && byteCount == taken.byteCount)
                break
            }
            let error = await #expect(throws: KraftError.self) {
                try await node.snapshot(of: "h")
            }
            #expect(error?.code == .notFound)

            await cluster.stop(1)
            node = try await cluster.start(1)
            let back = try await node.createGroup("g") { Counter() }
            #expect(try await back.read(.sum) == 60)
            #expect(try await back.propose(1) == 61)
        }
    }

    @Test func `a follower that was away too long comes back by a snapshot, under load`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            var nodes: [KraftMultiRaft] = []
            for id in cluster.addresses.keys.sorted() {
                nodes.append(try await cluster.start(id, often))
                _ = try await nodes[nodes.count - 1].createGroup("kv") { KeyValueStore() }
            }
            let group = try nodes[0].group("kv", of: KeyValueStore.self)
            let value = [UInt8](repeating: 9, count: 2_000)
            func write(_ rounds: Range<Int>) async throws {
                for round in rounds {
                    let commands = (0..<100).compactMap { number in
                        KeyValueStore.Key("k-\(round)-\(number)").map {
                            KeyValueStore.Command.put($0, value: value)
                        }
                    }
                    for result in await group.propose(commands) { _ = try result.get() }
                }
            }
            try await write(0..<3)
            await cluster.stop(3)
            try await write(3..<20)
            try await eventually("the others' logs have given way") {
                for node in nodes[..<2]
                where try await node.status(of: "kv").firstIndex < LogIndex(1_000) {
                    return false
                }
                return true
            }
            async let load: Void = write(20..<30)
            let node = try await cluster.start(3, often)
            let back = try await node.createGroup("kv") { KeyValueStore() }
            try await load
            guard case .size(let keyCount, _) = try await back.read(.size) else {
                Issue.record("no size")
                return
            }
            #expect(keyCount == 3_000)
            #expect(await node.status().metrics.snapshotsInstalled > 0)
            #expect(await node.status().metrics.snapshotBytesReceived > 2_000_000)
            let mine = try await node.digest(of: "kv")
            try await eventually("all hold the same") {
                for other in nodes[..<2] where try await other.digest(of: "kv") != mine {
                    return false
                }
                return true
            }
        }
    }

    @Test func `many groups come back from their snapshots`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1)
            let names = (0..<200).map { "g\($0)" }
            for (number, name) in names.enumerated() {
                let group = try await node.createGroup(name) { Counter() }
                _ = try await group.propose(Int64(number))
            }
            await withTaskGroup { tasks in
                for name in names {
                    tasks.addTask { [node] in _ = try? await node.snapshot(of: name) }
                }
            }
            #expect(try files(cluster, 1).count == 200)
            await cluster.stop(1)
            node = try await cluster.start(1)
            for (number, name) in names.enumerated() {
                let group = try await node.createGroup(name) { Counter() }
                #expect(try await group.read(.sum) == Int64(number))
            }
        }
    }

    @Test func `the shared log stays within its budget, although most groups are idle`()
        async throws
    {
        func small(_ configuration: inout KraftConfiguration) {
            configuration.log.segmentSizeBytes = 256 << 10
            configuration.log.budgetSizeBytes = 1 << 20
            configuration.log.batchSizeBytes = 16 << 10
            configuration.limits.commandSizeBytes = 16 << 10
            configuration.limits.appendSizeBytes = 16 << 10
        }
        func size(_ cluster: TestCluster) throws -> Int {
            let folder = "\(cluster.folder)/1/wal"
            return try FileManager.default.contentsOfDirectory(atPath: folder).reduce(0) {
                // A file may go while it is looked for.
                let path = "\(folder)/\($1)"
                let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
                return $0 + (size ?? 0)
            }
        }
        try await TestCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1, small)
            for number in 0..<30 {
                let group = try await node.createGroup("idle-\(number)") { Counter() }
                _ = try await group.propose(Int64(number))
            }
            let hot = try await node.createGroup("hot") { KeyValueStore() }
            let key = try #require(KeyValueStore.Key("k"))
            var largest = 0
            for round in 0..<200 {
                let value = [UInt8](repeating: UInt8(round), count: 5_000)
                let commands = Array(
                    repeating: KeyValueStore.Command.put(key, value: value), count: 10)
                for result in await hot.propose(commands) { _ = try result.get() }
                largest = max(largest, try size(cluster))
            }
            // Ten megabytes went through. On a busy machine snapshots may be slower than this load; how
            // far the log goes beyond its budget otherwise is simulated in `ManyGroupsTests`.
            #expect(largest < 3 << 20, "the log had \(largest) bytes")
            // At rest it is small again.
            for _ in 0..<500 where await node.status().log.sizeBytes >= 2 << 20 {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(await node.status().log.sizeBytes < 2 << 20)
            #expect(await node.status().log.segmentCount <= 8)
            await cluster.stop(1)
            node = try await cluster.start(1, small)
            for number in 0..<30 {
                let group = try await node.createGroup("idle-\(number)") { Counter() }
                #expect(try await group.read(.sum) == Int64(number))
            }
            let back = try await node.createGroup("hot") { KeyValueStore() }
            guard case .value(let value, _) = try await back.read(.get(key)) else {
                Issue.record("the key is gone")
                return
            }
            #expect(value.first == 199)
        }
    }

    @Test func `a group may have limits of its own`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            var options = GroupOptions()
            options.snapshots = SnapshotPolicy()
            options.snapshots?.entryLimit = 10
            let often = try await node.createGroup("often", options: options) { Counter() }
            let seldom = try await node.createGroup("seldom") { Counter() }
            options.snapshots?.entryLimit = 0
            options.snapshots?.interval = .milliseconds(50)
            let always = try await node.createGroup("always", options: options) { Counter() }
            for _ in 0..<30 {
                for group in [often, seldom, always] { _ = try await group.propose(1) }
            }
            try await eventually("two have snapshots") { try files(cluster, 1).count == 2 }
            let names = try files(cluster, 1).compactMap { SnapshotName(fileName: $0) }
            #expect(Set(names.map(\.group)) == [often.id, always.id])
            #expect(await node.status().metrics.snapshotsTaken > 3)
        }
    }

    @Test func `a group that is removed leaves no snapshot`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            _ = try await group.propose(1)
            _ = try await node.snapshot(of: "g")
            try await node.removeGroup("g")
            try await eventually("its file goes") { try files(cluster, 1).isEmpty }
        }
    }

    @Test func `a rotten snapshot is noticed at the start, and serves nobody`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            var nodes: [KraftMultiRaft] = []
            for id in cluster.addresses.keys.sorted() {
                nodes.append(try await cluster.start(id, often))
                _ = try await nodes[nodes.count - 1].createGroup("g") { Counter() }
            }
            let group = try nodes[0].group("g", of: Counter.self)
            for result in await group.propose(Array(repeating: 1, count: 1_000)) {
                _ = try result.get()
            }
            try await eventually("the log gives way") {
                try await nodes[2].status(of: "g").firstIndex > LogIndex(500)
            }
            await cluster.stop(3)
            let name = try #require(
                try files(cluster, 3).max { a, b in
                    (SnapshotName(fileName: a)?.position.index ?? .zero)
                        < (SnapshotName(fileName: b)?.position.index ?? .zero)
                })
            let path = URL(fileURLWithPath: "\(cluster.folder)/3/snapshots/\(name)")
            var bytes = try Data(contentsOf: path)
            bytes[bytes.count / 2] ^= 4
            try bytes.write(to: path)

            let node = try await cluster.start(3, often)
            var events = node.events.makeAsyncIterator()
            _ = await events.next()
            _ = try await node.createGroup("g") { Counter() }
            while let event = await events.next() {
                guard case .replicaDamaged(let name, let reason) = event else { continue }
                #expect(name.string == "g")
                #expect(reason.contains("checksum"), "\(reason)")
                break
            }
            #expect(try await group.propose(1) == 1_001)
        }
    }

    @Test func `a machine that is being restored answers nobody`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            _ = try await group.propose(1)
            await node.running?.shared.run { $0.groups[0]?.box.readiness = .restoring }
            for read in [ReadConsistency.local, .linearizable] {
                let error = await #expect(throws: KraftError.self) {
                    try await group.read(.sum, read)
                }
                #expect(error?.code == .unavailable)
            }
            let error = await #expect(throws: KraftError.self) { try await node.digest(of: "g") }
            #expect(error?.code == .unavailable)
            await node.running?.shared.run { $0.groups[0]?.box.readiness = .ready }
            #expect(try await group.read(.sum, .local) == 1)
        }
    }
}
