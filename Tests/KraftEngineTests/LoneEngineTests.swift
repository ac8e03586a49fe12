import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

/// One engine alone: what the others say is told to it by hand, and its disk waits until it is let.
private final class LoneEngine {
    static let electionTimeout = Nanoseconds.milliseconds(300)
    var engine: Engine
    var memory = LogMemory()
    var slot = 0
    var held: [LogWrite] = []
    var outcomes: [RequestToken: Completion.Outcome] = [:]

    /// Node 1 of 3, with a group of all of them.
    init(memory: LogMemory = LogMemory(), at now: Instant) throws {
        var configuration = EngineConfiguration(
            node: 1, clusterID: "lone",
            peers: [.init(node: 2, address: "2"), .init(node: 3, address: "3")])
        configuration.log = LogUnderTest.limits
        configuration.limits.commandSizeBytes = 16 << 10
        configuration.timing.electionTimeout = LoneEngine.electionTimeout
        configuration.timing.leaseDuration = .milliseconds(500)
        self.memory = memory
        engine = try Engine(
            configuration, directory: &self.memory, boot: 7 + now.nanoseconds, seed: 1, now: now)
        let name = try #require(GroupName("g"))
        slot = try engine.openGroup(name, voters: [1, 2, 3], token: 1, now: now).rawValue
        turn(now)
        letDiskWrite(now)
    }

    var raft: Raft { engine.groups[slot].raft }

    func turn(_ now: Instant) {
        engine.endTurn(now: now)
        while engine.nextApply() != nil {}
        held += engine.effects.logWrites
        for completion in engine.effects.completions {
            outcomes[completion.token] = completion.outcome
        }
        engine.effects.removeAll()
    }

    /// The write that is under way ends; what waited behind it begins.
    func letOneWriteEnd(_ now: Instant) {
        guard !held.isEmpty else { return }
        let write = held.removeFirst()
        memory.carryOut(write)
        engine.step(.logWritten(write.id), now: now)
        turn(now)
    }

    func letDiskWrite(_ now: Instant) { while !held.isEmpty { letOneWriteEnd(now) } }

    /// A message of another node, with entries that are no-ops.
    func hear(_ message: Message, from node: NodeID, _ now: Instant) {
        var entries = ByteWriter()
        if case .append(let append) = message {
            for _ in 0..<append.count {
                entries.write(UInt32(0))
                entries.write(EntryKind.noOp.rawValue)
            }
        }
        entries.bytes.withUnsafeBytes { bytes in
            engine.hear(message, from: node, entries: bytes, slot: slot, now: now)
        }
        turn(now)
    }

    /// Makes it the leader by the vote of node 2.
    func lead(_ now: Instant) {
        for place in engine.peers.indices { engine.peers[place].isAlive = true }
        _ = engine.forceElection(GroupSlot(rawValue: slot), now: now)
        turn(now)
        hear(vote(raft.term.next, isPreVote: true), from: 2, now)
        letDiskWrite(now)
        hear(vote(raft.term, isPreVote: false), from: 2, now)
        letDiskWrite(now)
    }

    private func vote(_ term: Term, isPreVote: Bool) -> Message {
        .voteReply(.init(term: term, isPreVote: isPreVote, isGranted: true))
    }
}

extension Engine {
    fileprivate mutating func hear(
        _ message: Message, from node: NodeID, entries: UnsafeRawBufferPointer, slot: Int,
        now: Instant
    ) {
        groups[slot].raft.step(
            from: Replica(node), message, now: now, effects: &raftEffects)
        absorb(slot, entries: entries, now: now)
    }
}

@Suite("An engine that is told by hand what the others say")
struct LoneEngineTests {
    private let start = Instant.zero + .seconds(10)

    private func append(
        _ term: UInt64, behind previous: EntryPosition, count: Int = 1
    ) -> Message {
        .append(
            .init(
                term: Term(term), previous: previous, entriesTerm: Term(term), count: count,
                commit: .zero))
    }

    @Test("a write that ends late counts for nothing that took the place of its entries")
    func lateWrite() throws {
        let lone = try LoneEngine(at: start)
        lone.hear(append(1, behind: .start, count: 2), from: 2, start)
        #expect(lone.held.count == 1)
        lone.hear(append(2, behind: .start, count: 2), from: 3, start)
        #expect(lone.raft.log.lastIndex == LogIndex(2))
        lone.letOneWriteEnd(start)
        #expect(lone.raft.durableIndex == .zero, "what is durable was overwritten")
        lone.letOneWriteEnd(start)
        #expect(lone.raft.durableIndex == LogIndex(2))
    }

    @Test("a command that was overwritten here isn't called refused while it may live elsewhere")
    func livesElsewhere() throws {
        let lone = try LoneEngine(at: start)
        lone.lead(start)
        try #require(lone.raft.isLeader)
        let command: [UInt8] = [1, 2, 3]
        command.withUnsafeBytes { bytes in
            lone.engine.propose(
                GroupSlot(rawValue: lone.slot), bytes, token: 9, deadline: start + .seconds(60),
                now: start)
        }
        lone.turn(start)
        let term = lone.raft.term
        let last = lone.raft.log.lastIndex
        // Another leader's entry takes its place; nobody knows yet which one will stay.
        lone.hear(append(term.rawValue + 1, behind: .start, count: 3), from: 3, start)
        #expect(lone.raft.log.term(at: last) == term.next)
        lone.letDiskWrite(start)
        #expect(lone.outcomes[9] == nil, "a command that may still take effect has an outcome")
    }

    @Test("what an earlier life promised is kept by the next one")
    func promise() throws {
        let first = try LoneEngine(at: start)
        let later = start + .milliseconds(100)
        let second = try LoneEngine(memory: first.memory, at: later)
        #expect(second.engine.votesHeldUntil >= later + .milliseconds(500))
        // Somebody else asks for a vote, with all the log there is.
        let request = Message.VoteRequest(
            term: Term(5), last: .start, isPreVote: false, isTransfer: false)
        second.hear(.vote(request), from: 2, later + .milliseconds(400))
        #expect(second.raft.hardState.vote.isNone, "a vote within the time that was promised")
        second.hear(.vote(request), from: 2, later + .seconds(2))
        #expect(second.raft.hardState.vote == 2)
    }

    @Test("a lease counts from when its promise was asked for, not from when it came")
    func leaseStart() throws {
        let lone = try LoneEngine(at: start)
        lone.engine.peers[0].beatSequence = 3
        lone.engine.peers[0].beatTimes[3] = start
        let beat = NodeMessage.Beat(
            sequence: 1, echo: 3, groupsLed: 0, groups: 0, leaseMilliseconds: 500, isBurdened: false)
        lone.engine.onBeat(0, beat, now: start + .milliseconds(200))
        #expect(lone.engine.peers[0].supportedUntil > start)
        #expect(lone.engine.peers[0].supportedUntil <= start + .milliseconds(500))
    }
}
