import KraftEngine
import KraftRouting
import RaftCore

/// A whole cluster of production engines on a simulated network, disk and clock, from one seed.
///
/// The same seed, options and calls give the same run in every process: `traceHash` shows it. After
/// each turn of a node the invariants of Raft and of the log are checked; what breaks lands in
/// `violations`, and the simulation stands still from then on.
///
/// ```swift
/// let simulation = Simulation(seed: 42, nodes: 3, groups: ["users"]) { _ in UserStore() }
/// simulation.run(for: .seconds(2))
/// let request = simulation.propose(on: 1, group: "users", command)
/// simulation.crash(2)
/// simulation.run(for: .seconds(2))
/// precondition(simulation.violations.isEmpty)
/// ```
public final class Simulation<Machine: StateMachine> {
    public let seed: UInt64
    public var options: SimulationOptions
    public let groupNames: [GroupName]
    /// What broke so far. The first one stops the simulation.
    @exclusivity(unchecked) public internal(set) var violations: [Violation] = []
    public var coverage: Coverage {
        var total = pastCoverage
        for node in nodes {
            total += node.disk.coverage
            if let rare = node.box?.engine.rareBranches { total.count(rare) }
        }
        return total
    }
    /// Called for each thing worth a line in a log; for debugging a seed.
    @exclusivity(unchecked) public var log: ((String) -> Void)?
    /// Each request and message is worth a line too.
    public var isLogVerbose = false

    let makeMachine: (GroupName) -> Machine
    // A quarter of all time went into checks that these, which each event touches for an instant,
    // aren't touched twice at once.
    @exclusivity(unchecked) var time: UInt64 = 0
    @exclusivity(unchecked) private var eventsNow = 0
    /// Without what the running engines and the disks count themselves.
    @exclusivity(unchecked) var pastCoverage = Coverage()
    var queue = EventQueue<Scheduled>()
    @exclusivity(unchecked) var trace = TraceHash()
    @exclusivity(unchecked) var nodes: [SimulatedNode<Machine>] = []
    var connections: [SimulatedConnection] = []
    var links: [SimulatedLink]
    var requests: [Request<Machine>] = []
    /// Requests of all kinds that have not ended.
    public internal(set) var pendingRequests = 0
    var oracles: Oracles
    var turnsUntilLogMatch: Int
    /// Rises when all planned crashes are called off.
    var faultEra = 0
    /// What the operators want of each group.
    var wishes: [GroupWish]
    /// By track: the newest configuration that anybody knows for committed.
    var memberships: [Raft.Configuration?] = []
    /// Streams in which bytes were changed on their way, or made up, so that some node must find a
    /// bad frame; and those that nodes which ended since have found.
    var badStreams: UInt64 = 0
    var badFramesFound: UInt64 = 0
    /// By cluster: a hello as an engine would send it, made when first needed.
    var strangerHellos: [String: [UInt8]] = [:]
    var networkRandom: SeededRandom
    var diskRandom: SeededRandom
    var turnRandom: SeededRandom
    var bootRandom: SeededRandom
    /// Of 1,000 starts, how many lose power again while they recover.
    public var bootCrashPermille = 0
    /// The one node that ever had damage.
    var decayingNode: Int?

    /// What the queue holds.
    enum Scheduled {
        case node(NodeEvent, node: Int, life: Int)
        case tick(node: Int, life: Int, number: UInt64)
        case resume(node: Int, life: Int)
        case readable(connection: Int, stream: Int, isPoll: Bool)
        case dial(connection: Int)
        case closeNotice(connection: Int, side: Int)
        case disk(DiskStep, node: Int, life: Int)
        case run(() -> Void)
    }

