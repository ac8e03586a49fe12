import KraftMultiRaft
import Synchronization

/// Clients as a program has them: tasks that await `Group.propose`, one or several commands a call, or
/// `Group.read`.
final class AsyncClients: Sendable {
    /// Clients share few histograms, so that many clients cost little memory.
    private static let shardCount = 16

    private let shards = (0..<shardCount).map { _ in Shard() }
    let isIssuing = Atomic(true)
    private let tasks = Mutex<[Task<ClientTally, Never>]>([])
    /// Where they run; nil: on the global executor.
    private let executor: (any TaskExecutor)?

    init(executor: (any TaskExecutor)?) { self.executor = executor }

    final class Shard: Sendable {
        let latencies = Mutex(Latencies())
    }

    func start(_ workload: Workload, _ groups: [Group<CountingMachine>]) {
        var number = 0
        for (place, group) in groups.enumerated() {
            let inFlight = workload.inFlight[place]
            for start in stride(from: 0, to: inFlight, by: workload.batch) {
                let count = min(workload.batch, inFlight - start)
                let first = UInt64(start) << 40
                let shard = shards[number % AsyncClients.shardCount]
                number += 1
                let client: @Sendable () async -> ClientTally = { [self] in
                    if let reads = workload.reads {
                        await read(place, group, reads, workload, shard)
                    } else {
                        await write(
                            workload.groups[place], group, count: count, first: first, workload,
                            shard)
                    }
                }
                // Not with a preference of nil: to look for one costs each resumption.
                let task =
                    if let executor {
                        Task(executorPreference: executor) { await client() }
                    } else {
                        Task { await client() }
                    }
                tasks.withLock { $0.append(task) }
            }
        }
    }

    /// The latencies since the last call with `isStart`.
    func latencies(isStart: Bool) -> Latencies {
        var all = Latencies()
        for shard in shards {
            shard.latencies.withLock { latencies in
                if isStart { latencies.removeAll() }
                all.add(latencies)
            }
        }
        return all
    }

    func drain() async -> [ClientTally] {
        isIssuing.store(false, ordering: .relaxed)
        var tallies: [ClientTally] = []
        for task in tasks.withLock({ $0 }) { tallies.append(await task.value) }
        return tallies
    }

    private func write(
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

extension AsyncClients {
    fileprivate func read(
        _ place: Int, _ group: Group<CountingMachine>, _ reads: Workload.Reads,
        _ workload: Workload, _ shard: Shard
    ) async -> ClientTally {
        var tally = ClientTally(group: workload.groups[place])
        while isIssuing.load(ordering: .relaxed) {
            let start = monotonicClock()
            do throws(KraftError) {
                let state = try await group.read(.init(), reads.level.consistency)
                tally.readCount += 1
                if state.applied.count < reads.minimumCounts[place] { tally.staleCount += 1 }
                let took = monotonicClock() - start
                shard.latencies.withLock { $0.record(took) }
            } catch {
                tally.refusedCount += 1
            }
        }
        return tally
    }
}

extension ReadLevel {
    fileprivate var consistency: ReadConsistency {
        switch self {
        case .linearizable: .linearizable
        case .lease: .lease
        case .local: .local
        }
    }
}

extension ClientTally {
    mutating func count(_ error: KraftError) {
        if error.code == .outcomeUnknown { unknownCount += 1 } else { refusedCount += 1 }
    }
}
