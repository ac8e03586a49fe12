import Foundation
import KraftMultiRaft
import ServiceLifecycle
import Testing

@Suite(.timeLimit(.minutes(2)))
struct ManagerTests {
    @Test func `configurations that can't work name the field`() {
        func message(_ change: (inout KraftConfiguration) -> Void) -> String {
            var configuration = KraftConfiguration(
                node: 1, dataDirectory: "x", listen: "127.0.0.1:0", peers: [1: "h:1", 2: "h:2"])
            change(&configuration)
            do throws(KraftError) {
                _ = try KraftMultiRaft(configuration)
                return "fine"
            } catch {
                return error.code == .configuration ? error.message : "\(error)"
            }
        }
        #expect(message { _ in } == "fine")
        #expect(message { $0.node = 0 }.hasPrefix("node:"))
        #expect(message { $0.dataDirectory = "" }.hasPrefix("dataDirectory:"))
        #expect(message { $0.clusterID = "" }.hasPrefix("clusterID:"))
        let long = String(repeating: "x", count: 129)
        #expect(message { $0.clusterID = long }.hasPrefix("clusterID:"))
        #expect(message { $0.listen = "nonsense" }.hasPrefix("listen:"))
        #expect(message { $0.listen = "some.name:1" }.hasPrefix("listen:"))
        #expect(message { $0.advertise = "nonsense" }.hasPrefix("advertise:"))
        #expect(message { $0.peers[2] = "nonsense" }.hasPrefix("peers:"))
        #expect(message { $0.peers[2] = "h:1" }.hasPrefix("peers:"))
        #expect(message { $0.peers[0] = "h:3" }.hasPrefix("peers:"))
        #expect(message { $0.requestTimeout = .zero }.hasPrefix("requestTimeout:"))
    }

