import Foundation

/// A stretch of a cluster's work, measured: what each node did, and what others took meanwhile.
struct Meter {
    var nodes: [Span]
    var percentUsedByOthers: Double

    /// Measures the cluster during `body`.
    static func measure(
        _ cluster: BenchCluster, _ body: () async throws -> Void
    ) async throws -> Meter {
        let load = MachineLoad.current()
        let own = ProcessUsage.current()
        let starts = try await cluster.marks(isStart: true)
        try await body()
        let ends = try await cluster.marks(isStart: false)
        let ownUsed = ProcessUsage.current().cpuMicroseconds - own.cpuMicroseconds
        let spans = zip(starts, ends).map { Span(from: $0, to: $1) }
        return Meter(
            nodes: spans,
            percentUsedByOthers: MachineLoad.percentOfOthers(
                from: load, to: .current(),
                ourMicroseconds: spans.reduce(ownUsed) { $0 + $1.cpuMicroseconds },
                cores: ProcessInfo.processInfo.activeProcessorCount))
    }

    static func measure(_ cluster: BenchCluster, seconds: Double) async throws -> Meter {
        try await measure(cluster) { try await Task.sleep(for: .seconds(seconds)) }
    }
}
