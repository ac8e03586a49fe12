import AsyncHTTPClient
import Foundation
import KraftAdmin
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Writes through HTTP to every node, a bounded number at a time, and keeps the books.
final class DemoWorkload: Sendable {
    static let writers = 24
    private static let timeoutMilliseconds = 4_000

    private let cluster: DemoCluster
    private let ledger = Mutex(WriteLedger())
    private let isStopping = Mutex(false)
    /// Sets this run's keys apart from those of an earlier one in the same folder.
    private let run = String(UInt32.random(in: .min ... .max), radix: 16)

    init(cluster: DemoCluster) { self.cluster = cluster }

    /// What is known of every write. A copy, taken when the writers are done.
    var books: WriteLedger { ledger.withLock { $0 } }
    var counts: (acknowledged: Int, refused: Int, open: Int) {
        ledger.withLock { ($0.acknowledged, $0.refused, $0.open) }
    }

    func stop() { isStopping.withLock { $0 = true } }

    /// Writes until `stop`, then waits for the answers under way.
    func write() async {
        await withTaskGroup(of: Void.self) { tasks in
            for writer in 0..<DemoWorkload.writers {
                tasks.addTask { await self.write(as: writer) }
            }
        }
    }

    private func write(as writer: Int) async {
        var target = writer
        var number = 0
        while !isStopping.withLock({ $0 }), !Task.isCancelled {
            let running = cluster.running
            guard !running.isEmpty else { return }
            number += 1
            let (key, write) = work(writer, number)
            let ticket = ledger.withLock { $0.begin(key, write) }
            let outcome = await send(key, write, to: running[target % running.count])
            ledger.withLock { $0.settle(ticket, outcome) }
            // Each write goes through the next node, whichever leads.
            target += 1
            if outcome != .acknowledged { try? await Task.sleep(for: .milliseconds(20)) }
        }
    }

    /// Half new keys, the rest overwrites of the writer's own few keys and increments.
    private func work(_ writer: Int, _ number: Int) -> (String, WriteLedger.Write) {
        let base = "demo/\(run)/\(writer)"
        return switch number % 10 {
        case 0...4: ("\(base)/new/\(number)", .put("value \(number) of writer \(writer)"))
        case 5...7: ("\(base)/again/\(number % 7)", .put("overwrite \(number) by \(writer)"))
        default: ("\(base)/count/\(number % 3)", .increment)
        }
    }

    private func send(
        _ key: String, _ write: WriteLedger.Write, to node: DemoNode
    ) async -> WriteLedger.Outcome {
        guard let url = node.url else { return .refused }
        let path = "\(url)/v1/kv/\(PercentCoding.encode(key.utf8))"
        let query = "?timeout_ms=\(DemoWorkload.timeoutMilliseconds)"
        var request: HTTPClientRequest
        switch write {
        case .put(let value):
            request = HTTPClientRequest(url: path + query)
            request.method = .PUT
            request.body = .bytes(ByteBuffer(string: value))
        case .increment:
            request = HTTPClientRequest(url: path + "/increment" + query)
            request.method = .POST
        }
        do {
            let response = try await cluster.http.execute(
                request, timeout: .milliseconds(Int64(DemoWorkload.timeoutMilliseconds) + 2_000))
            _ = try? await response.body.collect(upTo: 1 << 16)
            return DemoWorkload.outcome(status: Int(response.status.code))
        } catch {
            return DemoWorkload.neverSent(error) ? .refused : .open
        }
    }

    /// Every error but `outcome_unknown` promises that nothing took effect.
    static func outcome(status: Int) -> WriteLedger.Outcome {
        switch status {
        case 200..<300: .acknowledged
        case 504: .open
        default: .refused
        }
    }

    /// A connection that was never made carried nothing.
    static func neverSent(_ error: any Error) -> Bool {
        if let error = error as? HTTPClientError { return error == .connectTimeout }
        if let error = error as? IOError { return error.errnoCode == ECONNREFUSED }
        return error is NIOConnectionError
    }
}
