import Dispatch
import Foundation
import Synchronization

/// What must not outlive the benchmark: its processes and its folder. Used at every end of it.
final class Remains: Sendable {
    private struct State {
        var processes: [Process] = []
        var folder: String?
        var isOver = false
    }

    private static let interrupted: Int32 = 130

    private let state = Mutex(State())
    /// One ending at a time: whoever finds that the other has begun waits until all is gone.
    private let ending = Mutex(())
    /// Unsafe only for the compiler: set in `init`, kept, never used again.
    nonisolated(unsafe) private var signals: [any DispatchSourceSignal] = []

    /// From now on Ctrl-C and its like end everything.
    init() {
        signal(SIGPIPE, SIG_IGN)
        let queue = DispatchQueue(label: "kraft.bench.signals")
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { [self] in
                end()
                _exit(Remains.interrupted)
            }
            source.activate()
            signals.append(source)
        }
    }

    /// Makes the folder that everything goes below, and returns its path.
    func makeFolder(in parent: String) throws -> String {
        try state.withLock { state in
            guard !state.isOver else { throw CancellationError() }
            if let folder = state.folder { return folder }
            var template = Array("\(parent)/kraft-bench-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else {
                let reason = String(cString: strerror(errno))
                throw BenchFailure("could not make a folder in \(parent): \(reason)")
            }
            let folder = String(
                decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
            state.folder = folder
            return folder
        }
    }

    func start(_ process: Process) throws {
        try state.withLock { state in
            guard !state.isOver else { throw CancellationError() }
            try process.run()
            state.processes.append(process)
        }
    }

    /// Ends the processes that run, and removes what they kept.
    func endProcesses() { ending.withLock { _ in endProcessesNow() } }

    private func endProcessesNow() {
        let (processes, folder) = state.withLock { state in
            defer { state.processes = [] }
            return (state.processes, state.folder)
        }
        for process in processes where process.isRunning {
            kill(process.processIdentifier, SIGKILL)
        }
        for process in processes { process.waitUntilExit() }
        guard let folder else { return }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            try? FileManager.default.removeItem(atPath: folder + "/" + name)
        }
    }

    /// Ends everything. A second call does nothing.
    func end() {
        state.withLock { $0.isOver = true }
        endProcesses()
        if let folder = state.withLock({ $0.folder }) { rmdir(folder) }
    }
}
