import Foundation

/// Many groups are created in one go; then they do nothing; then a node is started anew.
struct StartUpRun {
    private static let restarted = 2

    private let groups: Int
    private let idleSeconds: Double
    private let folder: String
    private let remains: Remains

    init(groups: Int, idleSeconds: Double, folder: String, _ remains: Remains) {
        (self.groups, self.idleSeconds) = (groups, idleSeconds)
        (self.folder, self.remains) = (folder, remains)
    }

    func measure() async throws -> StartUpReport.Row {
        progress("starting three nodes")
        var cluster = try await BenchCluster.start(in: folder, remains)
        let names = BenchCluster.groupNames(groups)
        let empty = try await cluster.residentBytes()
        progress("creating \(groups) groups")
        let clock = ContinuousClock()
        let begun = clock.now
        _ = try await cluster.ask(.create(groups: names))
        let created = clock.now - begun
        try await cluster.awaitLeaders(names.count)
        let led = clock.now - begun
        // The elections' last messages and timers.
        try await Task.sleep(for: .seconds(2))
        progress("doing nothing")
        let idle = try await Meter.measure(cluster, seconds: idleSeconds)
        let full = try await cluster.residentBytes()

        progress("starting node \(StartUpRun.restarted + 1) anew")
        await cluster.stop(StartUpRun.restarted)
        try await Task.sleep(for: .seconds(0.5))
        let stopped = clock.now
        try await cluster.restart(StartUpRun.restarted)
        let listening = clock.now - stopped
        _ = try await cluster.nodes[StartUpRun.restarted].ask(
            .create(groups: names))
        // All its groups have a leader that it knows: it serves requests for each.
        _ = try await cluster.nodes[StartUpRun.restarted].ask(.awaitLeaders)
        let serving = clock.now - stopped
        remains.endProcesses()
        return StartUpReport.Row(
            groups: groups, createSeconds: created / .seconds(1), ledSeconds: led / .seconds(1),
            bytesPerGroup: (full - empty) / Double(groups),
            idleCPUPercent: idle.nodes.rate(\.cpuMicroseconds) / 1e4,
            idleFramesPerSecond: idle.nodes.rate(\.framesSent),
            listenSeconds: listening / .seconds(1), serveSeconds: serving / .seconds(1))
    }
}
