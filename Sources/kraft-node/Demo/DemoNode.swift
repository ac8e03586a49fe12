import Foundation
import Synchronization

/// One `kraft-node run` process of the demo, and what is needed to start it again.
final class DemoNode: Sendable {
    let id: Int
    private let arguments: [String]
    private let logPath: String
    private let cleanup: DemoCleanup
    private let state = Mutex(State())

    private struct State {
        var process: Process?
        /// Kept open: the node ends when it closes, so it can't outlive this process.
        var lifeline: Pipe?
        var url: String?
    }

    struct StartFailure: Error, CustomStringConvertible { var description: String }

    init(id: Int, arguments: [String], logPath: String, cleanup: DemoCleanup) {
        self.id = id
        self.arguments = arguments
        self.logPath = logPath
        self.cleanup = cleanup
    }

    /// Where it answers HTTP; nil while it doesn't run.
    var url: String? { state.withLock { $0.url } }
    var isRunning: Bool { url != nil }
    var processID: Int32? { state.withLock { $0.process?.processIdentifier } }

    /// Starts the process and waits for its ready line.
    func start() async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: DemoNode.executable)
        process.arguments = arguments
        let lifeline = Pipe()
        let announcements = Pipe()
        process.standardInput = lifeline
        process.standardOutput = announcements
        process.standardError = try log()
        let ended = Mutex(false)
        process.terminationHandler = { process in
            ended.withLock { $0 = true }
            self.cleanup.remove(process: process.processIdentifier)
            self.state.withLock { if $0.process === process { $0.url = nil } }
        }
        try process.run()
        guard cleanup.add(process: process.processIdentifier) else {
            kill(process.processIdentifier, SIGKILL)
            throw CancellationError()
        }
        // It may have ended before it was put down; then nobody else strikes it off.
        if ended.withLock({ $0 }) { cleanup.remove(process: process.processIdentifier) }
        state.withLock { state in
            state.process = process
            state.lifeline = lifeline
        }
        let line = try await firstLine(announcements.fileHandleForReading)
        guard let http = DemoNode.http(inReadyLine: line) else {
            throw StartFailure(description: "node \(id) did not start; its log: \(logTail)")
        }
        state.withLock { $0.url = "http://\(http)" }
    }

    /// Ends it as a power cut would, without a chance to tidy up.
    func kill9() {
        let process = state.withLock { state in
            state.url = nil
            return state.process
        }
        if let process { kill(process.processIdentifier, SIGKILL) }
        process?.waitUntilExit()
    }

    static func http(inReadyLine line: String) -> String? {
        guard line.hasPrefix("ready ") else { return nil }
        return line.split(separator: " ").first { $0.hasPrefix("http=") }.map {
            String($0.dropFirst(5))
        }
    }

    /// This executable itself.
    private static let executable =
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        ?? CommandLine.arguments[0]

    // MARK: Streams

    private func log() throws -> FileHandle {
        if !FileManager.default.fileExists(atPath: logPath) {
            _ = FileManager.default.createFile(atPath: logPath, contents: nil)
        }
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: logPath))
        try handle.seekToEnd()
        return handle
    }

    private var logTail: String {
        let data = FileManager.default.contents(atPath: logPath) ?? Data()
        return String(decoding: data.suffix(2_000), as: UTF8.self)
    }

    /// The first line of a stream, or what came before its end.
    private func firstLine(_ handle: FileHandle) async throws -> String {
        await withCheckedContinuation { continuation in
            // A thread of its own: the read blocks until the node is up or gone.
            Thread.detachNewThread {
                var line: [UInt8] = []
                while !line.contains(UInt8(ascii: "\n")), let part = readSome(handle) {
                    line += part
                }
                let text = String(decoding: line.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
                continuation.resume(returning: text)
            }
        }
    }
}
