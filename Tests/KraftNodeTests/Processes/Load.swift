import AsyncHTTPClient
import Foundation
import NIOHTTP1
import Synchronization

@testable import kraft_node

/// Writers that keep the books while something happens to the cluster: each has keys of its own, so
/// every read has to see what the books say.
final class Load: Sendable {
    private let cluster: TestCluster
    private let state = Mutex(State())

    private struct State {
        var ledger = WriteLedger()
        var complaints: [String] = []
        var statuses: [Int: Int] = [:]
        var lastAcknowledged: [String: ContinuousClock.Instant] = [:]
        var longestStretch = Duration.zero
        var isStopping = false
    }

    private init(_ cluster: TestCluster) { self.cluster = cluster }

    /// Ends the writing; who has waited until now counts too.
    private func end() {
        let now = ContinuousClock.now
        state.withLock { state in
            state.isStopping = true
            for last in state.lastAcknowledged.values {
                state.longestStretch = max(state.longestStretch, now - last)
            }
        }
    }

    /// Runs `body` while `writers` write through all nodes that run, and gives their books.
    static func with(
        _ cluster: TestCluster, writers: Int, _ body: (Load) async throws -> Void
    ) async throws -> Load {
        let load = Load(cluster)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for writer in 0..<writers { tasks.addTask { await load.write(as: writer) } }
            do {
                try await body(load)
            } catch {
                load.end()
                throw error
            }
            load.end()
            try await tasks.waitForAll()
        }
        return load
    }

    var complaints: [String] { state.withLock { $0.complaints } }
    var acknowledged: Int { state.withLock { $0.ledger.acknowledged } }
    /// The longest time in which no write of some key was acknowledged.
    var longestStretch: Duration { state.withLock { $0.longestStretch } }
    var summary: String {
        state.withLock {
            "\($0.ledger.acknowledged) acknowledged, \($0.ledger.refused) refused, "
                + "\($0.ledger.open) open, longest stretch \($0.longestStretch), "
                + "answers \($0.statuses.sorted { $0.key < $1.key })"
        }
    }

    private func complain(_ words: String) {
        state.withLock { if $0.complaints.count < 20 { $0.complaints.append(words) } }
    }

    // MARK: Writing

    private func write(as writer: Int) async {
        var number = 0
        while !state.withLock({ $0.isStopping }) {
            number += 1
            let key = "load/\(writer)/\(number % 3)"
            let write: WriteLedger.Write = number % 3 == 0 ? .increment : .put("\(number)")
            let ticket = state.withLock { $0.ledger.begin(key, write) }
            let outcome = await send(key, write)
            state.withLock { state in
                state.ledger.settle(ticket, outcome)
                guard outcome == .acknowledged else { return }
                let now = ContinuousClock.now
                if let last = state.lastAcknowledged.updateValue(now, forKey: key) {
                    state.longestStretch = max(state.longestStretch, now - last)
                }
            }
            if number.isMultiple(of: 5) { await check(key) }
        }
    }

    private func send(_ key: String, _ write: WriteLedger.Write) async -> WriteLedger.Outcome {
        guard let node = cluster.running.randomElement() else { return .refused }
        do {
            let answer =
                switch write {
                case .put(let value):
                    try await request(.PUT, key, "", to: node, body: Array(value.utf8))
                case .increment: try await request(.POST, key, "/increment", to: node)
                }
            state.withLock { $0.statuses[answer.status, default: 0] += 1 }
            if answer.status == 404 { complain("\(key): 404 from node \(node): \(answer.text)") }
            let outcome = DemoWorkload.outcome(status: answer.status)
            if outcome == .refused { try? await Task.sleep(for: .milliseconds(5)) }
            return outcome
        } catch is NodeProcess.Trouble {
            // The node isn't ready, or was taken away before anything was sent.
            try? await Task.sleep(for: .milliseconds(5))
            return .refused
        } catch {
            return DemoWorkload.neverSent(error) ? .refused : .open
        }
    }

    /// A connection that is refused isn't tried again: the node has gone.
    private static let client: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private func request(
        _ method: HTTPMethod, _ key: String, _ action: String, to node: Int, body: [UInt8]? = nil
    ) async throws -> Answer {
        try await cluster.send(
            method, "/v1/kv/\(key.replacing("/", with: "%2F"))\(action)?timeout_ms=2000", to: node,
            body: body, limit: .seconds(4), client: Load.client)
    }

    private func check(_ key: String) async {
        guard let node = cluster.running.randomElement(),
            let answer = try? await request(.GET, key, "", to: node),
            answer.status == 200 || answer.status == 404
        else { return }
        judge(key, answer, "read through node \(node)")
    }

    /// Reads everything back through each of the nodes.
    func readBack(from nodes: [Int]) async throws {
        for key in state.withLock({ $0.ledger.expectations.keys.sorted() }) {
            for node in nodes {
                let answer = try await cluster.get(key, from: node)
                guard answer.status == 200 || answer.status == 404 else {
                    complain("\(key): status \(answer.status) at the end")
                    continue
                }
                judge(key, answer, "read back from node \(node)")
            }
        }
    }

    private func judge(_ key: String, _ answer: Answer, _ when: String) {
        let found = answer.status == 200 ? answer.text : nil
        let (verdict, expected) = state.withLock {
            ($0.ledger.judge(key, found: found), $0.ledger.expectations[key])
        }
        guard verdict != .right else { return }
        complain("\(verdict) \(key) when \(when): \(found ?? "nothing"), expected \(expected!)")
    }
}
