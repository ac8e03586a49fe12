import Foundation
import Testing

@testable import KraftMultiRaft

/// Nodes with loops of their own for some groups.
@Suite(.timeLimit(.minutes(2)))
struct AdapterTests {
    @Test func `groups of all adapters are served, and are where they were after a restart`()
        async throws
    {
        try await AdapterCluster.with(nodes: 3) { cluster in
            var nodes = try await cluster.startAll()
            for node in nodes { try await cluster.openGroups(on: node) }
            for (number, node) in nodes.enumerated() {
                for name in ["shared", "apart"] {
                    let group = try node.group(name, of: Counter.self)
                    #expect(try await group.propose(1) == Int64(number + 1))
                    #expect(try await group.read(.sum) == Int64(number + 1))
                    #expect(try node.group(id: group.id, of: Counter.self).name == group.name)
                }
            }
            await cluster.nodes.stopAll()
            nodes = try await cluster.startAll()
            for node in nodes {
                let status = await node.status()
                #expect(status.groups.map(\.name.string) == ["apart", "shared"])
                #expect(status.adapters["orders"]?.groups.map(\.name.string) == ["apart"])
                #expect(status.adapters["orders"]?.clusterID == "kraft/orders")
            }
            for node in nodes { try await cluster.openGroups(on: node) }
            for name in ["shared", "apart"] {
                let group = try nodes[0].group(name, of: Counter.self)
                #expect(try await group.read(.sum) == 3)
            }
            // Each wrote to a log of its own.
            let status = await nodes[0].status()
            let part = try #require(status.adapters["orders"])
            #expect(part.metrics.logWrites > 0 && part.metrics.logWrites < status.metrics.logWrites)
            #expect(part.log.sizeBytes > 0 && part.log.sizeBytes < status.log.sizeBytes)
            #expect(part.peers.map(\.address) == cluster.ports(except: 1))
        }
    }

