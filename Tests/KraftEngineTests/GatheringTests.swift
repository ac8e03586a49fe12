import KraftRouting
import RaftCore
import Testing

@testable import KraftEngine

/// One node, the only voter of its groups; its disk writes when it is let.
private final class PacedNode {
    static let interval = Nanoseconds.milliseconds(5)
    var engine: Engine
    var memory = LogMemory()
    var slots: [GroupSlot] = []
    var now = Instant.zero + .seconds(1)
    var outcomes: [RequestToken: Completion.Outcome] = [:]
    /// Segments that are not prepared yet, while `isSlow`.
    var isSlow = false
    var waiting: [SegmentPreparation] = []
    private var nextToken: RequestToken = 1

    init(interval: Nanoseconds = PacedNode.interval, groups: Int = 1) throws {
        var configuration = EngineConfiguration(node: 1, clusterID: "paced", peers: [])
        configuration.log.segmentSizeBytes = 1 << 20
        configuration.limits.commandSizeBytes = 16 << 10
        configuration.timing.gatherInterval = interval
        engine = try Engine(configuration, directory: &memory, boot: 1, seed: 1, now: now)
        for number in 0..<groups { slots.append(try open("g\(number)")) }
        for _ in 0..<20 {
            now = now + .milliseconds(100)
            engine.step(.tick, now: now)
            turn()
        }
        outcomes = [:]
    }

    func open(_ name: String) throws -> GroupSlot {
        let name = try #require(GroupName(name))
        return try engine.openGroup(name, voters: [1], token: token(), now: now)
    }

    private func token() -> RequestToken {
        defer { nextToken += 1 }
        return nextToken
    }

    func propose(_ count: Int, to group: Int = 0, byteCount: Int = 8) -> [RequestToken] {
        (0..<count).map { _ in
            let token = token()
            [UInt8](repeating: 1, count: byteCount).withUnsafeBytes { command in
                engine.propose(
                    slots[group], command, token: token, deadline: now + .seconds(1), now: now)
            }
            return token
        }
    }

    /// Ends a turn, and lets the disk write what comes of it; returns how often it wrote.
    @discardableResult
    func turn(after span: Nanoseconds = .zero) -> Int {
        now = now + span
        if engine.nextWakeUp <= now { engine.step(.tick, now: now) }
        var writes = 0
        for _ in 0..<200 {
            engine.endTurn(now: now)
            while let work = engine.nextApply() {
                var replies = ReplyBuffer()
                for _ in work.batch { replies.appendEmpty() }
                engine.applied(work, replies: replies, now: now)
            }
            var effects = Effects()
            swap(&effects, &engine.effects)
            for completion in effects.completions {
                #expect(outcomes[completion.token] == nil, "answered twice")
                outcomes[completion.token] = completion.outcome
            }
            for segment in effects.segmentPreparations {
                if isSlow {
                    waiting.append(segment)
                    continue
                }
                try? memory.prepare(segment)
                engine.step(.segmentPrepared(number: segment.number), now: now)
            }
            for write in effects.logWrites {
                memory.carryOut(write)
                engine.step(.logWritten(write.id), now: now)
                writes += 1
            }
            if effects.logWrites.isEmpty, effects.segmentPreparations.isEmpty { break }
        }
        return writes
    }

    var isWaiting: Bool { engine.isWaitingForSegment }

    func isDone(_ tokens: [RequestToken]) -> Bool {
        tokens.allSatisfy { if case .done = outcomes[$0] { true } else { false } }
    }
}

@Suite("Proposals that gather")
struct GatheringTests {
    @Test("behind many proposals, others wait for each other, and are written together")
    func manyGather() throws {
        let node = try PacedNode(groups: 2)
        let first = node.propose(8)
        #expect(node.turn() == 1)
        #expect(node.isDone(first))
        let second = node.propose(2, to: 0)
        #expect(node.turn(after: .milliseconds(1)) == 0)
        let third = node.propose(3, to: 1) + node.propose(1, to: 0)
        #expect(node.turn(after: .milliseconds(2)) == 0)
        #expect(node.outcomes.count == 8)
        let due = node.engine.nextWakeUp
        #expect(due - node.now <= .milliseconds(2), "it sleeps too long")
        #expect(node.turn(after: due - node.now) == 1)
        #expect(node.isDone(second + third))
        // Those were few: what comes next doesn't wait.
        let last = node.propose(1)
        #expect(node.turn(after: .microseconds(10)) == 1)
        #expect(node.isDone(last))
    }

