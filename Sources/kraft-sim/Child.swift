import Foundation
import KraftTestKit

/// This program once more, as a child.
final class Child {
    private let process = Process()
    private let pipe = Pipe()
    private var held = Data()

    init(_ arguments: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        process.standardOutput = pipe
        try process.run()
    }

    var descriptor: Int32 { pipe.fileHandleForReading.fileDescriptor }

    func stop() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }

    /// Waits for the end. True when a signal ended it.
    func wasKilled() -> Bool {
        process.waitUntilExit()
        return process.terminationReason == .uncaughtSignal
    }

    /// The next whole lines; nil at the end of the output. Waits until there is something.
    func lines() -> [String]? {
        let data = pipe.fileHandleForReading.availableData
        guard !data.isEmpty else { return nil }
        held.append(data)
        guard let end = held.lastIndex(of: 10) else { return [] }
        let text = String(decoding: held[..<end], as: UTF8.self)
        held = Data(held[held.index(after: end)...])
        return text.split(separator: "\n").map(String.init)
    }

    /// What a plan breaks, found out in a process of its own.
    static func judge(_ plan: Plan) -> Violation? {
        guard let child = try? Child(["--judge"] + plan.text.split(separator: " ").map(String.init))
        else { return nil }
        var all: [String] = []
        while let lines = child.lines() { all += lines }
        if child.wasKilled() {
            let end = plan.duration.rawValue
            return Violation(invariant: .interface, message: "the engine trapped", time: end)
        }
        guard let verdict = all.last, verdict.hasPrefix("broken ") else { return nil }
        let parts = verdict.dropFirst(7).split(separator: "|", maxSplits: 2).map(String.init)
        guard parts.count == 3, let invariant = Violation.Invariant(rawValue: parts[0]),
            let time = UInt64(parts[1])
        else { return nil }
        return Violation(invariant: invariant, message: parts[2], time: time)
    }
}