    @Test func `every verb finds a group on its adapter`() async throws {
        try await AdapterCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            for node in nodes { try await cluster.openGroups(on: node) }
            let group = try nodes[0].group("apart", of: Counter.self)
            _ = try await group.propose(5)
            let first = try await leader(of: "apart", among: nodes)
            let second = first === nodes[0] ? nodes[1] : nodes[0]
            try await second.transferLeadership(of: "apart", to: second.node)
            #expect(try await leader(of: "apart", among: [second]) === second)
            try await second.forceElection("apart")
            try await second.stepDown("apart")
            let session = try await group.openSession()
            #expect(try await group.propose(1, session: session) == 6)
            try await nodes[1].transferLeadership(of: "apart", to: 3)
            #expect(try await group.propose(1, session: session) == 7)
            #expect(try await nodes[1].snapshot(of: "apart").index > .zero)
            let backup = try await nodes[2].backup(of: "apart")
            #expect(try await backup.read(at: 0, count: 1 << 20).count == backup.byteCount)
            let change = try await nodes[1].changeMembers(of: "apart", remove: [3])
            try await eventually("the change ends") {
                try await nodes[1].state(of: change) == .done
            }
            #expect(await nodes[1].changes().map(\.id).contains(change))
            try await eventually("the removed one is gone") {
                await nodes[2].status().groups.map(\.name.string) == ["shared"]
            }
            // It led until then.
            #expect(try await nodes[2].state(of: change) == .done)
            let metrics = await nodes[0].metrics()
            #expect(metrics.keys.map(\.string).sorted() == ["apart", "shared"])
            try await eventually("both hold the same") {
                let digests = [
                    try await nodes[0].digest(of: "apart"), try await nodes[1].digest(of: "apart"),
                ]
                return digests[0] == digests[1]
            }
            try await nodes[0].stopGroup("apart")
            #expect(try await nodes[0].status(of: "apart").state == .stopped)
            try await nodes[0].startGroup("apart")
            #expect(try await group.read(.sum) == 7)
            try await nodes[0].removeGroup("apart")
            #expect(await nodes[0].status().groups.map(\.name.string) == ["shared"])
            #expect(throws: KraftError.self) { try nodes[0].group("apart", of: Counter.self) }
        }
    }

    @Test func `a name is on one adapter of a node only`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1)
            #expect(await create("a", "orders", on: node) == nil)
            #expect(await create("b", nil, on: node) == nil)
            #expect(await create("c", "other", on: node) == .badRequest)
            #expect(await create("a", nil, on: node) == .conflict)
            #expect(await create("b", "orders", on: node) == .conflict)
            #expect(await create("a", "orders", on: node) == nil)
            // What can't be made leaves its name to others.
            let refused = await #expect(throws: KraftError.self) {
                try await node.createGroup("c", voters: [], options: .init(adapter: "orders")) {
                    Counter()
                }
            }
            #expect(refused?.code == .badRequest)
            #expect(await create("c", nil, on: node) == nil)
            // On the disk alone too.
            await cluster.nodes.stop(1)
            node = try await cluster.start(1)
            #expect(await create("a", nil, on: node) == .conflict)
            #expect(await create("b", "orders", on: node) == .conflict)
            try await node.removeGroup("a")
            #expect(await create("a", nil, on: node) == nil)
            // At once: one of them.
            let only = node
            for round in 0..<20 {
                async let shared = create("at-once-\(round)", nil, on: only)
                async let apart = create("at-once-\(round)", "orders", on: only)
                #expect(Set([await shared, await apart]) == [nil, .conflict])
            }
        }
    }

    @Test func `an invited replica of a name that is in use isn't opened`() async throws {
        try await AdapterCluster.with(nodes: 3) { cluster in
            var nodes: [KraftMultiRaft] = []
            for node in [1, 2, 3] as [NodeID] {
                nodes.append(
                    try await cluster.start(node) {
                        $0.machines = MachineProvider { _ in Counter() }
                    })
            }
            let apart = try await nodes[0].createGroup(
                "g", voters: [1], options: .init(adapter: "orders")
            ) { Counter() }
            #expect(try await apart.propose(5) == 5)
            // The others don't know, and make it on the shared one.
            for node in nodes.dropFirst() { _ = try await node.createGroup("g") { Counter() } }
            _ = try await nodes[1].group("g", of: Counter.self).propose(1)
            try await eventually("its replica is here too") {
                await nodes[0].status().groups.map(\.name.string) == ["g", "g"]
            }
            #expect(try nodes[0].group("g", of: Counter.self).id == apart.id)
            #expect(try await apart.propose(5) == 10)
            #expect(await create("g", nil, on: nodes[0]) == .conflict)
            let opened = await nodes[0].running?.shared.run { $0.groups.compactMap { $0?.name } }
            #expect(opened == [])
            // After a restart neither counts more, until it is said which does.
            await cluster.nodes.stop(1)
            let back = try await cluster.start(1)
            let conflict = await #expect(throws: KraftError.self) {
                try await back.removeGroup("g")
            }
            #expect(conflict?.code == .conflict)
            #expect(
                conflict?.message.contains("on the shared adapter and adapter orders") == true)
            #expect(throws: KraftError.self) { try back.group("g", of: Counter.self) }
            #expect(await create("g", "orders", on: back) == nil)
            #expect(await create("g", nil, on: back) == .conflict)
            let group = try back.group("g", of: Counter.self)
            #expect(try await group.read(.sum) == 10)
            // Once it is gone, the name is the other's.
            try await back.removeGroup("g")
            #expect(await create("g", "orders", on: back) == .conflict)
            #expect(await create("g", nil, on: back) == nil)
            #expect(try await back.group("g", of: Counter.self).read(.sum) == 1)
        }
    }

    @Test func `metrics of a dedicated adapter have its name`() {
        func words(_ adapter: String?) -> [String] {
            NodeMeter.dimensions(node: 7, adapter: adapter).map { "\($0)=\($1)" }
        }
        #expect(words(nil) == ["node=7"])
        #expect(words("orders") == ["node=7", "adapter=orders"])
    }

    @Test func `adapters that can't be are named`() async throws {
        func message(
            _ adapters: [KraftConfiguration.Adapter],
            _ change: (inout KraftConfiguration) -> Void = { _ in }
        ) -> String {
            var configuration = KraftConfiguration(
                node: 1, dataDirectory: "x", listen: "127.0.0.1:7001")
            configuration.adapters = adapters
            change(&configuration)
            do throws(KraftError) {
                _ = try KraftMultiRaft(configuration)
                return "fine"
            } catch {
                return error.code == .configuration ? error.message : "\(error)"
            }
        }
        func adapter(_ name: String, _ port: Int = 0) -> KraftConfiguration.Adapter {
            .init(name: name, listen: "127.0.0.1:\(port)")
        }
        #expect(message([adapter("A-z_9"), adapter(String(repeating: "x", count: 32))]) == "fine")
        for name in ["", "a/b", "..", "a.b", "ä", String(repeating: "x", count: 33)] {
            #expect(message([adapter(name)]).hasPrefix("adapters: a name is 1 to 32"), "\(name)")
        }
        #expect(message([adapter("a"), adapter("a")]) == "adapters: a is there twice")
        #expect(message([adapter("a", 7_001)]).contains("is where the node listens"))
        #expect(message([adapter("a", 1), adapter("b", 1)]).contains("is where a listens"))
        let long = String(repeating: "x", count: 128)
        #expect(message([]) { $0.clusterID = long } == "fine")
        #expect(
            message([adapter("a")]) { $0.clusterID = long }.hasPrefix("adapters: a: clusterID:"))
        var odd = adapter("a")
        odd.peers = [2: "nonsense"]
        #expect(message([odd]).hasPrefix("adapters: a: peers:"))
        odd = adapter("a")
        odd.timing = .init()
        odd.timing?.electionTimeout = .zero
        #expect(message([odd]).hasPrefix("adapters: a: timing.electionTimeout:"))
    }

    @Test func `an adapter with data that isn't configured any more is missed`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            try await cluster.openGroups(on: node)
            let group = try node.group("apart", of: Counter.self)
            _ = try await group.propose(4)
            await cluster.nodes.stop(1)
            let error = await #expect(throws: KraftError.self) {
                try await cluster.start(1) { $0.adapters = [] }
            }
            #expect(error?.code == .configuration)
            #expect(error?.message.contains("orders") == true)
            let back = try await cluster.start(1)
            try await cluster.openGroups(on: back)
            #expect(try await back.group("apart", of: Counter.self).read(.sum) == 4)
        }
    }

    @Test func `a start that fails leaves nothing behind`() async throws {
        try await AdapterCluster.with(nodes: 2) { cluster in
            let other = try await cluster.start(2)
            let taken = try #require(other.boundAddress)
            var configuration = try cluster.configuration(1)
            configuration.adapters[0].listen = taken
            let node = try KraftMultiRaft(configuration)
            for _ in 0..<2 {
                let error = await #expect(throws: KraftError.self) { try await node.start() }
                #expect(error?.code == .configuration)
                #expect(node.boundAddress == nil)
            }
            // Port and folder of what had started before are free, and listeners go on.
            await cluster.nodes.stop(2)
            var events = node.events.makeAsyncIterator()
            _ = await events.next()
            try await node.start()
            try await cluster.openGroups(on: node, voters: [1])
            var isTold = false
            while !isTold, let event = await events.next() {
                if case .groupCreated = event { isTold = true }
            }
            #expect(isTold)
            await node.shutdown()
            try await cluster.start(1)
        }
    }

    @Test func `a group that is held up holds up none of another adapter`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            try await cluster.openGroups(on: node)
            let gate = Gate()
            defer { gate.open() }
            let slow = try await node.createGroup("slow", options: .init(adapter: "orders")) {
                GatedMachine(gate: gate)
            }
            async let held = slow.propose(1)
            await gate.reached()
            // The adapter's loop stands still until this has been served.
            let shared = try node.group("shared", of: Counter.self)
            for number in 1...100 as ClosedRange<Int64> {
                #expect(try await shared.propose(1) == number)
            }
            #expect(try await shared.read(.sum) == 100)
            #expect(try await node.status(of: "shared").appliedIndex > .zero)
            _ = try await node.createGroup("new") { Counter() }
            #expect(!gate.isOpen)
            gate.open()
            #expect(try await held == 1)
        }
    }

    @Test func `an adapter whose log fails fences the node`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            var configuration = try cluster.configuration(1)
            configuration.adapters[0].log = configuration.log
            configuration.adapters[0].log?.segmentSizeBytes = 256 << 10
            configuration.adapters[0].log?.batchSizeBytes = 16 << 10
            configuration.adapters[0].limits = configuration.limits
            configuration.adapters[0].limits?.commandSizeBytes = 16 << 10
            configuration.adapters[0].limits?.appendSizeBytes = 16 << 10
            let node = try KraftMultiRaft(configuration)
            try await node.start()
            try await cluster.openGroups(on: node)
            let run = Task { try await node.run() }
            let group = try node.group("apart", of: Counter.self)
            let folder = configuration.dataDirectory + "/adapters/orders/wal"
            try FileManager.default.removeItem(atPath: folder)
            var isRefused = false
            for _ in 0..<1_000 where !isRefused {
                for result in await group.propose(Array(repeating: 1, count: 500)) {
                    if case .failure = result { isRefused = true }
                }
            }
            defer { run.cancel() }
            try await eventually("the node is fenced") { node.isFenced }
            let error = await #expect(throws: KraftError.self) { try await run.value }
            #expect(error?.code == .storage)
        }
    }

    @Test func `what is wired to another adapter is refused at the handshake`() async throws {
        try await AdapterCluster.with(nodes: 2) { cluster in
            let second = try await cluster.start(2)
            var events = second.events.makeAsyncIterator()
            _ = await events.next()
            // Node 1 takes node 2's shared port for that of its adapter.
            try await cluster.start(1) {
                $0.adapters[0].peers[2] = cluster.nodes.addresses[2]
            }
            var reason: String?
            while reason == nil, let event = await events.next() {
                if case .connectionRefused(_, let why) = event { reason = why }
            }
            #expect(reason?.contains("kraft/orders") == true, "\(reason ?? "")")
        }
    }

    @Test func `events of the node are told once, those of groups by each adapter`() async throws {
        try await AdapterCluster.with(nodes: 2) { cluster in
            let first = try await cluster.start(1)
            try await cluster.openGroups(on: first)
            var events = first.events.makeAsyncIterator()
            guard case .snapshot(let snapshot) = await events.next() else {
                Issue.record("the first event is no snapshot")
                return
            }
            #expect(snapshot.groups.map(\.name.string).sorted() == ["apart", "shared"])
            let second = try await cluster.start(2)
            try await cluster.openGroups(on: second)
            try await eventually("both adapters are connected, and lead") {
                let status = await first.status()
                let peers = status.peers + (status.adapters["orders"]?.peers ?? [])
                return peers.allSatisfy { $0.isConnected }
                    && status.groups.allSatisfy { !$0.leader.isNone }
            }
            _ = try await first.createGroup("mark", voters: [1]) { Counter() }
            var connections = 0
            var led: Set<String> = []
            while let event = await events.next() {
                switch event {
                case .peerConnected: connections += 1
                case .leaderChanged(let group, let leader, _) where !leader.isNone:
                    led.insert(group.string)
                default: break
                }
                if case .groupCreated(let name) = event, name.string == "mark" { break }
            }
            #expect(connections == 1)
            #expect(led == ["apart", "shared"])
        }
    }

    @Test func `a node joins and leaves on all adapters`() async throws {
        try await AdapterCluster.with(nodes: 3) { cluster in
            func start(_ node: NodeID) async throws -> KraftMultiRaft {
                try await cluster.start(node) { configuration in
                    configuration.peers[3] = nil
                    configuration.adapters[0].peers[3] = nil
                    configuration.machines = MachineProvider { _ in Counter() }
                }
            }
            let founders = [try await start(1), try await start(2)]
            for node in founders { try await cluster.openGroups(on: node) }
            _ = try await founders[0].group("apart", of: Counter.self).propose(9)
            let addresses = (cluster.nodes.addresses[3] ?? "", cluster.addresses[3] ?? "")
            let unknown = await #expect(throws: KraftError.self) {
                try await founders[0].join(3, address: addresses.0, adapters: ["other": "h:1"])
            }
            #expect(unknown?.code == .badRequest)
            #expect(await founders[0].peers().map(\.node) == [2])
            try await founders[0].join(
                3, address: addresses.0, adapters: ["orders": addresses.1])
            let third = try await cluster.start(3) {
                $0.machines = MachineProvider { _ in Counter() }
            }
            let change = try await founders[0].changeMembers(
                of: "apart", add: [.init(3, .voter)])
            try await eventually("the change ends") {
                try await founders[0].state(of: change) == .done
            }
            try await eventually("the new member has all") {
                guard let group = try? third.group("apart", of: Counter.self) else { return false }
                return try await group.read(.sum, .local) == 9
            }
            #expect(await third.status().adapters["orders"]?.groups.count == 1)
            let removal = try await founders[0].changeMembers(of: "apart", remove: [3])
            try await eventually("it is out") {
                try await founders[0].state(of: removal) == .done
            }
            try await founders[1].leave(3)
            try await eventually("it has left on both") {
                let status = await third.status()
                return status.hasLeft && status.adapters["orders"]?.hasLeft == true
            }
            let again = await #expect(throws: KraftError.self) {
                try await founders[1].leave(3)
            }
            #expect(again?.code == .notFound)
        }
    }
}

