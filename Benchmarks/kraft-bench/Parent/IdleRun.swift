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
        let empty = try await cluster.residentBytes()
        progress("creating \(groups) groups")
        let clock = ContinuousClock()
        let started = clock.now
        try await cluster.create(BenchCluster.groupNames(groups))
        let readySeconds = (clock.now - started) / .seconds(1)
        // The elections' last messages and timers.
        try await Task.sleep(for: .seconds(2))

        progress("doing nothing")
        let meter = try await Meter.measure(cluster, seconds: seconds)
        remains.endProcesses()
        return IdleReport.Row(
            groups: groups, meter: meter, emptyBytes: empty, readySeconds: readySeconds)
    }
}
