import KraftEngine
import KraftRouting
import RaftCore

/// Clients that write commands never seen before, and read whether what they were told is there.
final class Workload {
    let simulation: Simulation<AuditLog>
    let plan: Plan
    let names: [String]
    private var clients: [Client] = []
    private var nextID: UInt64 = 1
    private var isStopped = false
    /// By the life of a group: the ids whose effect somebody was told of.
    private(set) var acknowledged: [[UInt64]] = []

    /// Each has its own dice, so that one client less leaves the others as they are.
    private struct Client {
        var random: SeededRandom
        var node: NodeID
    }

    init(_ simulation: Simulation<AuditLog>, _ plan: Plan) {
        self.simulation = simulation
        self.plan = plan
        names = plan.groupNames
        for number in 0..<plan.load.clients {
            var random = SeededRandom(seed: plan.seed, stream: 2_000 + UInt64(number))
            let node = NodeID(UInt32(1 + random.below(plan.nodes)))
            clients.append(Client(random: random, node: node))
        }
    }

    func start() {
        for client in clients.indices { wait(client) }
    }

    func stop() { isStopped = true }

    private func wait(_ client: Int, isRefused: Bool = false) {
        guard !isStopped else { return }
        var span = clients[client].random.number(in: plan.load.thinkTime)
        if isRefused { span += clients[client].random.number(in: plan.load.backOff) }
        simulation.after(Nanoseconds(span)) { [self] in
            if !isStopped { act(client) }
        }
    }

    /// A client stays with a node that answers, and with one that holds the group.
    private func act(_ client: Int) {
        let isHot = clients[client].random.chance(plan.load.hotPermille)
        let group = isHot ? 0 : clients[client].random.below(plan.groups)
        let timeout = Nanoseconds(clients[client].random.number(in: plan.load.timeout))
        let voters = simulation.holders(of: names[group])
        // Now and then through a node that may not hold it any more, or not yet.
        if !voters.contains(clients[client].node), clients[client].random.chance(900) {
            clients[client].node = clients[client].random.pick(voters)
        }
        let node = clients[client].node
        let isRead = clients[client].random.chance(plan.load.readPermille)
        let burst = isRead ? 0 : clients[client].random.below(plan.load.burst)
        for _ in 0..<burst { write(client, group, on: node, timeout: timeout) { _ in } }
        let then: (Bool) -> Void = { [self] isDone in
            if !isDone { clients[client].node = clients[client].random.pick(voters) }
            wait(client, isRefused: !isDone)
        }
        if isRead {
            read(client, group, on: node, timeout: timeout, then: then)
        } else {
            write(client, group, on: node, timeout: timeout, then: then)
        }
    }

    /// So many requests at once, for one group through one node.
    func crowd(_ name: String, _ node: NodeID, writes: Int, reads: Int) {
        guard !isStopped, let group = names.firstIndex(of: name) else { return }
        let timeout = Nanoseconds(plan.load.timeout.upperBound)
        for _ in 0..<writes { write(group, on: node, padding: 200, timeout: timeout) { _ in } }
        let track = simulation.track(of: group, on: node)
        for _ in 0..<reads {
            read(
                group, on: node, track: track, id: track.flatMap { acknowledged(in: $0).last },
                timeout: timeout
            ) { _ in }
        }
    }

    // MARK: Requests

    private func write(
        _ client: Int, _ group: Int, on node: NodeID, timeout: Nanoseconds,
        then: @escaping (Bool) -> Void
    ) {
        let padding =
            clients[client].random.chance(plan.load.bigPermille)
            ? clients[client].random.below(plan.options.limits.commandSizeBytes - 64)
            : clients[client].random.below(64)
        var route: Epoch?
        if clients[client].random.chance(plan.load.routePermille) { route = .first }
        if clients[client].random.chance(plan.load.routePermille) { route = Epoch(rawValue: 99) }
        write(group, on: node, padding: padding, timeout: timeout, route: route, then: then)
    }

    private func read(
        _ client: Int, _ group: Int, on node: NodeID, timeout: Nanoseconds,
        then: @escaping (Bool) -> Void
    ) {
        let track = simulation.track(of: group, on: node)
        let id = track.flatMap { clients[client].random.element(acknowledged(in: $0)) }
        var freshness = ReadFreshness.linearizable
        if clients[client].random.chance(plan.load.leaseReadPermille) { freshness = .lease }
        if clients[client].random.chance(plan.load.boundedReadPermille) {
            let span = clients[client].random.number(in: UInt64(1_000_000)...2_000_000_000)
            freshness = .bounded(Nanoseconds(span))
        }
        read(
            group, on: node, track: track, id: id, freshness: freshness, timeout: timeout,
            then: then)
    }

    /// For a command that nobody has ever used.
    func newID() -> UInt64 {
        defer { nextID += 1 }
        return nextID
    }

    /// Somebody was told that a command took effect in this life of a group.
    func acknowledge(_ id: UInt64, in track: Int) {
        while acknowledged.count <= track { acknowledged.append([]) }
        acknowledged[track].append(id)
    }

    private func acknowledged(in track: Int) -> [UInt64] {
        acknowledged.indices.contains(track) ? acknowledged[track] : []
    }

    /// Writes one new command; `then` is told whether it is known to have taken effect.
    func write(
        _ group: Int, on node: NodeID, padding: Int = 0, timeout: Nanoseconds,
        route: Epoch? = nil, then: @escaping (Bool) -> Void
    ) {
        let id = newID()
        let track = simulation.track(of: group, on: node)
        simulation.propose(
            on: node, group: names[group], AuditLog.Command(id: id, padding: padding),
            timeout: timeout, route: route
        ) { [self] outcome in
            if outcome.isDone, let track {
                acknowledge(id, in: track)
                if let route, route != .first {
                    simulation.report(
                        (.linearizability, "a command with a stale route took effect"))
                }
            }
            then(outcome.isDone)
        }
    }

    /// Reads whether something that was acknowledged before is there.
    func read(
        _ group: Int, on node: NodeID, track: Int?, id: UInt64?,
        freshness: ReadFreshness = .linearizable, timeout: Nanoseconds,
        then: @escaping (Bool) -> Void
    ) {
        var isStaleAllowed = false
        if case .bounded = freshness { isStaleAllowed = true }
        let query = id.map { AuditLog.Query.contains($0) } ?? .content
        simulation.read(
            on: node, group: names[group], query, freshness: freshness, timeout: timeout
        ) { [self] outcome in
            if case .done(_, .contains(false)) = outcome, !isStaleAllowed {
                simulation.report(
                    (.acknowledgement, "a read on node \(node) misses command \(id ?? 0)"))
            }
            then(outcome.isDone)
        }
    }

    /// Whether every acknowledged command is on every node that holds the group.
    func checkContents() {
        for (group, name) in names.enumerated() {
            for node in simulation.holders(of: name) {
                guard let machine = simulation.machine(of: name, on: node),
                    let track = simulation.track(of: group, on: node)
                else { continue }
                for id in acknowledged(in: track)
                where machine.answer(.contains(id)) == .contains(false) {
                    simulation.report(
                        (.acknowledgement, "node \(node) lost the acknowledged command \(id)"))
                    return
                }
            }
        }
    }
}
