import Foundation
import KraftLoop
import KraftMultiRaft
import Testing

/// A node whose surroundings misbehave.
@Suite(.timeLimit(.minutes(2)))
struct TroubleTests {
    @Test func `a node whose log can't be written fences itself and says so`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            var configuration = try cluster.configuration(1)
            configuration.log.segmentSizeBytes = 256 << 10
            configuration.log.batchSizeBytes = 16 << 10
            configuration.limits.commandSizeBytes = 16 << 10
            configuration.limits.appendSizeBytes = 16 << 10
            let node = try KraftMultiRaft(configuration)
            try await node.start()
            let run = Task { try await node.run() }
            let group = try await node.createGroup("g") { Counter() }
            _ = try await group.propose(1)
            // The next segment file can't be made any more.
            try FileManager.default.removeItem(atPath: configuration.dataDirectory + "/wal")
            var last: KraftError?
            for _ in 0..<1_000 where last == nil {
                for result in await group.propose(Array(repeating: 1, count: 500)) {
                    if case .failure(let error) = result { last = error }
                }
            }
            #expect(last?.code == .unavailable || last?.code == .outcomeUnknown)
            let error = await #expect(throws: KraftError.self) { try await run.value }
            #expect(error?.code == .storage)
            #expect(node.isFenced)
            #expect(node.boundAddress == nil)
        }
    }

    @Test func `garbage on the peer port costs only its own connection`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [Group<Counter>] = []
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            #expect(try await groups[0].propose(1) == 1)
            let loop = try EventLoop()
            try loop.start()
            for garbage in [
                [UInt8](repeating: 0, count: 100), [UInt8](repeating: 0xFF, count: 70_000),
                Array("GET / HTTP/1.1\r\n\r\n".utf8), [],
            ] {
                let vandal = Vandal(garbage)
                loop.execute {
                    guard let address = NetworkAddress(cluster.addresses[1] ?? "") else { return }
                    _ = try? TCPConnection.connect(loop, to: address, tag: 1, delegate: vandal)
                }
                if !garbage.isEmpty {
                    try await eventually("the vandal is thrown out") { vandal.isClosed }
                }
            }
            for group in groups { _ = try await group.propose(1) }
            #expect(try await groups[2].read(.sum) == 4)
            loop.stop()
            loop.join()
        }
    }

    @Test func `a node of another cluster is refused and its peers don't mind`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let first = try await cluster.start(2)
            let second = try await cluster.start(3)
            let groups = [
                try await first.createGroup("g") { Counter() },
                try await second.createGroup("g") { Counter() },
            ]
            var events = first.events.makeAsyncIterator()
            _ = await events.next()
            try await cluster.start(1) { $0.clusterID = "another" }
            var reason: String?
            while reason == nil, let event = await events.next() {
                if case .connectionRefused(let peer, let why) = event, peer == 1 { reason = why }
            }
            #expect(reason?.contains("cluster") == true)
            for group in groups { _ = try await group.propose(1) }
        }
    }

    @Test func `a slow reader of events is told how many it missed`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            var events = node.events.makeAsyncIterator()
            guard case .snapshot = await events.next() else {
                Issue.record("the first event is no snapshot")
                return
            }
            for number in 0..<KraftEvents.bufferLimit {
                _ = try await node.createGroup("g\(number)") { Counter() }
            }
            // Each group was created and soon has a leader: more than the buffer holds.
            _ = try await leader(of: "g\(KraftEvents.bufferLimit - 1)", among: [node])
            guard case .dropped(let count) = await events.next() else {
                Issue.record("nothing was dropped")
                return
            }
            #expect(count > 0)
            guard case .some = await events.next() else {
                Issue.record("nothing came behind")
                return
            }
        }
    }

    @Test func `many groups come back after a restart`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            var nodes = try await cluster.startAll()
            let names = (0..<50).map { "group-\($0)" }
            for name in names {
                for node in nodes { _ = try await node.createGroup(name) { Counter() } }
            }
            for (number, name) in names.enumerated() {
                let group = try nodes[number % 3].group(name, of: Counter.self)
                #expect(try await group.propose(Int64(number)) == Int64(number))
            }
            await cluster.stopAll()
            nodes = try await cluster.startAll()
            for node in nodes {
                #expect(await node.status().groups.map(\.name.string) == names.sorted())
                for name in names { _ = try await node.createGroup(name) { Counter() } }
            }
            for (number, name) in names.enumerated() {
                let group = try nodes[(number + 1) % 3].group(name, of: Counter.self)
                #expect(try await group.read(.sum) == Int64(number))
            }
        }
    }
}

/// Sends rubbish and waits to be thrown out. `@unchecked Sendable`: `isClosed` apart, used on one
/// loop only.
private final class Vandal: TCPConnectionDelegate, @unchecked Sendable {
    private let garbage: [UInt8]
    private let closed = Flag()

    init(_ garbage: [UInt8]) { self.garbage = garbage }

    var isClosed: Bool { closed.isSet }

    func connected(_ connection: TCPConnection) {
        let owner = Block(capacity: max(1, garbage.count))
        owner.load { memory in
            memory.copyBytes(from: garbage)
            return garbage.count
        }
        connection.write(owner.bytes, owner: owner)
    }
    func received(_ connection: TCPConnection, _ bytes: UnsafeRawBufferPointer) {}
    func wrote(_ connection: TCPConnection, _ owner: AnyObject) {}
    func closed(_ connection: TCPConnection, _ error: LoopError) { closed.set() }
}
