import Foundation
import KraftTestKit

/// Runs many seeds in one process per core, each seed in one thread and deterministic; tells how it
/// goes, and minimises the first seed that fails.
final class Fleet {
    private static let size = UInt64(max(1, min(8, ProcessInfo.processInfo.activeProcessorCount)))
    private static let secondsBetweenLines = 5.0

    private let first: UInt64
    private let end: UInt64
    private let seconds: Double?
    private var summary = SwarmSummary()
    private var failures: [(seed: UInt64, text: String)] = []
    private var crew: [Member] = []
    private let began = ProcessInfo.processInfo.systemUptime

    private struct Member {
        var child: Child
        var running: UInt64
    }

    init(from first: UInt64, count: UInt64) {
        self.first = first
        end = first + count
        seconds = nil
    }

    init(from first: UInt64, minutes: UInt64) {
        self.first = first
        end = .max
        seconds = Double(minutes) * 60
    }

    private var elapsed: Double { ProcessInfo.processInfo.systemUptime - began }

    /// Returns the exit code.
    func run() -> Int32 {
        for number in 0..<Fleet.size { launch(from: first + number) }
        var nextLine = Fleet.secondsBetweenLines
        while !crew.isEmpty {
            listen()
            if elapsed >= nextLine {
                say(progress)
                nextLine = elapsed + Fleet.secondsBetweenLines
            }
            if let seconds, elapsed >= seconds { break }
            // One failure is enough to look at; several may tell more.
            if failures.count >= 3 { break }
        }
        for member in crew { member.child.stop() }
        return conclude()
    }

    private func launch(from seed: UInt64) {
        guard seed < end else { return }
        do {
            let child = try Child(["--worker", String(seed), String(Fleet.size), String(end)])
            crew.append(Member(child: child, running: seed))
        } catch {
            say("can't start a worker: \(error)")
        }
    }

    // MARK: Hearing

    private func listen() {
        var waits = crew.map { pollfd(fd: $0.child.descriptor, events: Int16(POLLIN), revents: 0) }
        guard poll(&waits, nfds_t(waits.count), 500) > 0 else { return }
        for place in waits.indices.reversed() where waits[place].revents != 0 {
            guard let lines = crew[place].child.lines() else {
                bury(place)
                continue
            }
            for line in lines { hear(line, place) }
        }
    }

    private func hear(_ line: String, _ place: Int) {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        guard words.count == 2 else { return }
        switch words[0] {
        case "begin": crew[place].running = UInt64(words[1]) ?? crew[place].running
        case "violation":
            say("VIOLATION seed \(words[1])")
            failures.append((crew[place].running, words[1]))
        case "end":
            let numbers = words[1].split(separator: " ").compactMap { UInt64($0) }
            if let part = SwarmSummary(numbers: numbers) { summary += part }
        default: break
        }
    }

    private func bury(_ place: Int) {
        let member = crew.remove(at: place)
        guard member.child.wasKilled() else { return }
        say("VIOLATION seed \(member.running) trapped")
        summary.addTrap()
        failures.append((member.running, "a trap"))
        launch(from: member.running + Fleet.size)
    }

    // MARK: Telling

    /// Of the children, and of this process.
    private var cpuSeconds: Double {
        var usage = rusage()
        var total = 0.0
        for who in [RUSAGE_CHILDREN.rawValue, RUSAGE_SELF.rawValue] {
            getrusage(__rusage_who_t(who), &usage)
            for time in [usage.ru_utime, usage.ru_stime] {
                total += Double(time.tv_sec) + Double(time.tv_usec) / 1e6
            }
        }
        return total
    }

    private var progress: String {
        let rate = Double(summary.seeds) / max(elapsed, 0.001)
        return String(
            format: "%5.0f s  %d seeds  %.2f simulated hours  %.1f seeds/s  %d violations", elapsed,
            summary.seeds, summary.simulatedHours, rate, summary.violations)
    }

    private func conclude() -> Int32 {
        for line in summary.lines { say("  \(line)") }
        say(summary.headline(cpuSeconds: cpuSeconds))
        guard let (seed, text) = failures.min(by: { $0.seed < $1.seed }) else { return 0 }
        say("seed \(seed): \(text)")
        say("reproduce: make sim SEED=\(seed)")
        return max(1, Replay.minimize(.drawn(from: seed)))
    }
}
