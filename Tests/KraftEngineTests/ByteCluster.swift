import KraftRouting
import KraftTestKit
import RaftCore

@testable import KraftEngine

/// A few engines whose bytes a test can hold in its hand: what one sends may be spoilt before
/// another gets it, and a disk may be made to wait.
///
/// Everything else is as quiet as can be: no delays, and time moves only when nothing else does.
final class ByteCluster {
    /// One process.
    final class Node {
        let id: NodeID
        var engine: Engine
        var memory: LogMemory
        var machine = AuditLog()
        var slot: GroupSlot?
        /// Writes that wait, in order; none is under way while they do.
        var heldWrites: [LogWrite] = []
        var isDiskHeld = false
        var done: [RequestToken: Completion.Outcome] = [:]
        /// Whom it took a connection away from, and why.
        var refusals: [String] = []
        var notices: [Notice] = []
        /// There is no space: neither for new segments nor for writes.
        var isOutOfSpace = false
        /// There is no space for new segments; those that are there can be written.
        var refusesSegments = false

        init(id: NodeID, engine: consuming Engine, memory: LogMemory) {
            self.id = id
            self.engine = engine
            self.memory = memory
        }
    }

    struct Link {
        var ends: [End]
        var isOpen = true
        struct End {
            /// Nil: the test itself.
            var node: Int?
            var id: ConnectionID
        }
    }

    private enum Pending {
        case connected(link: Int)
        case accepted(link: Int)
        case bytes(link: Int, to: Int, [UInt8])
        case sent(link: Int, from: Int, count: Int)
        case closed(link: Int, end: Int)
        case written(node: Int, LogWrite)
        case prepared(node: Int, SegmentPreparation)
        case read(node: Int, LogRead)
    }

    static let groupName = GroupName("g")
    private(set) var nodes: [Node] = []
    private(set) var links: [Link] = []
    private(set) var now = Instant.zero + .seconds(1)
    private var pending: [Pending] = []
    private var nextInbound: UInt64 = 1
    private var nextToken: RequestToken = 1
    /// Sees the bytes that one node sends another, and may change them.
    var tamper: ((_ from: NodeID, _ to: NodeID, _ bytes: inout [UInt8]) -> Void)?
    var isCut: ((_ from: NodeID, _ to: NodeID) -> Bool)?

    /// Nodes 1 to `count`, with one group on all of them.
    init(_ count: Int) throws {
        let ids = (1...UInt32(count)).map { NodeID($0) }
        for id in ids {
            var configuration = EngineConfiguration(
                node: id, clusterID: "fuzz",
                peers: ids.filter { $0 != id }.map { .init(node: $0, address: "\($0)") })
            configuration.log = LogUnderTest.limits
            configuration.limits.commandSizeBytes = 16 << 10
            var memory = LogMemory()
            let engine = try Engine(
                configuration, directory: &memory, boot: UInt64(id.rawValue),
                seed: UInt64(id.rawValue) << 32, now: now)
            nodes.append(Node(id: id, engine: engine, memory: memory))
        }
        guard let name = ByteCluster.groupName else { return }
        for place in nodes.indices {
            nodes[place].slot = try nodes[place].engine.openGroup(
                name, voters: ids, token: token(), now: now)
            turn(place)
        }
    }

    private func token() -> RequestToken {
        defer { nextToken += 1 }
        return nextToken
    }

    // MARK: Time

    /// Lets everything happen that happens within `span`.
    func run(_ span: Nanoseconds) {
        let end = now + span
        while true {
            while !pending.isEmpty {
                let batch = pending
                pending = []
                for next in batch { handle(next) }
            }
            let wakeUp = nodes.reduce(Instant.never) { min($0, $1.engine.nextWakeUp) }
            guard wakeUp <= end else { break }
            now = max(now, wakeUp)
            for place in nodes.indices where nodes[place].engine.nextWakeUp <= now {
                nodes[place].engine.step(.tick, now: now)
                turn(place)
            }
        }
        now = end
    }

    /// Runs until `condition` holds; false if it doesn't within `span`.
    func run(atMost span: Nanoseconds, until condition: () -> Bool) -> Bool {
        let end = now + span
        while now < end {
            if condition() { return true }
            run(.milliseconds(20))
        }
        return condition()
    }

    // MARK: What a test does

    var leader: Int? {
        nodes.indices.first { glance($0)?.role == .leader }
    }

    /// Proposes on a node; the token that `done` will have.
    func propose(_ id: UInt64, on place: Int) -> RequestToken {
        let token = token()
        guard let slot = nodes[place].slot else { return token }
        var writer = ByteWriter()
        AuditLog.Command(id: id).encode(into: &writer)
        writer.bytes.withUnsafeBytes { bytes in
            nodes[place].engine.propose(
                slot, bytes, token: token, deadline: now + .seconds(120), now: now)
        }
        turn(place)
        return token
    }

    /// Whether a command of this id takes effect, and its proposer is told so, in a second.
    func write(_ id: UInt64, on place: Int) -> Bool {
        let token = propose(id, on: place)
        _ = run(atMost: .seconds(1)) { nodes[place].done[token] != nil }
        guard case .done? = nodes[place].done[token] else { return false }
        return true
    }

    /// A connection of the test's own to a node.
    func connect(to place: Int) -> Int {
        let link = addLink(nil, ConnectionID(rawValue: 0), place)
        pending.append(.accepted(link: link))
        return link
    }

    func send(_ bytes: [UInt8], on link: Int) {
        pending.append(.bytes(link: link, to: 1, bytes))
    }

    /// The open link between two nodes.
    func link(_ a: Int, _ b: Int) -> Int? {
        links.lastIndex { link in
            link.isOpen && Set(link.ends.map(\.node)) == [a, b]
        }
    }

