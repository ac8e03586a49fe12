import KraftEngine
import KraftRouting
import RaftCore

/// Clients that use sessions: several commands under way, each tried again after whatever end,
/// through other nodes too, and when its session is over. The oracle of sessions judges the ends.
final class SessionClients {
    private let workload: Workload
    private let simulation: Simulation<AuditLog>
    private let plan: Plan
    private let names: [String]
    private var clients: [Client] = []
    private var isStopped = false

    /// Each has its own dice.
    private struct Client {
        var random: SeededRandom
        var node: NodeID
        /// The one in use is the last; those before it are over, or were left alone.
        var sessions: [ClientSession] = []
    }

    private static let sessionsKept = 6
    private static let tryLimit = 128

    init(_ workload: Workload) {
        self.workload = workload
        simulation = workload.simulation
        plan = workload.plan
        names = workload.names
        for number in 0..<plan.load.sessionClients {
            var random = SeededRandom(seed: plan.seed, stream: 3_000 + UInt64(number))
            let node = NodeID(UInt32(1 + random.below(plan.nodes)))
            clients.append(Client(random: random, node: node))
        }
    }

    func start() {
        for client in clients.indices { wait(client) }
    }

    func stop() { isStopped = true }

    /// All sessions that the clients remember.
    var sessions: [ClientSession] { clients.flatMap(\.sessions) }

    // MARK: Steps

    private func wait(_ client: Int) {
        let span = clients[client].random.number(in: plan.load.thinkTime)
        after(span) { $0.act(client) }
    }

    private func after(_ span: UInt64, _ body: @escaping (SessionClients) -> Void) {
        simulation.after(Nanoseconds(span)) { [self] in
            if !isStopped { body(self) }
        }
    }

    private func act(_ client: Int) {
        guard let session = clients[client].sessions.last, session.state != .over else {
            begin(client)
            return wait(client)
        }
        // An opening is tried again until something is known of it.
        guard session.state == .open else { return wait(client) }
        switch clients[client].random.below(1_000) {
        case ..<15: close(client, session)
        case ..<25: session.state = .over
        case ..<60: touch(client)
        case ..<90 where session.ttlMilliseconds < 10_000:
            // Long enough to expire, or nearly.
            let span = session.ttlMilliseconds * 1_000_000
            let rest = clients[client].random.number(in: span / 2...span * 2)
            return after(rest) { $0.act(client) }
        case ..<120:
            let some = clients[client].random.pick(clients[client].sessions)
            // Late openings too: what has ended stays so.
            if clients[client].random.chance(200) {
                open(client, some, triesLeft: 1)
            } else {
                retrySomething(client, of: some)
            }
        default:
            if clients[client].random.chance(plan.load.sessionRetryPermille) {
                retrySomething(client, of: session)
            } else {
                tryNew(client, session)
            }
        }
        wait(client)
    }

    private func timeout(_ client: Int) -> Nanoseconds {
        Nanoseconds(clients[client].random.number(in: plan.load.timeout))
    }

    /// A node that holds the session's group in the same life: mostly the one that was asked before.
    private func place(_ client: Int, _ session: ClientSession) -> NodeID? {
        let nodes = simulation.nodeIDs.filter {
            simulation.track(of: session.group, on: $0) == session.track
        }
        if nodes.contains(clients[client].node), clients[client].random.chance(600) {
            return clients[client].node
        }
        guard let node = clients[client].random.element(nodes) else { return nil }
        clients[client].node = node
        return node
    }

    // MARK: Lives of sessions

    private func begin(_ client: Int) {
        let isHot = clients[client].random.chance(plan.load.hotPermille)
        let group = isHot ? 0 : clients[client].random.below(plan.groups)
        let node = clients[client].random.pick(simulation.holders(of: names[group]))
        let isShort = clients[client].random.chance(plan.load.shortSessionPermille)
        let id = SessionID(clients[client].random.next() | 1)
        guard let track = simulation.track(of: group, on: node) else { return }
        clients[client].node = node
        let session = ClientSession(
            id, ttlMilliseconds: isShort ? plan.load.shortSessionMilliseconds : 86_400_000,
            group: group, track: track)
        if clients[client].sessions.count >= SessionClients.sessionsKept {
            clients[client].sessions.removeFirst()
        }
        clients[client].sessions.append(session)
        open(client, session, triesLeft: 12)
    }

    /// As long as nobody knows whether it is open.
    private func open(_ client: Int, _ session: ClientSession, triesLeft: Int) {
        guard triesLeft > 0, let node = place(client, session) else {
            session.state = .over
            return
        }
        simulation.changeSessions(
            on: node, group: names[session.group],
            .open(session.id, ttlMilliseconds: session.ttlMilliseconds), timeout: timeout(client)
        ) { [self] outcome in
            switch outcome {
            case .done:
                if session.state == .opening { session.state = .open }
                // The same again answers the same.
                guard clients[client].random.chance(100) else { return }
            case .refused(.sessionExpired), .refused(.sessionTaken):
                session.state = .over
                return
            default: break
            }
            let span = clients[client].random.number(in: plan.load.backOff)
            after(span) { $0.open(client, session, triesLeft: triesLeft - 1) }
        }
    }

    private func close(_ client: Int, _ session: ClientSession) {
        guard let node = place(client, session) else { return }
        session.mayBeClosed = true
        simulation.changeSessions(
            on: node, group: names[session.group], .close(session.id), timeout: timeout(client)
        ) { _ in }
        // Or it goes on as if it had not closed anything.
        if clients[client].random.chance(700) { session.state = .over }
    }

