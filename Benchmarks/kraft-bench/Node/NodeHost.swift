import KraftMultiRaft
import Logging
import Synchronization

/// Carries out the parent's orders on one node.
final class NodeHost: Sendable {
    private enum Clients: Sendable {
        case none
        case loop(LoopClients)
        case tasks(AsyncClients)
    }

    private static let patience: Duration = .seconds(60)

    private let kraft: KraftMultiRaft
    private let node: NodeID
    private let clients = Mutex(Clients.none)

    init(_ setup: NodeSetup) throws {
        node = NodeID(setup.node)
        var configuration = KraftConfiguration(
            node: node, dataDirectory: setup.dataDirectory, listen: setup.listen,
            peers: Dictionary(uniqueKeysWithValues: setup.peers.map { (NodeID($0), $1) }))
        configuration.clusterID = "kraft-bench"
        configuration.requestTimeout = .seconds(30)
        var logger = Logger(label: "kraft-bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        configuration.logger = logger
        kraft = try KraftMultiRaft(configuration)
    }

    func start() async throws { try await kraft.start() }

    func carryOut(_ order: Order) async throws -> Answer {
        switch order {
        case .create(let names, let size): return try await create(names, stateBytes: size)
        case .awaitLeaders: return try await awaitLeaders()
        case .lead(let names): return try await lead(names)
        case .begin(let workload): return try await begin(workload)
        case .mark(let isStart): return .mark(try await mark(isStart: isStart))
        case .drain: return .drained(try await drain())
        case .look(let names): return .replicas(try await look(names))
        case .quit: return .done
        }
    }

    // MARK: Groups

    /// All at once, so that they share their syncs.
    private func create(_ names: [String], stateBytes: Int) async throws -> Answer {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for name in names {
                tasks.addTask { [kraft] in
                    _ = try await kraft.createGroup(name) {
                        CountingMachine(stateBytes: stateBytes)
                    }
                }
            }
            try await tasks.waitForAll()
        }
        return .done
    }

    private func awaitLeaders() async throws -> Answer {
        let deadline = ContinuousClock.now + NodeHost.patience
        while true {
            let groups = await kraft.status().groups
            if groups.allSatisfy({ !$0.leader.isNone }) {
                return .leading(groups: groups.count { $0.role == .leader })
            }
            guard ContinuousClock.now < deadline else {
                throw BenchFailure("\(groups.count { $0.leader.isNone }) groups have no leader")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
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
        switch workload.clients {
        case .loop:
            let made = try await onLoop { driver in
                let made = LoopClients(driver, workload)
                made?.start()
                return made
            }
            guard let made else { throw BenchFailure("a group isn't there") }
            clients.withLock { $0 = .loop(made) }
        case .async:
            let groups = try workload.groups.map { try kraft.group($0, of: CountingMachine.self) }
            let made = AsyncClients()
            clients.withLock { $0 = .tasks(made) }
            made.start(workload, groups)
        }
        return .done
    }

    private func mark(isStart: Bool) async throws -> Mark {
        let clients = clients.withLock { $0 }
        return try await onLoop { driver in
            switch clients {
            case .none: Mark(driver.nodeMetrics)
            case .loop(let clients): clients.mark(isStart: isStart)
            case .tasks(let clients): clients.mark(isStart: isStart, driver.nodeMetrics)
            }
        }
    }

    private func drain() async throws -> [ClientTally] {
        switch clients.withLock({ $0 }) {
        case .none: return []
        case .tasks(let clients): return await clients.drain()
        case .loop(let clients):
            return await withCheckedContinuation { continuation in
                kraft.withDriver { _ in clients.drain { continuation.resume(returning: $0) } }
            }
        }
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

    /// Runs `body` on the node's loop. The node runs for as long as its process takes orders.
    private func onLoop<Value: Sendable>(
        _ body: @escaping @Sendable (NodeDriver) -> Value
    ) async throws -> Value {
        await withCheckedContinuation { continuation in
            kraft.withDriver { continuation.resume(returning: body($0)) }
        }
    }
}
