import Foundation

/// One measurement of idle groups.
struct IdleRun {
    private let groups: Int
    private let seconds: Double
    private let folder: String
    private let remains: Remains

    init(groups: Int, seconds: Double, folder: String, _ remains: Remains) {
        (self.groups, self.seconds) = (groups, seconds)
        (self.folder, self.remains) = (folder, remains)
    }

    func measure() async throws -> IdleReport.Row {
        progress("starting three nodes")
        let cluster = try await BenchCluster.start(in: folder, remains)
        progress("creating \(groups) groups")
        let clock = ContinuousClock()
        let started = clock.now
        try await cluster.create(BenchCluster.groupNames(groups))
        let readySeconds = (clock.now - started) / .seconds(1)
        // The elections' last messages and timers.
        try await Task.sleep(for: .seconds(2))

        progress("doing nothing")
        let own = ProcessUsage.current()
        let load = MachineLoad.current()
        let starts = try await cluster.marks(isStart: true)
        try await Task.sleep(for: .seconds(seconds))
        let ends = try await cluster.marks(isStart: false)
        let ownUsed = ProcessUsage.current().cpuMicroseconds - own.cpuMicroseconds
        let spans = zip(starts, ends).map { Span(from: $0, to: $1) }
        let others = MachineLoad.percentOfOthers(
            from: load, to: .current(),
            ourMicroseconds: spans.reduce(ownUsed) { $0 + $1.cpuMicroseconds },
            cores: ProcessInfo.processInfo.activeProcessorCount)
        remains.endProcesses()
        return IdleReport.Row(
            groups: groups, nodes: spans, readySeconds: readySeconds, percentUsedByOthers: others)
    }
}
