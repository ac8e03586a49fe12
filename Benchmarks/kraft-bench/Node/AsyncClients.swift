import KraftMultiRaft
import Synchronization

/// Clients as a program has them: tasks that await `Group.propose`, one or several commands a call.
final class AsyncClients: Sendable {
    /// Clients share few histograms, so that many clients cost little memory.
    private static let shardCount = 16

    private let shards = (0..<shardCount).map { _ in Shard() }
    private let isIssuing = Atomic(true)
    private let tasks = Mutex<[Task<ClientTally, Never>]>([])

    private final class Shard: Sendable {
        let latencies = Mutex(Latencies())
    }

    func start(_ workload: Workload, _ groups: [Group<CountingMachine>]) {
        var number = 0
        for (name, group) in zip(workload.groups, groups) {
            for start in stride(from: 0, to: workload.inFlight, by: workload.batch) {
                let count = min(workload.batch, workload.inFlight - start)
                let first = UInt64(start) << 40
                let shard = shards[number % AsyncClients.shardCount]
                number += 1
                let task = Task {
                    await run(name, group, count: count, first: first, workload, shard)
                }
                tasks.withLock { $0.append(task) }
            }
        }
    }

    /// The latencies since the last mark that started a measurement.
    func mark(isStart: Bool, _ metrics: NodeMetrics) -> Mark {
        var mark = Mark(metrics)
        for shard in shards {
            shard.latencies.withLock { latencies in
                if isStart { latencies.removeAll() }
                mark.latencies.add(latencies)
            }
        }
        return mark
    }

    func drain() async -> [ClientTally] {
        isIssuing.store(false, ordering: .relaxed)
        var tallies: [ClientTally] = []
        for task in tasks.withLock({ $0 }) { tallies.append(await task.value) }
        return tallies
    }

    private func run(
        _ name: String, _ group: Group<CountingMachine>, count: Int, first: UInt64,
        _ workload: Workload, _ shard: Shard
    ) async -> ClientTally {
        var tally = ClientTally(group: name)
        var sequence = first
        while isIssuing.load(ordering: .relaxed) {
            let start = monotonicClock()
            var isDone = 0
            if workload.batch == 1 {
                let command = BenchCommand(sequence: sequence, size: workload.payloadSizeBytes)
                do throws(KraftError) {
                    _ = try await group.propose(command)
                    tally.acknowledged.add(sequence)
                    isDone = 1
                } catch {
                    tally.count(error)
                }
            } else {
                let commands = (0..<count).map {
                    BenchCommand(sequence: sequence + UInt64($0), size: workload.payloadSizeBytes)
                }
                let results = await group.propose(commands)
                for (command, result) in zip(commands, results) {
                    switch result {
                    case .success:
                        tally.acknowledged.add(command.sequence)
                        isDone += 1
                    case .failure(let error): tally.count(error)
                    }
                }
            }
            let took = monotonicClock() - start
            if isDone > 0 {
                shard.latencies.withLock { $0.record(took, count: UInt64(isDone)) }
            }
            sequence += UInt64(count)
        }
        return tally
    }
}

extension ClientTally {
    mutating func count(_ error: KraftError) {
        if error.code == .outcomeUnknown { unknownCount += 1 } else { refusedCount += 1 }
    }
}
