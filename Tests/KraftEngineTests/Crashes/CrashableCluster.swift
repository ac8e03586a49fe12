import KraftRouting
import RaftCore

@testable import KraftEngine
@testable import KraftTestKit

/// A few whole nodes on disks that can be copied: at any step of the first one's disk the power may
/// fail in a copy of the cluster, which then has to live on, while the original goes on as if nothing
/// had happened. So every moment of a long life costs no more than what comes behind it.
///
/// Everything else is as quiet as can be: no delays, and time moves only when nothing else does. What
/// waits for a disk or the network happens in an order that the dice choose.
final class CrashableCluster {
    /// What the operators want of a group, and what clients were told of it.
    struct Wish {
        var name: GroupName
        var voters: [NodeID]
        var isWanted = true
    }

    /// What must hold, whatever breaks; by group.
    struct Ledger {
        var proposed: [GroupID: Set<UInt64>] = [:]
        var acknowledged: [GroupID: [UInt64]] = [:]
        /// The longest sequence of commands that any machine has applied: nothing of it may change.
        var applied: [GroupID: [UInt64]] = [:]
        /// How many sessions were opened.
        var sessions: [GroupID: Int] = [:]
        /// Nodes on which a group's creation was acknowledged, and those where its removal was.
        var opened: [GroupID: Set<NodeID>] = [:]
        var removed: [GroupID: Set<NodeID>] = [:]

        mutating func apply(_ group: GroupID, _ ids: [UInt64]) throws {
            let known = applied[group] ?? []
            guard ids.starts(with: known) || known.starts(with: ids) else {
                throw LifeFinding("group \(group): \(ids) was applied, and \(known) before")
            }
            if ids.count > known.count { applied[group] = ids }
        }
    }

    private struct Link {
        var ends: [(node: Int, id: ConnectionID)]
        var isOpen = true
    }

    private enum Packet {
        case accepted(link: Int)
        case connected(link: Int)
        case bytes(link: Int, to: Int, [UInt8])
        case sent(link: Int, from: Int, count: Int)
        case closed(link: Int, end: Int)
        case refused(node: Int, ConnectionID)
    }

    private enum Request {
        case open(GroupID, NodeID)
        case remove(GroupID, NodeID)
        case propose(GroupID, UInt64)
        case session(GroupID)
        case other
    }

    static let victim = 0

    private let size: Int
    private let configuration: EngineConfiguration
    private(set) var nodes: [CrashableNode] = []
    private(set) var now: Instant
    private(set) var wishes: [Wish] = []
    private(set) var ledger = Ledger()
    private(set) var coverage = Coverage()
    private var links: [Link] = []
    private var packets: [Packet] = []
    private var nextPacket = 0
    private var dice: SeededRandom
    private var boots: UInt64
    private var nextInbound: UInt64 = 1
    private var nextToken: RequestToken = 1
    private var nextID: UInt64 = 1
    private var requests: [RequestToken: Request] = [:]
    private(set) var outcomes: [RequestToken: Completion.Outcome] = [:]
    private var isolated: Set<Int> = []
    /// Something is to be found broken.
    var toleratesDamage = false
    /// Called before each step of the first node's disk.
    var onStep: ((LifeStep) throws -> Void)?

    // MARK: Beginnings

    init(
        seed: UInt64, nodes size: Int = 3,
        configuration: EngineConfiguration = CrashableCluster.configuration
    ) throws {
        (self.size, self.configuration) = (size, configuration)
        dice = SeededRandom(seed: seed)
        boots = seed << 32
        now = .zero + .seconds(1)
        for place in 0..<size {
            let disk = SimulatedDisk(random: SeededRandom(seed: seed, stream: UInt64(place)))
            try start(place, on: disk)
        }
    }

    /// A copy of a cluster with all processes gone. The first node's disk is as a power cut leaves
    /// it, the others' as they are.
    init(after life: CrashableCluster, _ cut: SimulatedDisk.PowerCut, seed: UInt64) {
        (size, configuration) = (life.size, life.configuration)
        dice = SeededRandom(seed: seed)
        boots = seed << 32 | 1 << 31
        (now, wishes, ledger) = (life.now, life.wishes, life.ledger)
        (nextToken, nextID) = (life.nextToken, life.nextID + 1_000_000)
        disks = life.nodes.map { node in
            node.disk.copy(random: SeededRandom(seed: seed, stream: UInt64(node.id.rawValue)))
        }
        disks[CrashableCluster.victim].losePower(cut)
    }

    /// Of nodes that have not started yet.
    private(set) var disks: [SimulatedDisk] = []