    @Test func `a second manager on the same folder is refused until the first is gone`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            try await cluster.start(1)
            var configuration = try cluster.configuration(1)
            configuration.listen = "127.0.0.1:0"
            let second = try KraftMultiRaft(configuration)
            let error = await #expect(throws: KraftError.self) { try await second.start() }
            #expect(error?.code == .conflict)
            await cluster.stop(1)
            try await second.start()
            await second.shutdown()
        }
    }

    @Test func `many groups are created in one call, in the order of their names`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let names = (0..<2_500).map { "g\($0 % 7)-\($0)" }
            let groups = try await node.createGroups(names) { _ in Counter() }
            #expect(groups.map(\.name.string) == names)
            for place in [0, 1_023, 1_024, 2_499] {
                #expect(try await groups[place].propose(1) == 1)
            }
            // They are there already, or can't be.
            #expect(try await node.createGroups(names.suffix(3)) { _ in Counter() }.count == 3)
            #expect(try await node.createGroups([]) { _ in Counter() }.isEmpty)
            let error = await #expect(throws: KraftError.self) {
                try await node.createGroups(["fine", "not fine"]) { _ in Counter() }
            }
            #expect(error?.code == .badRequest)
            _ = try node.group("fine", of: Counter.self)
        }
    }

    @Test func `a folder of another node or cluster is refused`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            try await cluster.start(1)
            await cluster.stop(1)
            for change in [{ $0.node = 2 }, { $0.clusterID = "another" }]
                as [(inout KraftConfiguration) -> Void]
            {
                var configuration = try cluster.configuration(1)
                configuration.peers = [:]
                change(&configuration)
                let stranger = try KraftMultiRaft(configuration)
                let error = await #expect(throws: KraftError.self) { try await stranger.start() }
                #expect(error?.code == .conflict)
            }
        }
    }

    @Test func `an address in use and a folder that can't be made are errors`() async throws {
        try await TestCluster.with(nodes: 2) { cluster in
            let first = try await cluster.start(1)
            let taken = try #require(first.boundAddress)
            let second = await #expect(throws: KraftError.self) {
                try await cluster.start(2) { $0.listen = taken }
            }
            #expect(second?.code == .configuration)
            let third = await #expect(throws: KraftError.self) {
                try await cluster.start(2) { $0.dataDirectory = "/dev/null/x" }
            }
            #expect(third?.code == .storage)
            // Neither left anything behind that would keep the node from starting.
            try await cluster.start(2)
        }
    }

    @Test func `start and shutdown may be called twice, and at once`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try KraftMultiRaft(try cluster.configuration(1))
            #expect(node.boundAddress == nil)
            async let first: Void = node.start()
            async let second: Void = node.start()
            _ = try await (first, second)
            #expect(node.boundAddress == cluster.addresses[1])
            try await node.start()
            async let third: Void = node.shutdown()
            async let fourth: Void = node.shutdown()
            _ = await (third, fourth)
            await node.shutdown()
            #expect(node.boundAddress == nil)
            let error = await #expect(throws: KraftError.self) { try await node.start() }
            #expect(error?.code == .unavailable)
            let create = await #expect(throws: KraftError.self) {
                try await node.createGroup("g") { Counter() }
            }
            #expect(create?.code == .unavailable)
            #expect(code { try node.group("g", of: Counter.self) } == .notFound)
        }
    }

    @Test func `groups are found by name and id and only as what they are`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("a") { Counter() }
            #expect(try await group.propose(3) == 3)
            #expect(try node.group("a", of: Counter.self).id == group.id)
            #expect(try node.group(id: group.id, of: Counter.self).name == group.name)
            // Open already: the same group, not a new one.
            let again = try await node.createGroup("a") { Counter() }
            #expect(try await again.read(.sum) == 3)
            #expect(code { try node.group("a", of: LastValue.self) } == .conflict)
            #expect(code { try node.group("b", of: Counter.self) } == .notFound)
            #expect(code { try node.group(id: GroupID(7), of: Counter.self) } == .notFound)
            #expect(code { try node.group("..", of: Counter.self) } == .badRequest)
            let names = ["", ".", "..", "a/b", "a b", "ä", String(repeating: "x", count: 129)]
            for name in names {
                let error = await #expect(throws: KraftError.self) {
                    try await node.createGroup(name) { Counter() }
                }
                #expect(error?.code == .badRequest)
            }
            for voters in [[], [2], [1, 1], [1, 7]] as [[NodeID]] {
                let error = await #expect(throws: KraftError.self) {
                    try await node.createGroup("v", voters: voters) { Counter() }
                }
                #expect(error?.code == .badRequest)
            }
        }
    }

    @Test func `a removed group is gone, and a new one of its name is another`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1)
            let old = try await node.createGroup("g") { Counter() }
            let other = try await node.createGroup("other") { Counter() }
            _ = try await old.propose(7)
            _ = try await other.propose(8)
            try await node.removeGroup("g")
            #expect(await asyncCode { try await old.propose(1) } == .notFound)
            #expect(await asyncCode { try await node.status(of: "g") } == .notFound)
            #expect(await asyncCode { try await node.removeGroup("g") } == .notFound)
            let new = try await node.createGroup("g") { Counter() }
            #expect(new.id != old.id)
            #expect(try await new.propose(1) == 1)
            #expect(await asyncCode { try await old.read(.sum, .local) } == .notFound)
            try await node.removeGroup("g")
            await cluster.stop(1)
            node = try await cluster.start(1)
            #expect(await node.status().groups.map(\.name.string) == ["other"])
            let back = try await node.createGroup("other") { Counter() }
            #expect(try await back.read(.sum) == 8)
        }
    }

    @Test func `a stopped group serves nothing until it is started`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            _ = try await group.propose(7)
            try await node.stopGroup("g")
            #expect(try await node.status(of: "g").state == .stopped)
            #expect(await asyncCode { try await group.propose(1) } == .unavailable)
            #expect(await asyncCode { try await group.read(.sum) } == .unavailable)
            try await node.startGroup("g")
            #expect(try await group.propose(1) == 8)
            #expect(await asyncCode { try await node.stopGroup("none") } == .notFound)
        }
    }

    @Test func `a command over the limit is refused`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1) { $0.limits.commandSizeBytes = 4_096 }
            let group = try await node.createGroup("g") { Texts() }
            #expect(try await group.propose(String(repeating: "x", count: 4_000)) == 4_000)
            let long = String(repeating: "x", count: 5_000)
            #expect(await asyncCode { try await group.propose(long) } == .tooLarge)
        }
    }

    @Test func `more requests than may wait are shed as overloaded`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1) { $0.submissionLimit = 10 }
            let group = try await node.createGroup("g") { Counter() }
            let results = await group.propose(Array(repeating: 1, count: 11))
            #expect(results.count == 11)
            for result in results {
                #expect(throws: KraftError.self) { try result.get() }
                if case .failure(let error) = result { #expect(error.code == .overloaded) }
            }
            #expect(try await group.propose(1) == 1)
        }
    }

    @Test func `events begin with a snapshot and tell of groups and leaders`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            _ = try await node.createGroup("before") { Counter() }
            _ = try await leader(of: "before", among: [node])
            var iterator = node.events.makeAsyncIterator()
            guard case .snapshot(let snapshot) = await iterator.next() else {
                Issue.record("the first event is no snapshot")
                return
            }
            #expect(snapshot.groups.map(\.name.string) == ["before"])
            #expect(snapshot.groups.map(\.leader) == [1])
            _ = try await node.createGroup("after") { Counter() }
            var (isCreated, isLed) = (false, false)
            while !isCreated || !isLed, let event = await iterator.next() {
                switch event {
                case .groupCreated(let group): isCreated = group.string == "after"
                case .leaderChanged(let group, let leader, _):
                    isLed = group.string == "after" && leader == 1
                default: continue
                }
            }
            await cluster.stop(1)
            while let event = await iterator.next() { _ = event }
        }
    }

    @Test func `as a service it runs until graceful shutdown`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try KraftMultiRaft(try cluster.configuration(1))
            let configuration = ServiceGroupConfiguration(
                services: [node], logger: try cluster.configuration(1).logger)
            let services = ServiceGroup(configuration: configuration)
            async let run: Void = services.run()
            try await eventually("it listens") { node.boundAddress != nil }
            await services.triggerGracefulShutdown()
            try await run
            #expect(node.boundAddress == nil)
        }
    }

    @Test func `a cancelled run shuts the node down`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try KraftMultiRaft(try cluster.configuration(1))
            let task = Task { try await node.run() }
            try await eventually("it listens") { node.boundAddress != nil }
            task.cancel()
            try await task.value
            #expect(node.boundAddress == nil)
        }
    }

    private func code<T>(_ body: () throws -> T) -> KraftError.Code? {
        do { _ = try body() } catch { return (error as? KraftError)?.code }
        return nil
    }

    private func asyncCode<T>(_ body: () async throws -> T) async -> KraftError.Code? {
        do { _ = try await body() } catch { return (error as? KraftError)?.code }
        return nil
    }
}

/// Answers the length of each text.
private struct Texts: StateMachine, Sendable {
    private var length: Int64 = 0
    mutating func apply(_ command: String, at index: LogIndex) -> Int64 {
        length = Int64(command.utf8.count)
        return length
    }
    func answer(_ query: Bool) -> Int64 { length }
    func digest() -> UInt64 { UInt64(bitPattern: length) }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(length) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { length = try pieces.decode() }
}
