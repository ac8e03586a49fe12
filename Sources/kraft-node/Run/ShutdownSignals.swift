import Dispatch
import Foundation
import Synchronization

/// SIGTERM and SIGINT: the first one asks for an orderly end, which has a time limit; the second
/// ends the process at once.
final class ShutdownSignals: Sendable {
    /// An orderly end takes at most this long; the contract grants ten seconds.
    static let limit = DispatchTimeInterval.milliseconds(9_500)

    private let count = Mutex(0)
    private let onFirst: @Sendable (Int32) -> Void
    private let queue = DispatchQueue(label: "kraft.signals")
    // Dispatch sources are safe to share, but not marked so; set once, before any event.
    nonisolated(unsafe) private var sources: [any DispatchSourceSignal] = []

    init(onFirst: @escaping @Sendable (Int32) -> Void) {
        self.onFirst = onFirst
        // A peer or client that closes its end is an error of that write, never of the process.
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGTERM, SIGINT] {
            // Dispatch reports signals only when their own action doesn't end the process first.
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler { [self] in received(number) }
            source.activate()
            sources.append(source)
        }
    }

    private func received(_ number: Int32) {
        let count = count.withLock { count in
            count += 1
            return count
        }
        guard count == 1 else { _exit(NodeExit.internalError.rawValue) }
        queue.asyncAfter(deadline: .now() + ShutdownSignals.limit) {
            _exit(NodeExit.internalError.rawValue)
        }
        onFirst(number)
    }
}

/// Ends the process as soon as its standard input closes: so a child never outlives the process
/// that started it, however that one ended.
func exitWhenStandardInputCloses() {
    Thread.detachNewThread {
        var byte: UInt8 = 0
        while true {
            let count = read(STDIN_FILENO, &byte, 1)
            if count == 0 || (count < 0 && errno != EINTR) {
                _exit(NodeExit.internalError.rawValue)
            }
        }
    }
}
