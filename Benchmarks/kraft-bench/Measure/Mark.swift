import Foundation
import KraftMultiRaft

/// How far one node's counters stand at one moment.
struct Mark: Codable, Sendable {
    var clock: UInt64
    var usage: ProcessUsage
    var counters: Counters
    /// Since the last mark that started a measurement; empty in that one itself.
    var latencies = Latencies()

    init(_ metrics: NodeMetrics) {
        clock = monotonicClock()
        usage = .current()
        counters = Counters(metrics)
    }
}

extension Mark {
    /// Another loop of the same process, at the same moment.
    mutating func add(_ other: Mark) {
        counters += other.counters
        latencies.add(other.latencies)
    }
}

/// The counters of a node that the benchmark tells of.
struct Counters: Codable, Sendable {
    var framesSent: UInt64
    var bytesSent: UInt64
    var logWrites: UInt64
    var logBytesWritten: UInt64
    var entriesAppended: UInt64
    var snapshotsInstalled: UInt64

    init(_ metrics: NodeMetrics) {
        framesSent = metrics.framesSent
        bytesSent = metrics.bytesSent
        logWrites = metrics.logWrites
        logBytesWritten = metrics.logBytesWritten
        entriesAppended = metrics.entriesAppended
        snapshotsInstalled = metrics.snapshotsInstalled
    }

    static func += (all: inout Counters, part: Counters) {
        all.framesSent += part.framesSent
        all.bytesSent += part.bytesSent
        all.logWrites += part.logWrites
        all.logBytesWritten += part.logBytesWritten
        all.entriesAppended += part.entriesAppended
        all.snapshotsInstalled += part.snapshotsInstalled
    }
}

/// What a process has used of the machine.
struct ProcessUsage: Codable, Sendable {
    var userMicroseconds: UInt64
    var systemMicroseconds: UInt64
    var residentBytes: UInt64
    /// The most that it ever was.
    var peakResidentBytes: UInt64

    var cpuMicroseconds: UInt64 { userMicroseconds + systemMicroseconds }

    static func current() -> ProcessUsage {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return ProcessUsage(
            userMicroseconds: microseconds(usage.ru_utime),
            systemMicroseconds: microseconds(usage.ru_stime), residentBytes: resident(),
            peakResidentBytes: UInt64(usage.ru_maxrss) * 1_024)
    }

    private static func microseconds(_ time: timeval) -> UInt64 {
        UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_usec)
    }

    private static func resident() -> UInt64 {
        let fields = contents(ofFile: "/proc/self/statm").split(separator: " ")
        guard fields.count > 1, let pages = UInt64(fields[1]) else { return 0 }
        return pages * UInt64(sysconf(Int32(_SC_PAGESIZE)))
    }
}

/// Nanoseconds on the clock that the node's loop uses too.
@inline(__always)
func monotonicClock() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}

/// A file's text; empty when there is none.
func contents(ofFile path: String) -> String {
    (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
}