    /// Starts the first node of a copy; false if the power failed again, after so many operations.
    func startVictim(operationsUntilCrash: Int? = nil, _ cut: SimulatedDisk.PowerCut) throws -> Bool
    {
        let disk = disks[CrashableCluster.victim]
        disk.begin(operationsUntilCrash: operationsUntilCrash)
        defer { disk.begin(operationsUntilCrash: nil) }
        do {
            try start(CrashableCluster.victim, on: disk)
            return true
        } catch {
            guard disk.didCrash else { throw LifeFinding("it can't start: \(error)") }
            disk.losePower(cut)
            return false
        }
    }

    func startOthers() throws {
        for place in 1..<disks.count { try start(place, on: disks[place]) }
        for place in nodes.indices { try reconcile(place) }
    }

    /// Ends a node's process, and starts it again on what its disk then shows.
    func restart(_ place: Int, powerFails: Bool) throws {
        for link in links.indices where links[link].isOpen {
            if links[link].ends.contains(where: { $0.node == place }) { close(link) }
        }
        let disk = nodes[place].disk
        if powerFails { disk.losePower() }
        try start(place, on: disk)
        try reconcile(place)
    }

    static let configuration: EngineConfiguration = {
        var configuration = EngineConfiguration(node: 1, clusterID: "life", peers: [])
        configuration.log.segmentSizeBytes = 64 << 10
        configuration.log.budgetSizeBytes = 4 * (64 << 10)
        configuration.log.cacheSizeBytes = 64 << 10
        configuration.limits.commandSizeBytes = 8 << 10
        configuration.limits.appendSizeBytes = 8 << 10
        configuration.snapshots.entryLimit = 40
        configuration.snapshots.tailEntries = 4
        configuration.snapshots.graceEntries = 0
        configuration.snapshots.chunkSizeBytes = 256
        return configuration
    }()

    private func start(_ place: Int, on disk: SimulatedDisk) throws {
        var configuration = configuration
        configuration.node = NodeID(UInt32(place + 1))
        configuration.peers = (1...size).filter { $0 != place + 1 }.map {
            .init(node: NodeID(UInt32($0)), address: "\($0)")
        }
        boots += 1
        let node = try CrashableNode(
            id: configuration.node, disk: disk, configuration: configuration, boot: boots, now: now)
        node.onApplied = { [unowned self] in try ledger.apply($0, $1) }
        if place == CrashableCluster.victim { node.onStep = { [unowned self] in try onStep?($0) } }
        if nodes.count > place { nodes[place] = node } else { nodes.append(node) }
    }

    // MARK: Groups

    func create(_ names: [String], on voters: [NodeID]) throws {
        for name in names.compactMap({ GroupName($0) }) {
            if let place = wishes.firstIndex(where: { $0.name == name }) {
                wishes[place].isWanted = true
            } else {
                wishes.append(Wish(name: name, voters: voters))
            }
        }
        for place in nodes.indices { try reconcile(place) }
    }

    func remove(_ name: String) throws {
        for place in wishes.indices where wishes[place].name.string == name {
            wishes[place].isWanted = false
        }
        for place in nodes.indices { try reconcile(place) }
    }

    /// Opens and removes groups of a node as is wanted.
    private func reconcile(_ place: Int) throws {
        let node = nodes[place]
        for wish in wishes {
            if let slot = node.engine.slot(of: wish.name), node.machines[slot.rawValue] != nil {
                if !wish.isWanted { try remove(slot, place) }
            } else if wish.isWanted ? wish.voters.contains(node.id) : isHeld(wish, by: node) {
                try open(wish.name, voters: wish.voters, place)
                if !wish.isWanted, let slot = node.engine.slot(of: wish.name) {
                    try remove(slot, place)
                }
            }
        }
        try collect(place)
    }

    private func isHeld(_ wish: Wish, by node: CrashableNode) -> Bool {
        node.engine.slot(of: wish.name) != nil
    }

    private func open(_ name: GroupName, voters: [NodeID], _ place: Int) throws {
        let token = token()
        // One that is there is open at once, whether or not that is durable.
        let isThere = nodes[place].engine.slot(of: name) != nil
        do {
            let slot = try nodes[place].engine.openGroup(
                name, voters: voters, token: token, now: now)
            requests[token] =
                isThere ? .other : .open(nodes[place].engine.id(of: slot), nodes[place].id)
            nodes[place].addMachine(slot)
            try nodes[place].turn(now)
        } catch let error as KraftError where error.code == .conflict {
            // It was removed from this group, and waits to be taken in again.
        }
    }

    private func remove(_ slot: GroupSlot, _ place: Int) throws {
        let token = token()
        requests[token] = .remove(nodes[place].engine.id(of: slot), nodes[place].id)
        nodes[place].removeMachine(slot)
        nodes[place].engine.removeGroup(slot, token: token, now: now)
        try nodes[place].turn(now)
    }