    private func touch(_ client: Int) {
        guard let session = clients[client].sessions.last, let node = place(client, session) else {
            return
        }
        let all = clients[client].sessions.filter { $0.track == session.track }
        simulation.changeSessions(
            on: node, group: names[session.group], .touch(all.map(\.id)), timeout: timeout(client)
        ) { _ in }
    }

    // MARK: Commands

    private func tryNew(_ client: Int, _ session: ClientSession) {
        for _ in 0..<1 + clients[client].random.below(plan.load.sessionBurst) {
            guard session.underWay < SessionClients.tryLimit else { return }
            let gap = clients[client].random.chance(50) ? clients[client].random.below(20) : 0
            let padding = clients[client].random.below(64)
            let command = session.newCommand(id: workload.newID(), padding: padding, gap: gap)
            attempt(client, command, session, triesLeft: 5)
        }
    }

    /// Whether it was answered or not; now and then several times at once, or in a group that
    /// doesn't know the session.
    private func retrySomething(_ client: Int, of session: ClientSession) {
        guard let command = clients[client].random.element(session.commands) else { return }
        for _ in 0..<1 + clients[client].random.below(3) {
            attempt(client, command, session, triesLeft: 1)
        }
        guard clients[client].random.chance(30) else { return }
        let strange = clients[client].random.below(plan.groups)
        guard strange != session.group else { return }
        propose(
            command, of: session, to: strange,
            on: clients[client].random.pick(simulation.holders(of: names[strange])),
            route: nil, timeout: timeout(client)
        ) { _ in }
    }

    private func attempt(
        _ client: Int, _ command: ClientSession.Command, _ session: ClientSession, triesLeft: Int
    ) {
        guard let node = place(client, session) else {
            // The group's life is over, or all its nodes are down.
            if clients[client].random.chance(100) { session.state = .over }
            return
        }
        var route: Epoch?
        if clients[client].random.chance(plan.load.routePermille) { route = .first }
        if clients[client].random.chance(plan.load.routePermille) { route = Epoch(rawValue: 99) }
        session.underWay += 1
        propose(
            command, of: session, to: session.group, on: node, route: route,
            timeout: timeout(client)
        ) { [self] outcome in
            session.underWay -= 1
            switch outcome {
            case .done:
                // And again, though it is answered.
                guard clients[client].random.chance(50) else { return }
            case .refused(.sessionExpired):
                session.state = .over
                guard clients[client].random.chance(200) else { return }
            default: break
            }
            guard triesLeft > 1 else { return }
            let span = clients[client].random.number(in: plan.load.backOff)
            after(span) { $0.attempt(client, command, session, triesLeft: triesLeft - 1) }
        }
    }

    private func propose(
        _ command: ClientSession.Command, of session: ClientSession, to group: Int,
        on node: NodeID, route: Epoch?, timeout: Nanoseconds,
        then: @escaping (RequestOutcome<UInt64>) -> Void
    ) {
        simulation.propose(
            on: node, group: names[group],
            AuditLog.Command(id: command.id, padding: command.padding),
            session: SessionTag(session: session.id, sequence: command.sequence),
            timeout: timeout, route: route
        ) { [self] outcome in
            if outcome.isDone, session.noteAcknowledged(command.sequence) {
                workload.acknowledge(command.id, in: session.track)
            }
            then(outcome)
        }
    }

    // MARK: The calm

    /// Opens a session of its own: the group's clock goes on.
    func probe(
        _ group: Int, on node: NodeID, timeout: Nanoseconds, then: @escaping (Bool) -> Void
    ) {
        simulation.changeSessions(
            on: node, group: names[group],
            .open(SessionID(workload.newID() | 1 << 62), ttlMilliseconds: 86_400_000),
            timeout: timeout
        ) { then($0.isDone) }
    }

    /// So much time passes until every short session is over: its time to live, by clocks that may
    /// run a tenth too slow.
    var longestShortLife: Nanoseconds {
        .milliseconds(plan.load.shortSessionMilliseconds * 5 / 4 + 1_000)
    }

    /// The sessions of the groups' present lives of which it is known whether they are open, when
    /// the short ones have not been used for `longestShortLife`.
    var judged: [ClientSession] {
        sessions.filter { session in
            session.state == .open && (session.ttlMilliseconds < 10_000 || !session.mayBeClosed)
                && simulation.holders(of: names[session.group]).allSatisfy {
                    simulation.track(of: session.group, on: $0) == session.track
                }
        }
    }

    /// A new command: a short session must be over, a long one must take it. `then` is told whether
    /// one or the other is known.
    func judge(
        _ session: ClientSession, on node: NodeID, timeout: Nanoseconds,
        then: @escaping (Bool) -> Void
    ) {
        let command = session.newCommand(id: workload.newID(), padding: 0)
        propose(
            command, of: session, to: session.group, on: node, route: nil, timeout: timeout
        ) { [self] outcome in
            switch outcome {
            case .done where session.ttlMilliseconds < 10_000:
                simulation.report(
                    (
                        .sessions,
                        "session \(session.id) takes a command long after its time to live"
                    ))
                then(true)
            case .refused(.sessionExpired): then(true)
            default: then(outcome.isDone)
            }
        }
    }
}
