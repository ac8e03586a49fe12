import Foundation
import Synchronization

@testable import kraft_node

/// One real `kraft-node` process, and its end whatever happens to the test.
final class NodeProcess: Sendable {
    let process: Process
    /// The process ends when this closes: also when the tests are killed.
    private let lifeline = Pipe()
    private let streams = Mutex(Streams())
    private let exited = AsyncStream<Int32>.makeStream()

    private struct Streams {
        var output = Data()
        var errors = Data()
    }

    struct Trouble: Error, CustomStringConvertible { var description: String }

    /// The executable, which the build puts beside the test bundle.
    static let executable: String = {
        var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let starts = [
            folder, URL(fileURLWithPath: CommandLine.arguments[0]), Bundle.main.bundleURL,
        ]
        for start in starts {
            folder = start
            while folder.path.count > 1 {
                folder.deleteLastPathComponent()
                let candidate = folder.appendingPathComponent("kraft-node").path
                var isFolder: ObjCBool = false
                if FileManager.default.fileExists(atPath: candidate, isDirectory: &isFolder),
                    !isFolder.boolValue, FileManager.default.isExecutableFile(atPath: candidate)
                {
                    return candidate
                }
            }
        }
        return "kraft-node"
    }()

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        process = Process()
        process.executableURL = URL(fileURLWithPath: NodeProcess.executable)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment
            .filter { !$0.key.hasPrefix("KRAFT_") }
            .merging(environment) { $1 }
        process.standardInput = lifeline
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        let exit = exited.continuation
        process.terminationHandler = { process in
            exit.yield(process.terminationStatus)
            exit.finish()
        }
        try process.run()
        collect(output) { $0.output.append($1) }
        collect(errors) { $0.errors.append($1) }
    }

    private func collect(_ pipe: Pipe, _ take: @escaping @Sendable (inout Streams, Data) -> Void) {
        Thread.detachNewThread { [weak self] in
            let handle = pipe.fileHandleForReading
            while let part = readSome(handle) {
                self?.streams.withLock { take(&$0, Data(part)) }
            }
        }
    }

    var output: String { streams.withLock { String(decoding: $0.output, as: UTF8.self) } }
    var errors: String { streams.withLock { String(decoding: $0.errors, as: UTF8.self) } }

    func send(signal: Int32) { kill(process.processIdentifier, signal) }

    /// The exit status; 9 and the like for a signal. Trouble when it takes too long.
    func waitForExit(_ limit: Duration = .seconds(15)) async throws -> Int32 {
        try await within(limit, "the process to end") { [exited] in
            for await status in exited.stream { return status }
            // The stream ends early for who is cancelled; a process that runs has no status.
            guard !self.process.isRunning else { throw CancellationError() }
            return self.process.terminationStatus
        }
    }

    /// Ends it without a word and reaps it.
    func destroy() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Waits for a line of its standard output.
    func line(startingWith start: String, _ limit: Duration = .seconds(20)) async throws -> String {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            // Asked first: what it wrote before it ended is there when it is seen to have ended.
            let isRunning = process.isRunning
            let whole = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            if let line = whole.first(where: { $0.hasPrefix(start) }) { return String(line) }
            guard isRunning else { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Trouble(description: "no line '\(start)…'; errors: \(errors.suffix(2_000))")
    }
}

/// Fails when `body` takes longer.
func within<R: Sendable>(
    _ limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws -> R
) async throws -> R {
    try await withThrowingTaskGroup(of: R.self) { tasks in
        tasks.addTask { try await body() }
        tasks.addTask {
            try await Task.sleep(for: limit)
            throw NodeProcess.Trouble(description: "waited \(limit) in vain for \(what)")
        }
        defer { tasks.cancelAll() }
        return try await tasks.next()!
    }
}

/// Asks again and again until the answer is not nil.
func eventually<R>(
    _ what: String, within limit: Duration = .seconds(15), _ ask: () async throws -> R?
) async throws -> R {
    let deadline = ContinuousClock.now + limit
    while true {
        if let found = try await ask() { return found }
        guard ContinuousClock.now < deadline else {
            throw NodeProcess.Trouble(description: "waited \(limit) in vain for \(what)")
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}