    func slot(_ name: GroupName, _ place: Int) -> GroupSlot? {
        guard let slot = nodes[place].engine.slot(of: name),
            nodes[place].machines[slot.rawValue] != nil
        else { return nil }
        return slot
    }

    /// The node that leads a group in the highest term, and can serve it.
    func leader(of name: GroupName) -> Int? {
        var best: (term: Term, place: Int)?
        for place in nodes.indices {
            guard let slot = slot(name, place) else { continue }
            let raft = nodes[place].engine.groups[slot.rawValue].raft
            guard raft.isLeader, raft.canRead else { continue }
            if best.map({ raft.term > $0.term }) ?? true { best = (raft.term, place) }
        }
        return best?.place
    }

    // MARK: Requests

    private func token() -> RequestToken {
        defer { nextToken += 1 }
        return nextToken
    }

    /// Proposes a new command on a node; nil if the group isn't open there.
    @discardableResult
    func propose(_ name: GroupName, on place: Int, padding: Int) throws -> RequestToken? {
        guard let slot = slot(name, place) else { return nil }
        let (token, id) = (token(), nextID)
        nextID += 1
        let group = nodes[place].engine.id(of: slot)
        requests[token] = .propose(group, id)
        ledger.proposed[group, default: []].insert(id)
        var writer = ByteWriter()
        AuditLog.Command(id: id, padding: padding).encode(into: &writer)
        writer.bytes.withUnsafeBytes { bytes in
            nodes[place].engine.propose(
                slot, bytes, token: token, deadline: now + .seconds(4), now: now)
        }
        try nodes[place].turn(now)
        try collect(place)
        return token
    }

    /// Opens another session of a group.
    func openSession(_ name: GroupName, on place: Int) throws {
        guard let slot = slot(name, place) else { return }
        let token = token()
        requests[token] = .session(nodes[place].engine.id(of: slot))
        let session = SessionID(rawValue: 1_000 + token)
        nodes[place].engine.changeSessions(
            slot, .open(session, ttlMilliseconds: 80_000_000), token: token,
            deadline: now + .seconds(4), now: now)
        try nodes[place].turn(now)
        try collect(place)
    }

    func change(_ name: GroupName, _ change: MembershipChange, on place: Int) throws {
        guard let slot = slot(name, place) else { return }
        let token = token()
        requests[token] = .other
        nodes[place].engine.changeMembers(
            slot, change, token: token, deadline: now + .seconds(10), now: now)
        try nodes[place].turn(now)
        try collect(place)
    }

    /// The cluster takes a node in, or is told that it left.
    func admit(_ node: NodeID, hasLeft: Bool, on place: Int) throws {
        let token = token()
        requests[token] = .other
        if hasLeft {
            try nodes[place].engine.leave(node, token: token, now: now)
        } else {
            try nodes[place].engine.join(node, address: "\(node)", token: token, now: now)
        }
        try nodes[place].turn(now)
        try collect(place)
    }

    func forceElection(_ name: GroupName, on place: Int) throws {
        guard let slot = slot(name, place) else { return }
        _ = nodes[place].engine.forceElection(slot, now: now)
        try nodes[place].turn(now)
        try collect(place)
    }

    func isDone(_ token: RequestToken) -> Bool {
        if case .done? = outcomes[token] { true } else { false }
    }

    // MARK: Time

    func run(milliseconds: UInt64) throws { try run(until: now + .milliseconds(milliseconds)) }

    func run(atMost milliseconds: UInt64, until condition: () throws -> Bool) throws -> Bool {
        let end = now + .milliseconds(milliseconds)
        while now < end {
            if try condition() { return true }
            try run(until: min(end, now + .milliseconds(20)))
        }
        return try condition()
    }

    private func run(until end: Instant) throws {
        var rounds = 0
        while true {
            try settle()
            let wakeUp = nodes.reduce(Instant.never) { min($0, $1.engine.nextWakeUp) }
            guard wakeUp <= end else { break }
            rounds = wakeUp > now ? 0 : rounds + 1
            guard rounds < 10_000 else { throw LifeFinding("time stands still") }
            now = max(now, wakeUp)
            for place in nodes.indices where nodes[place].engine.nextWakeUp <= now {
                try nodes[place].step(.tick, now: now)
                try collect(place)
            }
        }
        now = max(now, end)
    }

    /// Until nothing is under way.
    func settle() throws {
        var count = 0
        while try doSomething() {
            count += 1
            guard count < 100_000 else {
                let log = nodes.map { "\($0.engine.logStatus), \($0.engine.reclaim.stage)" }
                throw LifeFinding("it never comes to rest: \(log)")
            }
        }
    }

    /// Lets so many things happen that are under way.
    func advance(_ count: Int) throws {
        for _ in 0..<count where try !doSomething() { return }
    }

