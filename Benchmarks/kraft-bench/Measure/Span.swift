/// What one node did between two marks.
struct Span: Sendable {
    var seconds: Double
    var userMicroseconds: UInt64
    var systemMicroseconds: UInt64
    var residentBytes: UInt64
    var framesSent: UInt64
    var bytesSent: UInt64
    var logWrites: UInt64
    var logBytesWritten: UInt64
    var entriesAppended: UInt64
    var latencies: Latencies

    init(from start: Mark, to end: Mark) {
        seconds = Double(end.clock - start.clock) / 1e9
        userMicroseconds = end.usage.userMicroseconds - start.usage.userMicroseconds
        systemMicroseconds = end.usage.systemMicroseconds - start.usage.systemMicroseconds
        residentBytes = end.usage.residentBytes
        framesSent = end.counters.framesSent - start.counters.framesSent
        bytesSent = end.counters.bytesSent - start.counters.bytesSent
        logWrites = end.counters.logWrites - start.counters.logWrites
        logBytesWritten = end.counters.logBytesWritten - start.counters.logBytesWritten
        entriesAppended = end.counters.entriesAppended - start.counters.entriesAppended
        latencies = end.latencies
    }

    var cpuMicroseconds: UInt64 { userMicroseconds + systemMicroseconds }
}

extension [Span] {
    /// All nodes' together, per second of each node's own span.
    func rate(_ count: (Span) -> UInt64) -> Double {
        reduce(0) { $0 + Double(count($1)) / Swift.max($1.seconds, 1e-9) }
    }

    var latencies: Latencies {
        var all = Latencies()
        for span in self { all.add(span.latencies) }
        return all
    }

    func total(_ count: (Span) -> UInt64) -> Double { reduce(0) { $0 + Double(count($1)) } }
}

/// The percentiles of latencies, in microseconds.
struct Percentiles: Codable, Sendable {
    var p50: Double
    var p99: Double
    var p999: Double
    var max: Double

    init(_ latencies: Latencies) {
        p50 = latencies.percentile(50)
        p99 = latencies.percentile(99)
        p999 = latencies.percentile(99.9)
        max = latencies.percentile(100)
    }
}
