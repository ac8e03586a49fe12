import KraftEngine
import KraftKeyValue
import KraftTestKit
import RaftCore
import Testing

/// Clients of a simulated key-value store who write down what they ask and are told.
private final class HistoryKeeper<Machine: StateMachine>
where
    Machine.Command == KeyValueStore.Command, Machine.Reply == KeyValueStore.Reply,
    Machine.Query == KeyValueStore.Query, Machine.Answer == KeyValueStore.Answer
{
    private(set) var history = KeyHistory()
    private let simulation: Simulation<Machine>
    private var random: SeededRandom
    private var processes = 0
    private var writes = 0
    private var isStopped = false
    /// Versions that some client knows of.
    private var versions: [UInt64] = [0]

    init(_ simulation: Simulation<Machine>) {
        self.simulation = simulation
        random = SeededRandom(seed: simulation.seed, stream: 50)
    }

    func start(clients: Int) { for _ in 0..<clients { next(newProcess) } }
    func stop() { isStopped = true }

    private var newProcess: Int {
        processes += 1
        return processes
    }

    private func next(_ process: Int) {
        simulation.after(Nanoseconds(UInt64(random.below(20_000_000)))) { [self] in
            if !isStopped { act(process) }
        }
    }

    private func act(_ process: Int) {
        let key = "k\(random.below(4))"
        let node = NodeID(UInt32(1 + random.below(simulation.nodeIDs.count)))
        let operation = operation()
        let ticket = history.invoke(
            process: process, on: key, operation, at: simulation.now.rawValue)
        guard let storeKey = KeyValueStore.Key(key) else { return }
        guard let command = command(operation, storeKey) else {
            simulation.read(on: node, group: "keys", .get(storeKey)) { [self] outcome in
                end(ticket, process, outcome) { answer in
                    switch answer {
                    case .value(let value, let version):
                        versions.append(version.rawValue)
                        return .value(value, version: version.rawValue)
                    default: return .missing
                    }
                }
            }
            return
        }
        simulation.propose(on: node, group: "keys", command) { [self] outcome in
            var index: UInt64?
            if case .done(let place, _) = outcome { index = place.rawValue }
            end(ticket, process, outcome) { self.answer($0, index: index) }
        }
    }

    private func operation() -> KeyOperation {
        writes += 1
        let bytes = Array("\(writes);".utf8)
        let version = random.pick(Array(versions.suffix(4)) + [0])
        return switch random.below(12) {
        case 0...4: .get
        case 5...6: .put(bytes)
        case 7: .put(bytes, ifVersion: version)
        case 8: .delete(ifVersion: random.chance(500) ? version : nil)
        case 9...10: .append(bytes)
        default: .increment(by: 1)
        }
    }

    private func command(
        _ operation: KeyOperation, _ key: KeyValueStore.Key
    ) -> KeyValueStore.Command? {
        switch operation {
        case .get: nil
        case .put(let value, let version):
            .put(key, value: value, ifVersion: version.map { LogIndex($0) })
        case .delete(let version): .delete(key, ifVersion: version.map { LogIndex($0) })
        case .append(let piece): .append(key, value: piece)
        case .increment(let by): .increment(key, by: by)
        }
    }

    private func answer(_ reply: KeyValueStore.Reply, index: UInt64?) -> KeyAnswer {
        switch reply {
        case .written(let version):
            versions.append(version.rawValue)
            return .written(version: version.rawValue)
        case .deleted(let existed): return .deleted(existed: existed, index: index)
        case .appended(let version, let length):
            return .appended(length: Int(length), version: version.rawValue)
        case .incremented(let version, let value):
            return .incremented(value: value, version: version.rawValue)
        case .conflict(.version(let actual)): return .conflict(version: actual.rawValue)
        case .conflict, .tooLarge: return .conflict(version: nil)
        }
    }

    private func end<Value>(
        _ ticket: KeyHistory.Ticket, _ process: Int, _ outcome: RequestOutcome<Value>,
        _ answer: (Value) -> KeyAnswer
    ) {
        let now = simulation.now.rawValue
        switch outcome {
        case .done(_, let value): history.end(ticket, .answered(answer(value), at: now))
        case .refused: history.end(ticket, .refused(at: now))
        case .unknown, .pending: return next(newProcess)
        }
        next(process)
    }
}

/// A store that now and then answers a read from an earlier state.
private struct ForgetfulStore: StateMachine {
    var store = KeyValueStore()
    var earlier = KeyValueStore()

    mutating func apply(
        _ command: KeyValueStore.Command, at index: LogIndex
    ) -> KeyValueStore.Reply {
        if index.rawValue.isMultiple(of: 5) { earlier = store }
        return store.apply(command, at: index)
    }

    func answer(_ query: KeyValueStore.Query) -> KeyValueStore.Answer {
        store.digest().isMultiple(of: 7) ? earlier.answer(query) : store.answer(query)
    }

    func digest() -> UInt64 { store.digest() }

    func snapshot() -> StoreSnapshot { store.snapshot() }
    mutating func restore(from pieces: inout SnapshotPieces) throws {
        try store.restore(from: &pieces)
        earlier = store
    }
}

@Suite("Histories of simulated clusters")
struct SimulatedHistoryTests {
    private func run<Machine: StateMachine>(
        seed: UInt64, _ makeMachine: @escaping () -> Machine
    ) -> LinearizabilityReport
    where
        Machine.Command == KeyValueStore.Command, Machine.Reply == KeyValueStore.Reply,
        Machine.Query == KeyValueStore.Query, Machine.Answer == KeyValueStore.Answer
    {
        var options = SimulationOptions()
        options.checks.commandsAreUnique = false
        let simulation = Simulation(seed: seed, nodes: 3, groups: ["keys"], options: options) {
            _ in makeMachine()
        }
        let keeper = HistoryKeeper(simulation)
        var random = SeededRandom(seed: seed, stream: 51)
        simulation.run(for: .seconds(2))
        keeper.start(clients: 6)
        for _ in 0..<4 {
            simulation.run(for: .seconds(1))
            let victim = NodeID(UInt32(1 + random.below(3)))
            switch random.below(3) {
            case 0: simulation.crash(victim)
            case 1: simulation.partition([victim])
            default: simulation.pause(victim, for: .seconds(60))
            }
            simulation.run(for: Nanoseconds(UInt64(random.below(2_500_000_000))))
            simulation.heal()
            simulation.resumeAll()
            simulation.restart(victim)
        }
        simulation.run(for: .seconds(2))
        keeper.stop()
        simulation.run(for: .seconds(8))
        #expect(simulation.violations.isEmpty, "seed \(seed): \(simulation.violations)")
        let history = keeper.history
        simulation.close()
        return LinearizabilityChecker(KeyValueModel()).check(history)
    }

    @Test("are linearizable, whatever happens to the nodes")
    func right() {
        var total = (operations: 0, open: 0)
        for seed in UInt64(1)...4 {
            let report = run(seed: seed) { KeyValueStore() }
            #expect(report.verdict == .linearizable, "seed \(seed): \(report)")
            total.operations += report.operations
            total.open += report.open
        }
        #expect(total.operations > 10_000)
        #expect(total.open > 0)
    }

    @Test("show a store that answers from the past")
    func wrong() {
        let report = run(seed: 1) { ForgetfulStore() }
        #expect(report.verdict == .violated)
        #expect("\(report)".contains("what follows has no order from there"))
    }
}
