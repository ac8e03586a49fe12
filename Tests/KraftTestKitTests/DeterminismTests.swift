import Foundation
import KraftTestKit
import Testing

@Suite("Determinism")
struct DeterminismTests {
    @Test("The same seed gives the same trace twice in one process", arguments: UInt64(1)...3)
    func oneProcess(seed: UInt64) {
        #expect(SwarmRun.run(seed: seed).traceHash == SwarmRun.run(seed: seed).traceHash)
    }

    @Test("Another seed gives another trace")
    func otherSeed() {
        #expect(SwarmRun.run(seed: 1).traceHash != SwarmRun.run(seed: 2).traceHash)
    }

    /// Another process has another key for the hashes of `Dictionary` and `Set`, other addresses
    /// and another time: none of it may show.
    @Test("The same seed gives the same trace in two processes", arguments: UInt64(4)...6)
    func twoProcesses(seed: UInt64) throws {
        let first = try traceHashOfChild(seed)
        let second = try traceHashOfChild(seed)
        #expect(first == second)
        #expect(first == String(SwarmRun.run(seed: seed).traceHash))
    }

    private func traceHashOfChild(_ seed: UInt64) throws -> String {
        let process = Process()
        process.executableURL = try simulator()
        process.arguments = ["--hash", String(seed)]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        return String(decoding: data, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// `kraft-sim` is built beside the tests.
    private func simulator() throws -> URL {
        var folder = URL(fileURLWithPath: CommandLine.arguments[0])
        for _ in 0..<5 {
            folder.deleteLastPathComponent()
            let candidate = folder.appendingPathComponent("kraft-sim")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
        }
        Issue.record("kraft-sim wasn't found near \(CommandLine.arguments[0])")
        throw CocoaError(.fileNoSuchFile)
    }
}