    private func doSomething() throws -> Bool {
        let waiting = packets.count - nextPacket
        let steps = nodes.reduce(0) { $0 + $1.steps.count }
        guard waiting + steps > 0 else { return false }
        // The network is quicker than the disks.
        if waiting > 0, steps == 0 || dice.below(4) > 0 {
            let packet = packets[nextPacket]
            nextPacket += 1
            if nextPacket == packets.count {
                packets.removeAll(keepingCapacity: true)
                nextPacket = 0
            }
            try deliver(packet)
            return true
        }
        var choice = dice.below(steps)
        for place in nodes.indices {
            guard choice >= nodes[place].steps.count else {
                try nodes[place].perform(choice, now: now)
                try collect(place)
                break
            }
            choice -= nodes[place].steps.count
        }
        return true
    }

    // MARK: The network

    /// Cuts a node off from the others, or lets it back.
    func isolate(_ place: Int, _ isIsolated: Bool) {
        if isIsolated { isolated.insert(place) } else { isolated.remove(place) }
        guard isIsolated else { return }
        for link in links.indices where links[link].isOpen {
            if links[link].ends.contains(where: { $0.node == place }) { close(link) }
        }
    }

    private func close(_ link: Int) {
        links[link].isOpen = false
        for end in 0...1 { packets.append(.closed(link: link, end: end)) }
    }

    private func deliver(_ packet: Packet) throws {
        switch packet {
        case .accepted(let link): try step(link, 1) { .accepted($0) }
        case .connected(let link): try step(link, 0) { .connected($0) }
        case .bytes(let link, let end, let bytes):
            try bytes.withUnsafeBytes { bytes in
                try step(link, end) { .received($0, bytes) }
            }
        case .sent(let link, let end, let count):
            try step(link, end) { .sent($0, byteCount: count) }
        case .closed(let link, let end):
            let (place, id) = links[link].ends[end]
            try nodes[place].step(.closed(id), now: now)
            try collect(place)
        case .refused(let place, let id):
            try nodes[place].step(.closed(id), now: now)
            try collect(place)
        }
    }

    private func step(_ link: Int, _ end: Int, _ event: (ConnectionID) -> Event) throws {
        guard links[link].isOpen else { return }
        let (place, id) = links[link].ends[end]
        try nodes[place].step(event(id), now: now)
        try collect(place)
    }

    /// Takes what a node's turn brought for the rest of the world.
    private func collect(_ place: Int) throws {
        var outgoing = CrashableNode.Outgoing()
        swap(&outgoing, &nodes[place].outgoing)
        for (id, address) in outgoing.connects {
            let target = (Int(address) ?? 0) - 1
            guard nodes.indices.contains(target), isolated.isDisjoint(with: [place, target]) else {
                packets.append(.refused(node: place, id))
                continue
            }
            links.append(
                Link(ends: [(place, id), (target, ConnectionID(rawValue: nextInbound))]))
            nextInbound += 2
            packets.append(.accepted(link: links.count - 1))
            packets.append(.connected(link: links.count - 1))
        }
        for (id, bytes) in outgoing.sends {
            guard let (link, end) = find(id, place) else { continue }
            packets.append(.bytes(link: link, to: 1 - end, bytes))
            packets.append(.sent(link: link, from: end, count: bytes.count))
        }
        for id in outgoing.closes {
            guard let (link, end) = find(id, place) else { continue }
            links[link].isOpen = false
            packets.append(.closed(link: link, end: 1 - end))
        }
        for completion in outgoing.completions { end(completion) }
        for notice in outgoing.notices { try take(notice, place) }
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

    private func end(_ completion: Completion) {
        outcomes[completion.token] = completion.outcome
        guard case .done = completion.outcome, let request = requests[completion.token] else {
            return
        }
        switch request {
        case .open(let group, let node): ledger.opened[group, default: []].insert(node)
        case .remove(let group, let node): ledger.removed[group, default: []].insert(node)
        case .propose(let group, let id): ledger.acknowledged[group, default: []].append(id)
        case .session(let group): ledger.sessions[group, default: 0] += 1
        case .other: break
        }
    }

    private func take(_ notice: Notice, _ place: Int) throws {
        switch notice {
        case .groupCreated(let slot, let name):
            guard nodes[place].machines[slot.rawValue] == nil,
                nodes[place].engine.slot(of: name) == slot
            else { return }
            // A leader took this node in.
            try open(name, voters: [], place)
            try collect(place)
        case .groupRemoved(let slot, _, let id, let isFormerMember):
            guard isFormerMember else { return }
            ledger.opened[id]?.remove(nodes[place].id)
            nodes[place].removeMachine(slot)
        case .damaged, .replicaDamaged:
            if !toleratesDamage { throw LifeFinding("node \(place + 1): \(notice)") }
        case .contradicted, .fenced:
            throw LifeFinding("node \(place + 1): \(notice)")
        default: break
        }
    }
}