    /// Starts all nodes at time zero; each opens the groups that it votes in.
    ///
    /// - `nodes`: how many; they are numbered from 1. At most 9.
    /// - `groups`: names of at most 1,024 groups; must be legal and distinct.
    /// - `voters`: of each group at its creation; `options.firstVoters` unless told otherwise.
    public init(
        seed: UInt64, nodes count: Int = 3, groups: [String] = ["group"],
        options: SimulationOptions = SimulationOptions(),
        voters: ((GroupName) -> [NodeID])? = nil,
        makeMachine: @escaping (GroupName) -> Machine
    ) {
        precondition((1...9).contains(count), "1 to 9 nodes")
        precondition(groups.count <= 1_024, "at most 1,024 groups")
        self.seed = seed
        self.options = options
        self.makeMachine = makeMachine
        let names = groups.map { name in
            guard let name = GroupName(name) else { preconditionFailure("illegal name: \(name)") }
            return name
        }
        groupNames = names
        let everybody = (1...count).map { NodeID(UInt32($0)) }
        let first = Array(everybody.prefix(options.firstVoters ?? count))
        wishes = names.map { GroupWish(voters: voters?($0) ?? first) }
        networkRandom = SeededRandom(seed: seed, stream: 1)
        diskRandom = SeededRandom(seed: seed, stream: 2)
        turnRandom = SeededRandom(seed: seed, stream: 3)
        bootRandom = SeededRandom(seed: seed, stream: 4)
        links = Array(repeating: SimulatedLink(), count: count * count)
        oracles = Oracles(nodes: count)
        turnsUntilLogMatch = options.checks.turnsPerLogMatch
        for position in 0..<count {
            let random = SeededRandom(seed: seed, stream: 100 + UInt64(position))
            nodes.append(SimulatedNode(position: position, disk: SimulatedDisk(random: random)))
        }
        for node in nodes { boot(node) }
    }

    /// Simulated time since the start.
    public var now: Nanoseconds { Nanoseconds(time) }
    public var nodeIDs: [NodeID] { nodes.map(\.id) }
    /// A hash over everything that has happened so far.
    public var traceHash: UInt64 { trace.value }

    // MARK: Running

    /// Lets simulated time pass. Stops early at the first violation.
    public func run(for span: Nanoseconds) { run(until: Nanoseconds(time + span.rawValue)) }

    /// Runs until this much time has passed since the start.
    public func run(until end: Nanoseconds) {
        while violations.isEmpty, let next = queue.nextTime, next <= end.rawValue {
            runNext()
        }
        if violations.isEmpty { time = max(time, end.rawValue) }
    }

    /// Runs until the condition holds, at most for this long. Says whether it holds.
    public func run(atMost span: Nanoseconds, until condition: () -> Bool) -> Bool {
        let end = time + span.rawValue
        while !condition() {
            guard violations.isEmpty else { return false }
            guard let next = queue.nextTime, next <= end else {
                time = max(time, end)
                return condition()
            }
            runNext()
        }
        return true
    }

    /// As `run(atMost:until:)` for a condition that takes a while to find out: looks once in so much
    /// simulated time.
    public func run(
        atMost span: Nanoseconds, lookingEvery pause: Nanoseconds, until condition: () -> Bool
    ) -> Bool {
        let end = time + span.rawValue
        while !condition() {
            guard violations.isEmpty, time < end else { return false }
            run(until: Nanoseconds(min(end, time + pause.rawValue)))
        }
        return violations.isEmpty
    }

    /// Calls `body` after this much simulated time.
    public func after(_ span: Nanoseconds, _ body: @escaping () -> Void) {
        schedule(.run(body), after: span.rawValue)
    }

    /// Forgets all that is planned, and whoever waits for an answer. What was scheduled holds this
    /// object, so without this a simulation that is over would live on.
    public func close() {
        queue = EventQueue()
        requests.removeAll()
        log = nil
    }

    func schedule(_ event: Scheduled, after delay: UInt64) { queue.add(event, at: time + delay) }

