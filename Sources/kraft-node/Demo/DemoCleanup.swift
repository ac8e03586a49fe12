import Foundation
import Synchronization

/// What must not outlive the demo: its processes, its folder, a hidden cursor. Used at every end,
/// also from the signal queue.
final class DemoCleanup: Sendable {
    private struct Remains {
        var processes: Set<Int32> = []
        var directory: String?
        var hidesCursor = false
        var isDone = false
    }

    private let remains = Mutex(Remains())

    /// False when the end has begun: then nothing may be started any more.
    func add(process: Int32) -> Bool {
        remains.withLock { remains in
            guard !remains.isDone else { return false }
            remains.processes.insert(process)
            return true
        }
    }

    func remove(process: Int32) { remains.withLock { _ = $0.processes.remove(process) } }
    func set(directory: String) { remains.withLock { $0.directory = directory } }
    func setHidesCursor() { remains.withLock { $0.hidesCursor = true } }

    /// Kills what runs, waits until it is gone, removes the folder. A second call does nothing.
    func clean() {
        let last = remains.withLock { remains in
            defer {
                remains = Remains()
                remains.isDone = true
            }
            return remains
        }
        for process in last.processes { kill(process, SIGKILL) }
        for process in last.processes { DemoCleanup.waitUntilGone(process) }
        if let directory = last.directory { try? FileManager.default.removeItem(atPath: directory) }
        if last.hidesCursor { output(Terminal.showCursor.utf8) }
    }

    /// At most two seconds. The process object that started it reaps it.
    private static func waitUntilGone(_ process: Int32) {
        for _ in 0..<200 {
            guard kill(process, 0) == 0 else { return }
            usleep(10_000)
        }
    }
}