    @Test("who writes alone never waits")
    func alone() throws {
        let node = try PacedNode()
        for _ in 0..<20 {
            let tokens = node.propose(7)
            #expect(node.turn(after: .microseconds(50)) == 1)
            #expect(node.isDone(tokens))
        }
    }

    @Test("nothing waits unless that is asked for")
    func off() throws {
        let node = try PacedNode(interval: .zero)
        for _ in 0..<20 {
            let tokens = node.propose(100)
            #expect(node.turn(after: .microseconds(50)) == 1)
            #expect(node.isDone(tokens))
        }
    }

    @Test("a group that stops answers those that wait, and is as before when it starts again")
    func stops() throws {
        let node = try PacedNode()
        _ = node.propose(8)
        node.turn()
        let held = node.propose(3)
        node.turn(after: .milliseconds(1))
        #expect(node.outcomes.count == 8)
        node.engine.stopGroup(node.slots[0], now: node.now)
        node.turn()
        #expect(node.outcomes.count == 11)
        #expect(held.allSatisfy { node.outcomes[$0] != nil })
        node.engine.startGroup(node.slots[0], now: node.now)
        for _ in 0..<30 { node.turn(after: .milliseconds(100)) }
        let tokens = node.propose(2)
        node.turn()
        #expect(node.isDone(tokens))
    }

    @Test("a group in the place of one that was removed while its proposals waited has its own")
    func removed() throws {
        let node = try PacedNode()
        _ = node.propose(8)
        node.turn()
        let held = node.propose(3)
        node.turn(after: .milliseconds(1))
        node.engine.removeGroup(node.slots[0], token: 900, now: node.now)
        node.turn()
        #expect(held.allSatisfy { node.outcomes[$0] != nil })
        let slot = try node.open("other")
        #expect(slot == node.slots[0])
        for _ in 0..<30 { node.turn(after: .milliseconds(100)) }
        let tokens = node.propose(9)
        node.turn()
        #expect(node.isDone(tokens))
        let later = node.propose(2)
        #expect(node.turn(after: .milliseconds(1)) == 0)
        #expect(node.turn(after: .milliseconds(4)) == 1)
        #expect(node.isDone(later))
    }

    @Test("an interval that a beat could miss is refused")
    func tooLong() throws {
        #expect(throws: KraftError.self) { try PacedNode(interval: .milliseconds(100)) }
        #expect(throws: Never.self) { try PacedNode(interval: .milliseconds(99)) }
    }

    @Test("much at once is worth no wait, and a node that goes waits for nothing")
    func muchAtOnce() throws {
        let node = try PacedNode()
        _ = node.propose(8)
        node.turn()
        let some = node.propose(3)
        #expect(node.turn(after: .milliseconds(1)) == 0)
        let much = node.propose(80, byteCount: 16 << 10)
        #expect(node.turn(after: .milliseconds(1)) > 0)
        #expect(node.isDone(some + much))
        let last = node.propose(2)
        #expect(node.turn() == 0)
        node.engine.handOver(now: node.now)
        #expect(node.turn() > 0)
        #expect(node.isDone(last))
    }
}

@Suite("Segments that are slow to come")
struct SlowSegmentTests {
    @Test("it is known that the log waits for a segment, and it goes on when that is there")
    func waits() throws {
        let node = try PacedNode(interval: .zero)
        node.isSlow = true
        var tokens: [RequestToken] = []
        for _ in 0..<1_000 where !node.isWaiting {
            tokens += node.propose(1, byteCount: 8 << 10)
            node.turn(after: .milliseconds(1))
        }
        #expect(node.isWaiting)
        #expect(!node.isDone(tokens))
        #expect(node.waiting.count == 1)
        #expect(node.waiting.allSatisfy { !$0.isUrgent }, "nobody waited for it at first")
        node.isSlow = false
        for segment in node.waiting {
            try node.memory.prepare(segment)
            node.engine.step(.segmentPrepared(number: segment.number), now: node.now)
        }
        node.turn()
        #expect(!node.isWaiting)
        #expect(node.isDone(tokens))
    }
}
