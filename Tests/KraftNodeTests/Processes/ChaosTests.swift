import AsyncHTTPClient
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes under fire")
    struct ChaosTests {
        @Test("lose nothing and never read the past while nodes are killed, paused and restarted")
        func chaos() async throws {
            try await TestCluster.with(groups: 6) { cluster in
                let fire = Fire(cluster: cluster)
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for writer in 0..<8 { tasks.addTask { await fire.write(as: writer) } }
                    do {
                        try await fire.harass(for: .seconds(15))
                    } catch {
                        fire.stop()
                        throw error
                    }
                    fire.stop()
                    try await tasks.waitForAll()
                }
                try await cluster.waitUntilReady()
                try await cluster.waitForEqualDigests()
                try await fire.readBack()
                #expect(fire.complaints == [])
                #expect(fire.acknowledged > 100)
            }
        }
    }
}

/// Writers that keep the books, and somebody who disturbs them.
private final class Fire: Sendable {
    private let cluster: TestCluster
    private let state = Mutex(State())

    private struct State {
        var ledger = WriteLedger()
        var complaints: [String] = []
        var isStopping = false
    }

    init(cluster: TestCluster) { self.cluster = cluster }

    func stop() { state.withLock { $0.isStopping = true } }
    var complaints: [String] { state.withLock { $0.complaints } }
    var acknowledged: Int { state.withLock { $0.ledger.acknowledged } }

    // MARK: Trouble

    /// One fault at a time, so that a quorum is always there.
    func harass(for time: Duration) async throws {
        let end = ContinuousClock.now + time
        var round = 0
        while ContinuousClock.now < end {
            let victim = Int.random(in: 1...3)
            switch round % 3 {
            case 0:
                try cluster.kill9(victim)
                try await Task.sleep(for: .milliseconds(Int.random(in: 0...1_500)))
                try await cluster.start(victim)
            case 1:
                let process = try cluster.process(victim)
                process.send(signal: SIGSTOP)
                try await Task.sleep(for: .milliseconds(Int.random(in: 200...2_500)))
                process.send(signal: SIGCONT)
            default:
                let status = try await cluster.terminate(victim)
                if status != 0 { complain("node \(victim) ended with \(status) on SIGTERM") }
                try await cluster.start(victim)
            }
            round += 1
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...800)))
        }
    }

    private func complain(_ words: String) {
        state.withLock { if $0.complaints.count < 20 { $0.complaints.append(words) } }
    }

    // MARK: Writers

    func write(as writer: Int) async {
        var number = 0
        while !state.withLock({ $0.isStopping }) {
            number += 1
            let key = "chaos/\(writer)/\(number % 5)"
            let write: WriteLedger.Write = number % 5 == 0 ? .increment : .put("\(number)")
            let ticket = state.withLock { $0.ledger.begin(key, write) }
            let outcome = await send(key, write)
            state.withLock { $0.ledger.settle(ticket, outcome) }
            // Nobody else writes this key, so a read that begins now has to see the books.
            if number.isMultiple(of: 3) { await check(key) }
        }
    }

    private func send(_ key: String, _ write: WriteLedger.Write) async -> WriteLedger.Outcome {
        guard let node = cluster.running.randomElement() else { return .refused }
        do {
            let answer =
                switch write {
                case .put(let value):
                    try await cluster.put(key, value, to: node, query: "?timeout_ms=2000")
                case .increment:
                    try await cluster.send(
                        .POST,
                        "/v1/kv/\(key.replacing("/", with: "%2F"))/increment?timeout_ms=2000",
                        to: node)
                }
            return DemoWorkload.outcome(status: answer.status)
        } catch is NodeProcess.Trouble {
            // The node was taken away before anything was sent: give it the time to come back.
            try? await Task.sleep(for: .milliseconds(5))
            return .refused
        } catch {
            return .open
        }
    }

    private func check(_ key: String) async {
        guard let node = cluster.running.randomElement(),
            let answer = try? await cluster.get(key, from: node, query: "?timeout_ms=2000"),
            answer.status == 200 || answer.status == 404
        else { return }
        judge(key, answer, "read through node \(node)")
    }

    func readBack() async throws {
        for key in state.withLock({ $0.ledger.expectations.keys.sorted() }) {
            for node in 1...3 {
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
