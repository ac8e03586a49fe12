import Dispatch
import Foundation

/// Ctrl-C and its like: everything that the demo started ends before the demo does.
final class DemoSignals {
    private var sources: [any DispatchSourceSignal] = []

    init(cleanup: DemoCleanup) {
        signal(SIGPIPE, SIG_IGN)
        let queue = DispatchQueue(label: "kraft.demo.signals")
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                cleanup.clean()
                output("\ninterrupted; nothing was left running\n".utf8)
                _exit(NodeExit.interrupted.rawValue)
            }
            source.activate()
            sources.append(source)
        }
    }
}