/// How creating a group fails; nil if it doesn't.
private func create(
    _ name: String, _ adapter: String?, on node: KraftMultiRaft
) async -> KraftError.Code? {
    do throws(KraftError) {
        _ = try await node.createGroup(name, options: .init(adapter: adapter)) { Counter() }
        return nil
    } catch { return error.code }
}

/// A cluster whose nodes have an adapter `orders` beside the shared one.
struct AdapterCluster {
    let nodes: TestCluster
    /// Of the adapter.
    let addresses: [NodeID: String]

    static func with(
        nodes count: Int, _ body: (AdapterCluster) async throws -> Void
    ) async throws {
        try await TestCluster.with(nodes: count) { nodes in
            try await body(
                AdapterCluster(
                    nodes: nodes, addresses: try await TestCluster.freeAddresses(count)))
        }
    }

    func ports(except node: NodeID) -> [String] {
        addresses.sorted { $0.key < $1.key }.filter { $0.key != node }.map(\.value)
    }

    func configuration(_ node: NodeID) throws -> KraftConfiguration {
        var configuration = try nodes.configuration(node)
        configuration.adapters = [
            .init(name: "orders", listen: try #require(addresses[node]), peers: addresses)
        ]
        return configuration
    }

    @discardableResult
    func start(
        _ node: NodeID, _ change: (inout KraftConfiguration) -> Void = { _ in }
    ) async throws -> KraftMultiRaft {
        let own = try configuration(node)
        return try await nodes.start(node) { configuration in
            configuration = own
            change(&configuration)
        }
    }

    func startAll() async throws -> [KraftMultiRaft] {
        var all: [KraftMultiRaft] = []
        for node in addresses.keys.sorted() { all.append(try await start(node)) }
        return all
    }

    /// The groups `shared` and `apart`, the latter on the adapter.
    func openGroups(on node: KraftMultiRaft, voters: [NodeID]? = nil) async throws {
        _ = try await node.createGroup("shared", voters: voters) { Counter() }
        _ = try await node.createGroup(
            "apart", voters: voters, options: .init(adapter: "orders")
        ) { Counter() }
    }
}

/// Holds up whoever comes to it until it is opened.
final class Gate: Sendable {
    private let way = DispatchSemaphore(value: 0)
    private let opened = Flag()
    private let arrivals = AsyncStream<Void>.makeStream()

    var isOpen: Bool { opened.isSet }

    func open() {
        opened.set()
        way.signal()
    }

    func pass() {
        arrivals.continuation.yield()
        // A test that fails to open it ends all the same.
        _ = way.wait(timeout: .now() + 60)
        way.signal()
    }

    func reached() async {
        for await _ in arrivals.stream { return }
    }
}

/// Counts, but takes its time over it.
private struct GatedMachine: StateMachine, Sendable {
    let gate: Gate
    private var sum: Int64 = 0

    init(gate: Gate) { self.gate = gate }

    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        gate.pass()
        sum += command
        return sum
    }
    func answer(_ query: Bool) -> Int64 { sum }
    func digest() -> UInt64 { UInt64(bitPattern: sum) }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(sum) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { sum = try pieces.decode() }
}
