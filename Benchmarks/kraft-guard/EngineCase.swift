import KraftEngine
import KraftRouting
import RaftCore

/// Three engines in one memory, and clients that keep so many requests in flight on each group's
/// leader. Messages and disks take until the receiver's next turn; time goes on by the turn.
final class EngineCase {
    struct Load {
        var groups: Int
        /// Of each group.
        var inFlight: Int
        /// Bytes of a command.
        var payload = 16
        /// Reads instead of writes.
        var reads: ReadFreshness?
    }

    private static let warmUpRounds = 48
    private static let turn = Nanoseconds.microseconds(50)

    private let load: Load
    private let nodes: [GuardNode]
    /// The place of each group's leader in `nodes`.
    private let leaders: [Int]
    private let command: UnsafeMutableRawBufferPointer
    @exclusivity(unchecked) private var now = Instant.zero
    /// Requests that may still be made, and that were answered.
    @exclusivity(unchecked) private var budget = 0
    @exclusivity(unchecked) private var answered = 0
    @exclusivity(unchecked) private var issued = 0
    @exclusivity(unchecked) private var sum: UInt64 = 0
    /// Requests of each group that have no budget yet.
    @exclusivity(unchecked) private var idle: [Int]

    init(_ load: Load) throws(WrongResult) {
        self.load = load
        leaders = (0..<load.groups).map { $0 % 3 }
        idle = Array(repeating: load.inFlight, count: load.groups)
        command = .allocate(byteCount: load.payload, alignment: 8)
        command.initializeMemory(as: UInt8.self, repeating: 0x5A)
        do throws(KraftError) {
            var nodes: [GuardNode] = []
            for place in 0..<3 { nodes.append(try EngineCase.node(place, load)) }
            self.nodes = nodes
            for group in 0..<load.groups {
                guard let name = GroupName("g\(group)") else { preconditionFailure("a name") }
                for node in nodes {
                    _ = try node.engine.openGroup(name, voters: [1, 2, 3], token: 1, now: now)
                }
            }
        } catch { throw WrongResult("\(error)") }
    }

    deinit { command.deallocate() }

    private static func node(_ place: Int, _ load: Load) throws(KraftError) -> GuardNode {
        let id = NodeID(UInt32(place + 1))
        var configuration = EngineConfiguration(
            node: id, clusterID: "guard",
            peers: (1...3).map { .init(node: NodeID($0), address: "\($0)") }
                .filter { $0.node != id })
        // What is counted is the steady state: old blocks of the log serve again, no snapshots.
        configuration.log.segmentSizeBytes = 8 << 20
        configuration.log.cacheSizeBytes = 2 << 20
        configuration.log.budgetSizeBytes = 16 << 30
        configuration.snapshots.entryLimit = .max
        configuration.snapshots.sizeLimitBytes = .max
        if case .lease = load.reads { configuration.timing.leaseDuration = .milliseconds(500) }
        return try GuardNode(configuration, groups: load.groups)
    }

    /// Makes at least `count` requests while it is measured, and checks that all took effect.
    func run(_ count: Int) throws(WrongResult) -> Int {
        try elect()
        budget = .max
        for _ in 0..<EngineCase.warmUpRounds { round() }
        let start = answered
        measured {
            while answered < start + count { round() }
        }
        let done = answered - start
        afterwards {
            budget = 0
            for _ in 0..<1_000 where answered < issued || !isInStep { round() }
        }
        guard answered == issued, isInStep else {
            throw WrongResult("\(issued - answered) of \(issued) requests were not answered")
        }
        guard load.reads == nil else { return done }
        var applied = 0
        var total: UInt64 = 0
        for group in 0..<load.groups {
            applied += nodes[0].machine(group).count
            total &+= nodes[0].machine(group).sum
        }
        guard applied == issued, total == sum else {
            throw WrongResult("\(applied) commands were applied, \(issued) were proposed")
        }
        return done
    }

    private var isInStep: Bool {
        (0..<load.groups).allSatisfy { group in
            nodes.allSatisfy { $0.machine(group) == nodes[0].machine(group) }
        }
    }

    // MARK: Leaders

    /// Waits until each group is led by the node that shall lead it.
    private func elect() throws(WrongResult) {
        for _ in 0..<1_000 {
            for _ in 0..<20 { round(after: .milliseconds(1)) }
            if (0..<load.groups).allSatisfy({ leads($0, leaders[$0]) }) {
                // Some beats, and the commit index for all.
                for _ in 0..<400 { round(after: .milliseconds(1)) }
                return
            }
            for group in 0..<load.groups where !leads(group, leaders[group]) {
                guard let leader = (0..<3).first(where: { leads(group, $0) }) else { continue }
                nodes[leader].engine.transfer(
                    GroupSlot(rawValue: group), to: NodeID(UInt32(leaders[group] + 1)), token: 2,
                    deadline: now + .seconds(1), now: now)
            }
        }
        throw WrongResult("the groups found no leaders")
    }

    private func leads(_ group: Int, _ place: Int) -> Bool {
        nodes[place].engine.glance(at: GroupSlot(rawValue: group)).role == .leader
    }

    // MARK: Rounds

    /// One turn of each node.
    private func round(after span: Nanoseconds = turn) {
        now = now + span
        for group in 0..<load.groups where idle[group] > 0 && budget > 0 { issueIdle(group) }
        for node in nodes {
            node.takeEvents(now: now)
            node.endTurn(now: now, nodes: nodes)
            for completion in node.effects.completions where completion.token >= 1 << 8 {
                guard case .done = completion.outcome else {
                    preconditionFailure("a request failed: \(completion.outcome)")
                }
                ended(completion.token)
            }
            for ready in node.effects.readsReady { ended(ready.token) }
        }
    }

    /// The next one takes its place.
    private func ended(_ token: RequestToken) {
        answered += 1
        let group = Int(token >> 8) - 1
        if budget > 0 { issue(group) } else { idle[group] += 1 }
    }

    private func issueIdle(_ group: Int) {
        let count = min(idle[group], budget)
        idle[group] -= count
        for _ in 0..<count { issue(group) }
    }

    private func issue(_ group: Int) {
        budget -= 1
        issued += 1
        let node = nodes[leaders[group]]
        let slot = GroupSlot(rawValue: group)
        let token = RequestToken(group + 1) << 8
        let deadline = now + .seconds(30)
        if let reads = load.reads {
            node.engine.read(slot, reads, token: token, deadline: deadline, now: now)
        } else {
            let number = UInt64(issued) &* 0x9E37_79B9_7F4A_7C15
            sum &+= number
            command.storeBytes(of: number, as: UInt64.self)
            node.engine.propose(
                slot, UnsafeRawBufferPointer(command), token: token, deadline: deadline, now: now)
        }
    }
}
