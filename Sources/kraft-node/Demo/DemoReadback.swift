import AsyncHTTPClient
import KraftAdmin
import NIOCore
import Synchronization

/// Reads back every key that was written, linearizably, through all nodes in turn.
struct DemoReadback: Sendable {
    let cluster: DemoCluster
    let ledger: WriteLedger

    /// Reads under way at once.
    static let readers = 48
    static let attemptLimit = 5

    struct Result: Sendable {
        var keys = 0
        var right = 0
        /// Keys whose acknowledged write is gone.
        var lost: [String] = []
        /// Keys that hold something that nobody wrote.
        var wrong: [String] = []
        /// Keys that could not be read at all.
        var unreadable: [String] = []

        var isClean: Bool { lost.isEmpty && wrong.isEmpty && unreadable.isEmpty }
    }

    private enum Found: Sendable {
        case value(String)
        case missing
        case nothing
    }

    func run(progress: @escaping @Sendable (Int) -> Void) async -> Result {
        let keys = ledger.expectations.keys.sorted()
        let work = Work(keyCount: keys.count)
        await withTaskGroup(of: Void.self) { tasks in
            for _ in 0..<DemoReadback.readers {
                tasks.addTask {
                    while let position = work.take(), !Task.isCancelled {
                        let found = await read(keys[position], through: position)
                        work.result.withLock { judge(keys[position], found, &$0) }
                        progress(position)
                    }
                }
            }
        }
        return work.result.withLock { $0 }
    }

    /// What the readers share.
    private final class Work: Sendable {
        let result: Mutex<Result>
        private let keyCount: Int
        private let next = Mutex(0)

        init(keyCount: Int) {
            self.keyCount = keyCount
            result = Mutex(Result(keys: keyCount))
        }

        /// The position of a key that nobody has read yet.
        func take() -> Int? {
            next.withLock { next in
                guard next < keyCount else { return nil }
                next += 1
                return next - 1
            }
        }
    }

    private func judge(_ key: String, _ found: Found, _ result: inout Result) {
        let text: String?
        switch found {
        case .nothing:
            result.unreadable.append(key)
            return
        case .value(let value): text = value
        case .missing: text = nil
        }
        switch ledger.judge(key, found: text) {
        case .right: result.right += 1
        case .lost: result.lost.append(key)
        case .wrong: result.wrong.append(key)
        }
    }

    private func read(_ key: String, through position: Int) async -> Found {
        for attempt in 0..<DemoReadback.attemptLimit {
            let running = cluster.running
            guard !running.isEmpty,
                let url = running[(position + attempt) % running.count].url
            else { return .nothing }
            let request = HTTPClientRequest(url: "\(url)/v1/kv/\(PercentCoding.encode(key.utf8))")
            if let response = try? await cluster.http.execute(request, timeout: .seconds(8)),
                let body = try? await response.body.collect(upTo: 2 << 20)
            {
                if response.status == .ok { return .value(String(buffer: body)) }
                if response.status == .notFound { return .missing }
            }
            try? await Task.sleep(for: .milliseconds(200))
        }
        return .nothing
    }
}
