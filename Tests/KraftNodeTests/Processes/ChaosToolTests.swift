import Foundation
import Testing

extension ProcessTests {
    @Suite("kraft-chaos")
    struct ChaosToolTests {
        @Test("finds the history of real nodes under kill, stop and partition linearizable")
        func short() async throws {
            try await run(["--operations", "8000", "--seconds", "15"], within: .seconds(120))
        }

        @Test("spoils folders one after the other; nodes come back or refuse, and nothing is lost")
        func disks() async throws {
            try await run(
                ["--disks", "--operations", "40000", "--seconds", "45"], within: .seconds(150))
        }

        private func run(_ arguments: [String], within limit: Duration) async throws {
            let tool = URL(fileURLWithPath: NodeProcess.executable)
                .deletingLastPathComponent().appendingPathComponent("kraft-chaos")
            let history = FileManager.default.temporaryDirectory
                .appendingPathComponent("kraft-chaos-\(UUID().uuidString).jsonl")
            defer { try? FileManager.default.removeItem(at: history) }
            let process = Process()
            process.executableURL = tool
            process.arguments = arguments + ["--history", history.path]
            let output = Pipe()
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            let text = try await within(limit, "kraft-chaos to end") {
                String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            }
            process.waitUntilExit()
            #expect(process.terminationStatus == 0, "\(text)")
            #expect(text.contains(": linearizable"), "\(text)")
            if let summary = text.split(separator: "\n").first(where: { $0.hasPrefix("summary:") })
            {
                print(summary)
            }
        }
    }
}
