import KraftMultiRaft
import Logging
import Synchronization

/// Carries out the parent's orders on one node.
final class NodeHost: Sendable {
    private struct Clients: Sendable {
        enum Kind: Sendable {
            case loop(LoopClients)
            case readers(LoopReaders)
            case tasks(AsyncClients)
        }
        var kind: Kind
        /// On whose loop they live, if on any.
        var adapter: String?
        var isMeasured: Bool
    }

    private struct Groups {
        var names: [String] = []
        /// Of those that aren't on the shared loop.
        var adapters: [String: String] = [:]
    }

    private static let patience: Duration = .seconds(150)
    /// Groups that are looked at in one turn of the loop.
    private static let lookLimit = 1_000

    private let kraft: KraftMultiRaft
    private let node: NodeID
    private let clients = Mutex<[Clients]>([])
    private let groups = Mutex(Groups())
    /// The node's loops; nil is the shared one.
    private let adapters: [String?]
    private let watch = LeaderWatch()

    init(_ setup: NodeSetup) throws {
        node = NodeID(setup.node)
        var configuration = KraftConfiguration(
            node: node, dataDirectory: setup.dataDirectory, listen: setup.listen,
            peers: Dictionary(uniqueKeysWithValues: setup.peers.map { (NodeID($0), $1) }))
        configuration.clusterID = "kraft-bench"
        configuration.requestTimeout = .seconds(30)
        configuration.timing.leaseDuration = .milliseconds(UInt64(setup.leaseMilliseconds))
        configuration.timing.gatherInterval = Nanoseconds(
            UInt64(setup.gatherMicroseconds) * 1_000)
        configuration.adapters = setup.adapters.map {
            .init(
                name: $0.name, listen: $0.listen,
                peers: Dictionary(uniqueKeysWithValues: $0.peers.map { (NodeID($0), $1) }))
        }
        adapters = [nil] + setup.adapters.map(\.name)
        var logger = Logger(label: "kraft-bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        configuration.logger = logger
        kraft = try KraftMultiRaft(configuration)
    }

    func start() async throws { try await kraft.start() }

    func carryOut(_ order: Order) async throws -> Answer {
        switch order {
        case .create(let names, let machine, let adapter):
            return try await create(names, machine, adapter)
        case .awaitLeaders: return try await awaitLeaders()
        case .lead(let names): return try await lead(names)
        case .begin(let workload): return try await begin(workload)
        case .mark(let isStart): return .mark(try await mark(isStart: isStart))
        case .drain: return .drained(try await drain())
        case .look(let names): return .replicas(try await look(names))
        case .watch(let names):
            try await watch.start(kraft, names)
            return .done
        case .ledCount: return .leading(groups: watch.clocks.count)
        case .ledClocks: return .clocks(watch.clocks)
        case .quit: return .done
        }
    }

    // MARK: Groups

    private func create(
        _ names: [String], _ machine: MachineSetup, _ adapter: String?
    ) async throws -> Answer {
        _ = try await kraft.createGroups(names, options: .init(adapter: adapter)) { _ in
            CountingMachine(machine)
        }
        groups.withLock { groups in
            groups.names += names
            if let adapter { for name in names { groups.adapters[name] = adapter } }
        }
        return .done
    }

    /// Of some names those that are on an adapter, by their places.
    private func places(of names: [String], on adapter: String?) -> [Int] {
        groups.withLock { groups in
            names.indices.filter { groups.adapters[names[$0]] == adapter }
        }
    }

    /// Looks at each group until it has a leader, and then at the next, so that waiting for a great
    /// many costs little.
    private func awaitLeaders() async throws -> Answer {
        let names = groups.withLock { $0.names }
        var leading = 0
        for adapter in adapters {
            leading += try await awaitLeaders(
                places(of: names, on: adapter).map { names[$0] }, adapter)
        }
        return .leading(groups: leading)
    }

    /// How many of them this node leads.
    private func awaitLeaders(_ names: [String], _ adapter: String?) async throws -> Int {
        let deadline = ContinuousClock.now + NodeHost.patience
        var place = 0
        while place < names.count {
            let part = names[place..<min(names.count, place + NodeHost.lookLimit)]
            let led = try await onLoop(adapter) { driver in
                part.prefix { driver.status(named: $0)?.leader.isNone == false }.count
            }
            place += led
            guard led == 0 else { continue }
            guard ContinuousClock.now < deadline else {
                throw BenchFailure(try await wordsOnLeaderless(names[place...], adapter))
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        var leading = 0
        for start in stride(from: 0, to: names.count, by: NodeHost.lookLimit) {
            let part = names[start..<min(names.count, start + NodeHost.lookLimit)]
            leading += try await onLoop(adapter) { driver in
                part.count { driver.status(named: $0)?.role == .leader }
            }
        }
        return leading
    }

    private func wordsOnLeaderless(
        _ names: ArraySlice<String>, _ adapter: String?
    ) async throws -> String {
        let (count, role) = try await onLoop(adapter) { driver in
            let statuses = names.compactMap { driver.status(named: $0) }
            let missing = statuses.filter(\.leader.isNone)
            return (missing.count, missing.first.map { "\($0.role.rawValue), \($0.term)" } ?? "")
        }
        return "\(count) groups have no leader, \(names.first ?? "") is a \(role)"
    }

    private func lead(_ names: [String]) async throws -> Answer {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for name in names {
                tasks.addTask { [self] in try await lead(name) }
            }
            try await tasks.waitForAll()
        }
        return .done
    }

    private func lead(_ name: String) async throws {
        let deadline = ContinuousClock.now + NodeHost.patience
        while try await kraft.status(of: name).role != .leader {
            do throws(KraftError) {
                try await kraft.transferLeadership(of: name, to: node, timeout: .seconds(2))
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    // MARK: Clients

    private func begin(_ workload: Workload) async throws -> Answer {
        if workload.clients != .loop {
            let groups = try workload.groups.map { try kraft.group($0, of: CountingMachine.self) }
            let made = AsyncClients(
                executor: workload.clients == .asyncOnLoop ? kraft.taskExecutor : nil)
            made.start(workload, groups)
            add(.tasks(made), nil, workload)
            return .done
        }
        for adapter in adapters {
            let places = places(of: workload.groups, on: adapter)
            guard !places.isEmpty else { continue }
            let part = workload.part(places)
            add(try await beginOnLoop(part, adapter), adapter, part)
        }
        return .done
    }

    private func add(_ kind: Clients.Kind, _ adapter: String?, _ workload: Workload) {
        clients.withLock {
            $0.append(Clients(kind: kind, adapter: adapter, isMeasured: workload.isMeasured))
        }
    }

    private func beginOnLoop(
        _ workload: Workload, _ adapter: String?
    ) async throws -> Clients.Kind {
        let hop: LoopHop = { [kraft] body in kraft.withDriver(adapter: adapter, body) }
        let made = try await onLoop(adapter) { driver -> Clients.Kind? in
            // One may be told of completions.
            guard driver.sink == nil else { return nil }
            if let reads = workload.reads {
                let made = LoopReaders(driver, workload, reads)
                made?.start(hop)
                return made.map { .readers($0) }
            }
            let made = LoopClients(driver, workload)
            made?.start(hop)
            return made.map { .loop($0) }
        }
        guard let made else { throw BenchFailure("a group isn't there, or other clients are") }
        return made
    }

    private func mark(isStart: Bool) async throws -> Mark {
        var mark = try await mark(isStart: isStart, adapters[0])
        for adapter in adapters.dropFirst() {
            mark.add(try await self.mark(isStart: isStart, adapter))
        }
        return mark
    }

    private func mark(isStart: Bool, _ adapter: String?) async throws -> Mark {
        let clients = clients.withLock { $0 }
        return try await onLoop(adapter) { driver in
            var mark = Mark(driver.nodeMetrics)
            for clients in clients where clients.isMeasured && clients.adapter == adapter {
                switch clients.kind {
                case .loop(let clients): mark.latencies.add(clients.latencies(isStart: isStart))
                case .readers(let clients): mark.latencies.add(clients.latencies(isStart: isStart))
                case .tasks(let clients): mark.latencies.add(clients.latencies(isStart: isStart))
                }
            }
            return mark
        }
    }

    private func drain() async throws -> [ClientTally] {
        let all = clients.withLock { clients in
            defer { clients = [] }
            return clients
        }
        var tallies: [ClientTally] = []
        for clients in all {
            let adapter = clients.adapter
            switch clients.kind {
            case .tasks(let clients): tallies += await clients.drain()
            case .loop(let clients):
                tallies += await withCheckedContinuation { continuation in
                    kraft.withDriver(adapter: adapter) { _ in
                        clients.drain { continuation.resume(returning: $0) }
                    }
                }
            case .readers(let clients):
                tallies += await withCheckedContinuation { continuation in
                    kraft.withDriver(adapter: adapter) { _ in
                        clients.drain { continuation.resume(returning: $0) }
                    }
                }
            }
        }
        return tallies
    }

    // MARK: Looking

    private func look(_ names: [String]) async throws -> [ReplicaTally] {
        var tallies: [ReplicaTally] = []
        for name in names {
            let group = try kraft.group(name, of: CountingMachine.self)
            do throws(KraftError) {
                tallies.append(try await look(name, group))
            } catch {
                // A snapshot is being installed, say: whoever asks may ask again.
                guard error.code == .unavailable else { throw error }
                tallies.append(ReplicaTally(group: name, obstacle: error.message))
            }
        }
        return tallies
    }

    private func look(
        _ name: String, _ group: Group<CountingMachine>
    ) async throws(KraftError) -> ReplicaTally {
        let state = try await group.read(.init(), .local)
        let (digest, index) = try await kraft.digest(of: name)
        return ReplicaTally(
            group: name, applied: state.applied, damagedCount: state.damagedCount,
            digest: digest, appliedIndex: index.rawValue)
    }

    /// Runs `body` on one of the node's loops. The node runs for as long as its process takes orders.
    private func onLoop<Value: Sendable>(
        _ adapter: String?, _ body: @escaping @Sendable (NodeDriver) -> Value
    ) async throws -> Value {
        await withCheckedContinuation { continuation in
            kraft.withDriver(adapter: adapter) { continuation.resume(returning: body($0)) }
        }
    }
}

extension NodeDriver {
    /// Nil when there is no such group.
    func status(named name: String) -> GroupStatus? {
        GroupName(name).flatMap { slot(of: $0) }.map { status(of: $0) }
    }
}