    /// The disk goes on; what waited is written.
    func releaseDisk(of place: Int) {
        nodes[place].isDiskHeld = false
        let writes = nodes[place].heldWrites
        nodes[place].heldWrites = []
        for write in writes { pending.append(.written(node: place, write)) }
    }

    /// The first write that waits ends; the disk goes on waiting.
    func releaseWrite(of place: Int) {
        guard !nodes[place].heldWrites.isEmpty else { return }
        pending.append(.written(node: place, nodes[place].heldWrites.removeFirst()))
    }

    func glance(_ place: Int) -> Engine.GroupGlance? {
        nodes[place].slot.map { nodes[place].engine.glance(at: $0) }
    }

    private func addLink(_ from: Int?, _ id: ConnectionID, _ to: Int?) -> Int {
        links.append(
            Link(ends: [
                .init(node: from, id: id),
                .init(node: to, id: ConnectionID(rawValue: nextInbound)),
            ]))
        nextInbound += 2
        return links.count - 1
    }

    // MARK: Events

    private func handle(_ next: Pending) {
        switch next {
        case .connected(let link): step(link, 0) { .connected($0) }
        case .accepted(let link): step(link, 1) { .accepted($0) }
        case .closed(let link, let end): step(link, end, whenClosed: true) { .closed($0) }
        case .sent(let link, let end, let count):
            step(link, end) { .sent($0, byteCount: count) }
        case .bytes(let link, let end, var bytes):
            guard links[link].isOpen else { return }
            if let from = links[link].ends[1 - end].node, let to = links[link].ends[end].node {
                if isCut?(nodes[from].id, nodes[to].id) == true { return }
                tamper?(nodes[from].id, nodes[to].id, &bytes)
            }
            bytes.withUnsafeBytes { buffer in step(link, end) { .received($0, buffer) } }
        case .written(let place, let write) where nodes[place].isOutOfSpace:
            nodes[place].engine.step(
                .logWriteFailed(write.id, reason: "no space", isOutOfSpace: true), now: now)
            turn(place)
        case .written(let place, let write):
            nodes[place].memory.carryOut(write)
            nodes[place].engine.step(.logWritten(write.id), now: now)
            turn(place)
        case .prepared(let place, let segment)
        where nodes[place].isOutOfSpace || nodes[place].refusesSegments:
            nodes[place].engine.step(
                .segmentFailed(number: segment.number, reason: "no space", isOutOfSpace: true),
                now: now)
            turn(place)
        case .prepared(let place, let segment):
            try? nodes[place].memory.prepare(segment)
            nodes[place].engine.step(.segmentPrepared(number: segment.number), now: now)
            turn(place)
        case .read(let place, let read):
            let segment = nodes[place].memory.segments[read.segment] ?? []
            let end = min(segment.count, read.offset + read.count)
            segment[read.offset..<end].withUnsafeBytes { bytes in
                nodes[place].engine.step(.logRead(read.id, bytes), now: now)
            }
            turn(place)
        }
    }

    private func step(
        _ link: Int, _ end: Int, whenClosed: Bool = false, _ event: (ConnectionID) -> Event
    ) {
        guard links[link].isOpen || whenClosed, let place = links[link].ends[end].node else {
            return
        }
        nodes[place].engine.step(event(links[link].ends[end].id), now: now)
        turn(place)
    }

    /// Ends a turn of a node and carries out what it wants.
    private func turn(_ place: Int) {
        nodes[place].engine.endTurn(now: now)
        while let work = nodes[place].engine.nextApply() {
            var replies = ReplyBuffer()
            nodes[place].machine.apply(work.batch, replies: &replies)
            nodes[place].engine.applied(work, replies: replies, now: now)
        }
        carryOut(place)
    }

    private func carryOut(_ place: Int) {
        let effects = nodes[place].engine.effects
        nodes[place].engine.effects.removeAll()
        for (id, address) in effects.connects {
            let target = Int(address).flatMap { nodes.indices.contains($0 - 1) ? $0 - 1 : nil }
            let link = addLink(place, id, target)
            guard target != nil else {
                // Nobody listens there.
                links[link].isOpen = false
                pending.append(.closed(link: link, end: 0))
                continue
            }
            pending.append(.accepted(link: link))
            pending.append(.connected(link: link))
        }
        for (id, block) in effects.sends {
            guard let (link, end) = find(id, place) else { continue }
            pending.append(.bytes(link: link, to: 1 - end, Array(block.bytes)))
            pending.append(.sent(link: link, from: end, count: block.count))
        }
        for id in effects.closes {
            guard let (link, end) = find(id, place) else { continue }
            links[link].isOpen = false
            pending.append(.closed(link: link, end: 1 - end))
        }
        for write in effects.logWrites {
            if nodes[place].isDiskHeld {
                nodes[place].heldWrites.append(write)
            } else {
                pending.append(.written(node: place, write))
            }
        }
        for segment in effects.segmentPreparations {
            pending.append(.prepared(node: place, segment))
        }
        for number in effects.segmentRemovals { nodes[place].memory.segments[number] = nil }
        for read in effects.logReads { pending.append(.read(node: place, read)) }
        for completion in effects.completions {
            nodes[place].done[completion.token] = completion.outcome
        }
        nodes[place].notices += effects.notices
        for case .connectionRefused(_, _, let reason) in effects.notices {
            nodes[place].refusals.append(reason)
        }
    }

    private func find(_ id: ConnectionID, _ place: Int) -> (link: Int, end: Int)? {
        for link in links.indices.reversed() where links[link].isOpen {
            for end in 0...1
            where links[link].ends[end].node == place && links[link].ends[end].id == id {
                return (link, end)
            }
        }
        return nil
    }
}