    private func runNext() {
        guard let (next, event) = queue.removeFirst() else { return }
        eventsNow = next > time ? 0 : eventsNow + 1
        guard eventsNow < 1_000_000 else {
            report((.interface, "time stands still: a node asks to be woken again and again"))
            return
        }
        time = max(time, next)
        switch event {
        case .node(let event, let node, let life): deliver(event, to: nodes[node], life: life)
        case .tick(let node, let life, let number):
            tick(nodes[node], life: life, number: number)
        case .resume(let node, let life): resume(nodes[node], life: life)
        case .readable(let connection, let stream, let isPoll):
            readable(connection, stream: stream, isPoll: isPoll)
        case .dial(let connection): dial(connection)
        case .closeNotice(let connection, let side): closeNotice(connection, side: side)
        case .disk(let step, let node, let life): perform(step, nodes[node], life: life)
        case .run(let body): body()
        }
    }

    // MARK: Reporting

    func report(_ finding: Finding?) {
        guard let finding else { return }
        violations.append(
            Violation(invariant: finding.invariant, message: finding.message, time: time))
        note("VIOLATION \(finding.invariant.rawValue): \(finding.message)")
        if violations.count == 1 { describe() }
    }

    /// Tells the log how each node sees each group.
    private func describe() {
        guard let log else { return }
        for node in nodes {
            guard let box = node.box else { continue }
            let due = node.clock.time(of: box.engine.nextWakeUp).map { "\($0 / 1_000) µs" }
            log("  node \(node.id) wants to be woken at \(due ?? "no time")")
            log(
                """
                    segments \(node.disk.segments.map(\.number)), preparing \
                \(node.preparations.map(\.number)), writing \(node.pendingWrite != nil)
                """)
        }
        for group in groupNames.indices { describe(group, log) }
    }

    private func describe(_ group: Int, _ log: (String) -> Void) {
        let name = groupNames[group]
        for node in nodes {
            guard let look = look(group, node) else {
                log("  \(name) on node \(node.id): not open")
                continue
            }
            let slot = node.replica(of: group)?.slot
            let life = slot.flatMap { node.box?.engine.status(of: $0).incarnation } ?? 0
            log(
                """
                  \(name) on node \(node.id), life \(life): \(look.role) in term \(look.term), \
                leader \(look.leader), commit \(look.commit), applied \(look.applied), \
                last \(look.last)\(node.isPaused ? ", paused" : "")
                """)
            guard look.role == .leader, let box = node.box, let slot else { continue }
            let replicas = box.engine.status(of: slot).replicas
                .map { "\($0.node): \($0.state) to \($0.matchIndex)" }
            log("    \(replicas.joined(separator: ", "))")
        }
    }

    /// Something that matters for who reads a run.
    func note(_ line: @autoclosure () -> String) {
        guard let log else { return }
        let micros = time / 1_000
        let fraction = String(micros % 1_000_000)
        let zeros = String(repeating: "0", count: 6 - fraction.count)
        log("\(micros / 1_000_000).\(zeros)\(fraction) s  \(line())")
    }

    /// Something that matters to who follows every step.
    func detail(_ line: @autoclosure () -> String) {
        if isLogVerbose { note(line()) }
    }

    func position(of node: NodeID) -> Int {
        precondition((1...UInt32(nodes.count)).contains(node.rawValue), "no node \(node)")
        return Int(node.rawValue) - 1
    }

    func position(of group: String) -> Int {
        guard let position = groupNames.firstIndex(where: { $0.string == group }) else {
            preconditionFailure("no group \(group)")
        }
        return position
    }
}

/// What the operators want of a group; a node that was away when it changed does it later.
struct GroupWish {
    /// At its creation.
    var voters: [NodeID]
    /// Which of its lives: rises each time that it is created anew.
    var incarnation: UInt64 = 1
    var isWanted = true
    /// A change of its members was asked for.
    var isChanged = false
    /// The oracles' number of that life, when some node has begun it.
    var track: Int?
}
