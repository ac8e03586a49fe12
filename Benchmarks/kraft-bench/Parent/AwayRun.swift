import Foundation

/// Three nodes under a load; node 3 goes, misses a great many entries, and comes back.
struct AwayRun {
    private static let absent = 2
    /// Proposals under way in each group, while the entries are written that are missed.
    private static let inFlightMeanwhile = 256
    private static let patience: Duration = .seconds(300)

    private let settings: AwaySettings
    private let folder: String
    private let remains: Remains
    private let names: [String]
    private let machine: MachineSetup

    init(_ settings: AwaySettings, folder: String, _ remains: Remains) {
        (self.settings, self.folder, self.remains) = (settings, folder, remains)
        names = BenchCluster.groupNames(settings.groups)
        machine = MachineSetup(stateBytes: settings.stateSizeBytes)
    }

    func measure() async throws -> AwayReport {
        progress("starting three nodes")
        var cluster = try await BenchCluster.start(in: folder, remains)
        progress("creating \(names.count) groups")
        try await cluster.create(names, machine)
        try await ask(cluster) { .lead(groups: share($0)) }
        var tallies: [ClientTally] = []

        progress("proposing with all nodes")
        try await begin(cluster, inFlight: settings.inFlight)
        try await Task.sleep(for: .seconds(1))
        let before = try await phase(cluster) { try await Task.sleep(for: .seconds($0)) }

        progress("proposing without node 3")
        await cluster.stop(AwayRun.absent)
        tallies += try await drain(cluster)
        try await begin(cluster, inFlight: AwayRun.inFlightMeanwhile)
        try await writeMissed(cluster)
        tallies += try await drain(cluster)
        try await begin(cluster, inFlight: settings.inFlight)
        try await Task.sleep(for: .seconds(1))
        let without = try await phase(cluster) { try await Task.sleep(for: .seconds($0)) }

        progress("node 3 comes back")
        let clock = ContinuousClock()
        let returned = clock.now
        var back: Duration = .zero
        let during = try await phase(cluster) { _ in
            try await cluster.restart(AwayRun.absent)
            _ = try await cluster.nodes[AwayRun.absent].ask(
                .create(groups: names, machine: machine))
            try await catchUp(cluster)
            back = clock.now - returned
        }
        let after = try await phase(cluster) { try await Task.sleep(for: .seconds($0)) }

        progress("checking the result")
        tallies += try await drain(cluster)
        let check = try await ResultCheck.make(cluster, names: names, tallies: tallies)
        let ends = try await cluster.marks(isStart: false)
        remains.endProcesses()
        return AwayReport(
            settings: settings, before: before, without: without, during: during, after: after,
            secondsToReturn: back / .seconds(1),
            snapshotsInstalled: ends[AwayRun.absent].counters.snapshotsInstalled,
            peakResidentBytes: ends.map(\.usage.peakResidentBytes), check: check,
            machine: Machine(folder: folder))
    }

    // MARK: The nodes that stay

    private func share(_ place: Int) -> [String] {
        names.indices.filter { $0 % AwayRun.absent == place }.map { names[$0] }
    }

    @discardableResult
    private func ask(_ cluster: BenchCluster, _ order: (Int) -> Order) async throws -> [Answer] {
        var answers: [Answer] = []
        for place in 0..<AwayRun.absent {
            answers.append(try await cluster.nodes[place].ask(order(place)))
        }
        return answers
    }

    private func begin(_ cluster: BenchCluster, inFlight: Int) async throws {
        try await ask(cluster) { place in
            .begin(
                Workload(
                    groups: share(place), inFlight: inFlight,
                    payloadSizeBytes: settings.payloadSizeBytes))
        }
    }

    private func drain(_ cluster: BenchCluster) async throws -> [ClientTally] {
        try await ask(cluster) { _ in .drain }.flatMap { answer in
            guard case .drained(let tallies) = answer else { throw BenchFailure("no tallies") }
            return tallies
        }
    }

    private func marks(_ cluster: BenchCluster, isStart: Bool) async throws -> [Mark] {
        try await ask(cluster) { _ in .mark(isStart: isStart) }.map { answer in
            guard case .mark(let mark) = answer else { throw BenchFailure("no mark") }
            return mark
        }
    }

    /// What the nodes that lead did meanwhile.
    private func phase(
        _ cluster: BenchCluster, _ body: (Double) async throws -> Void
    ) async throws -> AwayReport.Phase {
        let starts = try await marks(cluster, isStart: true)
        try await body(settings.seconds)
        let ends = try await marks(cluster, isStart: false)
        return AwayReport.Phase(zip(starts, ends).map { Span(from: $0, to: $1) })
    }

    /// Waits until as many entries were written as are to be missed.
    private func writeMissed(_ cluster: BenchCluster) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + AwayRun.patience
        let start = try await entriesAppended(cluster)
        // Each of the nodes appends all of them.
        while try await entriesAppended(cluster) < start + UInt64(AwayRun.absent * settings.entries)
        {
            guard clock.now < deadline else { throw BenchFailure("the entries take too long") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func entriesAppended(_ cluster: BenchCluster) async throws -> UInt64 {
        try await ask(cluster) { _ in .mark(isStart: false) }.reduce(0) { sum, answer in
            guard case .mark(let mark) = answer else { throw BenchFailure("no mark") }
            return sum + mark.counters.entriesAppended
        }
    }

    /// Waits until node 3 has applied what node 1 had applied when it was asked.
    private func catchUp(_ cluster: BenchCluster) async throws {
        let clock = ContinuousClock()
        let deadline = clock.now + AwayRun.patience
        let goals = try await replicas(cluster.nodes[0])
        if let obstacle = goals.lazy.compactMap(\.obstacle).first {
            throw BenchFailure("node 1: \(obstacle)")
        }
        var obstacle: String?
        while true {
            let now = try await replicas(cluster.nodes[AwayRun.absent])
            // A replica that is being restored can't be asked: it isn't there yet.
            let isThere = zip(now, goals).allSatisfy { replica, goal in
                replica.obstacle == nil && replica.appliedIndex >= goal.appliedIndex
            }
            if isThere { return }
            obstacle = now.lazy.compactMap(\.obstacle).first ?? obstacle
            guard clock.now < deadline else {
                let reason = obstacle.map { ": \($0)" } ?? ""
                throw BenchFailure("node 3 doesn't catch up\(reason)")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func replicas(_ node: BenchNode) async throws -> [ReplicaTally] {
        guard case .replicas(let replicas) = try await node.ask(.look(groups: names)) else {
            throw BenchFailure("no replicas")
        }
        return replicas
    }
}
