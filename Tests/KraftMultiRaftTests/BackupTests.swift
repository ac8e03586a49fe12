import Foundation
import Synchronization
import Testing

@testable import KraftMultiRaft

/// Backups on real nodes, and nodes that are recovered from a lost quorum.
@Suite("Nodes with backups", .timeLimit(.minutes(3)))
struct BackupTests {
    private static func machines(_ configuration: inout KraftConfiguration) {
        configuration.machines = MachineProvider { _ in Counter() }
    }

    private func bytes(_ backup: GroupBackup) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let part = try await backup.read(at: bytes.count, count: 100)
            if part.isEmpty { return bytes }
            bytes += part
        }
    }

    private func parts(_ bytes: [UInt8], _ size: Int = 37) -> AsyncStream<[UInt8]> {
        AsyncStream { stream in
            for start in Swift.stride(from: 0, to: bytes.count, by: size) {
                stream.yield(Array(bytes[start..<min(bytes.count, start + size)]))
            }
            stream.finish()
        }
    }

    private func files(_ cluster: TestCluster, _ node: NodeID) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            atPath: "\(cluster.folder)/\(node)/snapshots")
    }

    private func code(_ body: () async throws -> Void) async -> KraftError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? KraftError)?.code
        }
    }

    @Test func `a backup from any node holds what was acknowledged before`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            var groups: [Group<Counter>] = []
            let nodes = try await cluster.startAll()
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            for round in 1...12 {
                let sum = try await groups[round % 3].propose(5)
                let backup = try await nodes[(round + 1) % 3].backup(of: "g")
                var scan = SnapshotScan()
                var pieces: [UInt8] = []
                try await bytes(backup).withUnsafeBytes { bytes in
                    try scan.receive(bytes) { item in
                        if case .piece(let piece) = item { pieces += piece }
                    }
                }
                #expect(scan.isWhole && scan.name == backup.name)
                let counter = try pieces.withUnsafeBytes { bytes in
                    var reader = ByteReader(bytes)
                    return try Counter(from: &reader)
                }
                #expect(counter.sum == sum)
                #expect(try scan.owner().name.string == "g")
            }
            #expect(await code { _ = try await nodes[0].backup(of: "nope") } == .notFound)
        }
    }

    @Test func `a backup can be read to its end although newer snapshots take its place`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            _ = try await group.propose(1)
            let backup = try await node.backup(of: "g")
            for _ in 0..<3 {
                _ = try await group.propose(1)
                _ = try await node.snapshot(of: "g")
            }
            try await eventually("its file goes") {
                try !files(cluster, 1).contains(backup.name.fileName)
            }
            var check = BackupCheck()
            try await bytes(backup).withUnsafeBytes { try check.add($0) }
            #expect(try check.finish().name == backup.name)
        }
    }

    @Test func `an empty group with one member takes a backup over, and others get it from there`()
        async throws
    {
        var old: [UInt8] = []
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            for _ in 0..<50 { _ = try await group.propose(3) }
            old = try await bytes(node.backup(of: "g"))
        }
        try await TestCluster.with(nodes: 3) { cluster in
            var nodes: [KraftMultiRaft] = []
            for id in cluster.addresses.keys.sorted() {
                nodes.append(try await cluster.start(id, BackupTests.machines))
            }
            let group = try await nodes[0].createGroup("g", voters: [1]) { Counter() }
            try await eventually("it leads") { try await nodes[0].status(of: "g").leader == 1 }
            let restored = try await nodes[0].restore("g", from: parts(old))
            #expect(restored.index > LogIndex(50))
            #expect(try await group.read(.sum) == 150)
            #expect(try await group.read(.count) == 50)
            #expect(try await group.propose(1) == 151)

            _ = try await nodes[0].changeMembers(
                of: "g", add: [.init(2, .voter), .init(3, .voter)])
            try await eventually("all have it") {
                let status = try? await nodes[2].status(of: "g")
                return status?.voters == [1, 2, 3] && status?.isJoint == false
                    && status?.state == .running
            }
            let third: Group<Counter> = try nodes[2].group("g")
            #expect(try await third.read(.sum) == 151)

            await cluster.stopAll()
            let again = try await cluster.start(1, BackupTests.machines)
            _ = try await cluster.start(2, BackupTests.machines).createGroup("g") { Counter() }
            let first = try await again.createGroup("g") { Counter() }
            #expect(try await first.read(.sum) == 151)
        }
    }

    @Test func `what is no sound backup changes nothing, and leaves nothing behind`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1, BackupTests.machines)
            let group = try await node.createGroup("g") { Counter() }
            let source = try await node.createGroup("h") { Counter() }
            _ = try await source.propose(7)
            let sound = try await bytes(node.backup(of: "h"))
            try await eventually("it leads") { try await node.status(of: "g").leader == 1 }
            let names = try files(cluster, 1)

            for place in stride(from: 0, to: sound.count, by: 7) {
                var spoilt = sound
                spoilt[place] ^= 0x10
                #expect(
                    await code { _ = try await node.restore("g", from: parts(spoilt)) }
                        == .badRequest, "byte \(place)")
            }
            for count in [0, 10, 64, sound.count / 2, sound.count - 1] {
                #expect(
                    await code {
                        _ = try await node.restore("g", from: parts(Array(sound[..<count])))
                    } == .badRequest, "\(count) bytes")
            }
            #expect(
                await code { _ = try await node.restore("g", from: parts(sound + [0])) }
                    == .badRequest)
            #expect(try files(cluster, 1) == names)
            #expect(try await group.read(.count) == 0)

            _ = try await group.propose(1)
            #expect(
                await code { _ = try await node.restore("g", from: parts(sound)) } == .conflict)
            #expect(try await group.read(.sum) == 1)
        }
    }

    @Test func `a backup of another kind of machine is refused before anything changes`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1, BackupTests.machines)
            let group = try await node.createGroup("g") { Counter() }
            let other = try await node.createGroup("h") { LastValue() }
            _ = try await other.propose(7)
            let sound = try await bytes(node.backup(of: "h"))
            try await eventually("it leads") { try await node.status(of: "g").leader == 1 }
            #expect(
                await code { _ = try await node.restore("g", from: parts(sound)) } == .badRequest)
            #expect(try await group.propose(2) == 2)
        }
    }

    @Test func `a group with other members takes no backup`() async throws {
        try await TestCluster.with(nodes: 2) { cluster in
            var nodes: [KraftMultiRaft] = []
            for id in cluster.addresses.keys.sorted() {
                nodes.append(try await cluster.start(id, BackupTests.machines))
                _ = try await nodes[nodes.count - 1].createGroup("g") { Counter() }
            }
            let leader = try await leader(of: "g", among: nodes)
            let bytes = try await bytes(leader.backup(of: "g"))
            #expect(
                await code { _ = try await leader.restore("g", from: parts(bytes)) } == .conflict)
        }
    }

    @Test func `the node that is left of three goes on alone with all that it had`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [Group<Counter>] = []
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            for _ in 0..<20 { _ = try await groups[0].propose(1) }
            // A part is in a snapshot, a part in the log.
            #expect(try await groups[2].read(.sum) == 20)
            _ = try await nodes[2].snapshot(of: "g")
            for _ in 0..<10 { _ = try await groups[1].propose(1) }
            #expect(try await groups[2].read(.sum) == 30)
            #expect(
                await code { _ = try LostQuorum("\(cluster.folder)/3") } == .unavailable)
            await cluster.stopAll()

            let name = try #require(GroupName("g"))
            do {
                let quorum = try LostQuorum("\(cluster.folder)/3")
                #expect(quorum.node == 3 && quorum.groups.map(\.name) == [name])
                let loss = try quorum.loss(of: name, lost: [1, 2], acceptsDamage: false)
                #expect(loss.obstacle == nil && loss.known >= LogIndex(20))
                #expect(loss.last.index >= LogIndex(30))
                try quorum.recover([name], lost: [1, 2], acceptsDamage: false) { _ in }
            }
            // The others come back: they have the majority of the old group, and are told that they
            // have left, so that they don't go on with it beside the new one.
            let third = try await cluster.start(3)
            let group = try await third.createGroup("g") { Counter() }
            #expect(try await group.read(.sum) == 30)
            #expect(try await group.propose(1) == 31)
            #expect(try await third.status(of: "g").voters == [3])
            for id in [NodeID(1), 2] {
                let back = try await cluster.start(id)
                try await eventually("node \(id) knows that it has left") {
                    await back.status().hasLeft
                }
            }
            #expect(try await group.propose(1) == 32)
        }
    }
}
