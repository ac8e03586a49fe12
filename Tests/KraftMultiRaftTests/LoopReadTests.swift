import KraftMultiRaft
import Testing

/// Reads of a client that lives on the node's loop.
@Suite(.timeLimit(.minutes(2)))
struct LoopReadTests {
    @Test func `a read on the loop runs on the state machine once it may, or is refused`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            for node in nodes { _ = try await node.createGroup("g") { Counter() } }
            for node in nodes {
                let group = try node.group("g", of: Counter.self)
                let sum = try await group.propose(5)
                for freshness in [ReadFreshness.linearizable, .lease] {
                    #expect(await read(freshness, on: node) == .answer(sum))
                }
            }
            try await nodes[0].stopGroup("g")
            #expect(await read(.linearizable, on: nodes[0]) == .refused)
        }
    }

    @Test func `a query for another type of state machine gets no answer`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let nodes = try await cluster.startAll()
            _ = try await nodes[0].createGroup("g") { Counter() }
            let answers = await withCheckedContinuation { continuation in
                nodes[0].withDriver { driver in
                    let slot =
                        GroupName("g").flatMap { driver.slot(of: $0) } ?? GroupSlot(rawValue: 0)
                    continuation.resume(
                        returning: [
                            driver.answer(.sum, of: slot, Counter.self),
                            driver.answer(true, of: slot, LastValue.self),
                        ])
                }
            }
            #expect(answers == [0, nil])
        }
    }

    private func read(_ freshness: ReadFreshness, on node: KraftMultiRaft) async -> Reader.End {
        await withCheckedContinuation { continuation in
            node.withDriver { driver in
                let reader = Reader(driver) { continuation.resume(returning: $0) }
                driver.sink = reader
                let slot = GroupName("g").flatMap { driver.slot(of: $0) } ?? GroupSlot(rawValue: 0)
                driver.read(
                    slot, freshness, token: Reader.token, deadline: driver.now + .seconds(20))
            }
        }
    }
}

/// Takes the end of one read.
private final class Reader: CompletionSink {
    enum End: Sendable, Equatable {
        case answer(Int64?)
        case refused
        case strange
    }

    static let token: RequestToken = 7

    private let driver: NodeDriver
    private let end: (End) -> Void

    init(_ driver: NodeDriver, _ end: @escaping (End) -> Void) {
        (self.driver, self.end) = (driver, end)
    }

    func completed(_ token: RequestToken, _ outcome: Completion.Outcome) {
        guard token == Reader.token, case .refused = outcome else { return end(.strange) }
        end(.refused)
    }

    func readReady(_ token: RequestToken, _ slot: GroupSlot) {
        guard token == Reader.token else { return end(.strange) }
        end(.answer(driver.answer(.sum, of: slot, Counter.self)))
    }
}
