import Foundation

/// Nodes, each a process of its own, on loopback.
struct BenchCluster: Sendable {
    private(set) var nodes: [BenchNode]
    private let setups: [NodeSetup]
    private let remains: Remains

    /// Starts the nodes; returns when all listen.
    ///
    /// - `loops`: of each node, the shared one too.
    static func start(
        in folder: String, nodes count: Int = 3, loops: Int = 1, leaseMilliseconds: Int = 0,
        gatherMicroseconds: Int = 0,
        _ remains: Remains
    ) async throws -> BenchCluster {
        // By loop, then by node.
        let ports = FreePorts.find(count * loops)
        let peers = (0..<loops).map { loop in
            Dictionary(
                uniqueKeysWithValues: (0..<count).map {
                    (UInt32($0 + 1), "127.0.0.1:\(ports[loop * count + $0])")
                })
        }
        let setups = peers[0].sorted { $0.key < $1.key }.map { id, address in
            var setup = NodeSetup(
                node: id, dataDirectory: "\(folder)/node-\(id)", listen: address, peers: peers[0],
                leaseMilliseconds: leaseMilliseconds, gatherMicroseconds: gatherMicroseconds)
            for (place, name) in adapters(loops).enumerated() {
                guard let name, let listen = peers[place][id] else { continue }
                setup.adapters.append(
                    AdapterSetup(name: name, listen: listen, peers: peers[place]))
            }
            return setup
        }
        let nodes = try setups.map { try BenchNode($0, remains) }
        for node in nodes { _ = try await node.nextAnswer() }
        return BenchCluster(nodes: nodes, setups: setups, remains: remains)
    }

    /// Ends the node at a place; its folder stays.
    func stop(_ place: Int) async {
        // It answers by being gone.
        _ = try? await nodes[place].ask(.quit)
    }

    /// Has the node at a place be gone at once, as by a crash; its folder stays.
    func kill(_ place: Int) { nodes[place].kill() }

    /// Starts a node that was stopped; returns when it listens.
    mutating func restart(_ place: Int) async throws {
        nodes[place] = try BenchNode(setups[place], remains)
        _ = try await nodes[place].nextAnswer()
    }

    /// Gives each node its order at the same time; the answers come in the nodes' order.
    func ask(_ order: (_ place: Int) -> Order) async throws -> [Answer] {
        let orders = nodes.indices.map(order)
        return try await withThrowingTaskGroup(of: (Int, Answer).self) { tasks in
            for place in nodes.indices {
                tasks.addTask { (place, try await nodes[place].ask(orders[place])) }
            }
            var answers: [Int: Answer] = [:]
            for try await (place, answer) in tasks { answers[place] = answer }
            return nodes.indices.compactMap { answers[$0] }
        }
    }

    func ask(_ order: Order) async throws -> [Answer] { try await ask { _ in order } }

    func marks(isStart: Bool) async throws -> [Mark] {
        try await ask(.mark(isStart: isStart)).map { answer in
            guard case .mark(let mark) = answer else { throw BenchFailure("no mark") }
            return mark
        }
    }

    /// Memory of the average node.
    func residentBytes() async throws -> Double {
        let marks = try await marks(isStart: false)
        return marks.reduce(0) { $0 + Double($1.usage.residentBytes) } / Double(nodes.count)
    }

    /// Ends all clients.
    func drain() async throws -> [ClientTally] {
        try await ask(.drain).flatMap { answer in
            guard case .drained(let tallies) = answer else { throw BenchFailure("no tallies") }
            return tallies
        }
    }

    /// The names of a node's loops; the shared one has none.
    static func adapters(_ loops: Int) -> [String?] {
        [nil] + (1..<loops).map { "loop-\($0 + 1)" }
    }

    /// Creates groups on all nodes, dealt out to their loops, and waits until each has one leader that
    /// all know.
    func create(
        _ names: [String], _ machine: MachineSetup = .init(), loops: Int = 1
    ) async throws {
        for (place, adapter) in BenchCluster.adapters(loops).enumerated() {
            // Each node's leaderships, which are dealt out too, come to lie on all loops.
            let share = names.enumerated().filter { $0.offset / nodes.count % loops == place }
            _ = try await ask(
                .create(groups: share.map(\.element), machine: machine, adapter: adapter))
        }
        try await awaitLeaders(names.count)
    }

    /// Waits until each of so many groups has one leader that all know.
    func awaitLeaders(_ count: Int) async throws {
        // A leader may be deposed while the others are asked; then it is asked again.
        for _ in 0..<100 {
            let leading = try await ask(.awaitLeaders).reduce(0) { sum, answer in
                guard case .leading(let groups) = answer else { return sum }
                return sum + groups
            }
            if leading == count { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw BenchFailure("some groups did not get a leader")
    }

    static func groupNames(_ count: Int) -> [String] {
        (0..<count).map { "bench-\($0)" }
    }
}
