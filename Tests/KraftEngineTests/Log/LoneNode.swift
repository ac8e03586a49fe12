import KraftRouting
import KraftTestKit

@testable import KraftEngine
@testable import RaftCore

/// One node without peers, with many groups of which it is the only voter. Its disk is quick.
final class LoneNode {
    private enum Pending {
        case written(LogWrite)
        case prepared(UInt64)
        case read(LogRead)
    }

    private(set) var engine: Engine
    var memory: LogMemory
    private(set) var slots: [GroupSlot] = []
    private(set) var machines: [Int: AuditLog] = [:]
    private(set) var notices: [Notice] = []
    private(set) var done: Set<RequestToken> = []
    private var pending: [Pending] = []
    private(set) var now: Instant
    private var nextToken: RequestToken = 1
    /// Called between any two things that happen to the disk.
    var onDisk: ((LogMemory) throws -> Void)?
    /// Segment files at once, at most.
    private(set) var mostSegments = 0

    init(
        groups: Int, memory: LogMemory = LogMemory(), limits: EngineConfiguration.LogLimits,
        life: UInt64 = 1
    ) throws {
        var configuration = EngineConfiguration(node: 1, clusterID: "lone", peers: [])
        configuration.log = limits
        configuration.limits.commandSizeBytes = limits.segmentSizeBytes / 4
        self.memory = memory
        now = .zero + .seconds(1)
        engine = try Engine(
            configuration, directory: &self.memory, boot: life, seed: life << 32, now: now)
        for number in 0..<groups {
            guard let name = GroupName("g\(number)") else { continue }
            let slot = try engine.openGroup(name, voters: [1], token: token(), now: now)
            slots.append(slot)
            machines[slot.rawValue] = AuditLog()
        }
        try turn()
        try run(.seconds(1))
    }

    private func token() -> RequestToken {
        defer { nextToken += 1 }
        return nextToken
    }

    /// Lets everything happen that happens within `span`.
    func run(_ span: Nanoseconds) throws {
        let end = now + span
        while true {
            try settle()
            guard engine.nextWakeUp <= end else { break }
            now = max(now, engine.nextWakeUp)
            engine.step(.tick, now: now)
            try turn()
        }
        now = end
    }

    /// Until nothing is under way.
    func settle() throws {
        while !pending.isEmpty {
            let batch = pending
            pending = []
            for next in batch { try handle(next) }
        }
    }

    private func handle(_ next: Pending) throws {
        switch next {
        case .written(let write):
            try onDisk?(memory)
            memory.carryOut(write)
            try onDisk?(memory)
            engine.step(.logWritten(write.id), now: now)
        case .prepared(let number): engine.step(.segmentPrepared(number: number), now: now)
        case .read(let read):
            let segment = memory.segments[read.segment] ?? []
            let end = min(segment.count, read.offset + read.count)
            segment[min(read.offset, end)..<end].withUnsafeBytes { bytes in
                engine.step(.logRead(read.id, bytes), now: now)
            }
        }
        try turn()
    }

    private func turn() throws {
        engine.endTurn(now: now)
        while let work = engine.nextApply() {
            var replies = ReplyBuffer()
            machines[work.slot.rawValue]?.apply(work.batch, replies: &replies)
            engine.applied(work, replies: replies, now: now)
        }
        let effects = engine.effects
        engine.effects.removeAll()
        for write in effects.logWrites { pending.append(.written(write)) }
        for segment in effects.segmentPreparations {
            try memory.prepare(segment)
            mostSegments = max(mostSegments, memory.segments.count)
            pending.append(.prepared(segment.number))
            try onDisk?(memory)
        }
        for number in effects.segmentRemovals {
            memory.segments[number] = nil
            try onDisk?(memory)
        }
        for read in effects.logReads { pending.append(.read(read)) }
        for completion in effects.completions { done.insert(completion.token) }
        notices += effects.notices
    }

    func withEngine<Value>(_ body: (inout Engine) throws -> Value) throws -> Value {
        let value = try body(&engine)
        try turn()
        try settle()
        return value
    }

    @discardableResult
    func propose(_ id: UInt64, to number: Int, padding: Int = 0) throws -> RequestToken {
        let token = token()
        var writer = ByteWriter()
        AuditLog.Command(id: id, padding: padding).encode(into: &writer)
        writer.bytes.withUnsafeBytes { bytes in
            engine.propose(
                slots[number], bytes, token: token, deadline: now + .seconds(100), now: now)
        }
        try turn()
        return token
    }

    /// As a snapshot would: the log up to what is applied is given up.
    func compact(_ number: Int) throws {
        let slot = slots[number].rawValue
        let index = engine.groups[slot].appliedIndex
        guard index > engine.groups[slot].raft.log.base.index else { return }
        engine.groups[slot].raft.log.compact(upTo: index)
        engine.groups[slot].index.drop(upTo: index)
        engine.groups[slot].isSnapshotWanted = false
        engine.groups[slot].snapshot = SnapshotReference(
            name: SnapshotName(
                group: engine.groups[slot].id, position: engine.groups[slot].raft.log.base,
                nonce: 1), byteCount: 1)
        engine.writeCheckpoint(of: slot, isReset: false)
        try turn()
    }

    func isWanted(_ number: Int) -> Bool { engine.groups[slots[number].rawValue].isSnapshotWanted }
    var rare: RareBranches { engine.rare }
    func ids(_ number: Int) -> [UInt64] { machines[slots[number].rawValue]?.ids ?? [] }
    func last(_ number: Int) -> LogIndex {
        engine.groups[slots[number].rawValue].raft.log.lastIndex
    }
}
