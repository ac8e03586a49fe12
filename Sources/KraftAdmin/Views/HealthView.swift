import KraftMultiRaft

/// Whether the groups can do their work, as far as this node can tell: for `/v1/health` and
/// readiness.
struct HealthView: Equatable {
    enum Verdict: String { case healthy, degraded, critical }

    private(set) var verdict = Verdict.healthy
    private(set) var total = 0
    private(set) var healthy = 0
    private(set) var leading = 0
    /// A replica is known to be unreachable or far behind, or this node applies far behind.
    private(set) var lagging = 0
    /// No leader is known, or the one that is known is not alive.
    private(set) var leaderless = 0
    private(set) var reasons: [String] = []

    /// A replica further behind than this many entries lags.
    static let lagLimitEntries = 1_000
    /// More reasons than this are only counted.
    static let reasonLimit = 20

    init(_ status: NodeStatus) {
        let absent = Set(status.peers.filter { !$0.isAlive && !$0.hasLeft }.map(\.node))
        if status.isFenced { worsen(to: .critical, "this node's disk failed; it is fenced") }
        switch status.disk {
        case .sound, .failed: break
        case .full:
            worsen(to: .degraded, "this node's disk is full; groups that it leads are read-only")
        case .slow: worsen(to: .degraded, "this node's disk is slow; others lead where they can")
        case .stalled: worsen(to: .degraded, "this node's disk hangs; it leads nothing")
        }
        if status.hasLeft { worsen(to: .critical, "this node has left the cluster") }
        for node in absent.sorted() { worsen(to: .degraded, "node \(node) is not heard") }
        for group in status.groups { count(group, absent: absent) }
        if reasons.count > HealthView.reasonLimit {
            let more = reasons.count - HealthView.reasonLimit
            reasons.removeLast(more)
            reasons.append("and \(more) more")
        }
    }

    private mutating func count(_ group: GroupStatus, absent: Set<NodeID>) {
        total += 1
        guard group.state == .running else {
            worsen(to: .degraded, "group \(group.name) is \(group.state.rawValue) on this node")
            return
        }
        if group.role == .leader { leading += 1 }
        if group.leader.isNone || absent.contains(group.leader) {
            leaderless += 1
            let damaged = group.replicas.filter { $0.state == "damaged" }.map { "\($0.node)" }
            worsen(
                to: .critical,
                "group \(group.name) has no leader"
                    + (damaged.isEmpty
                        ? "" : "; damaged on node \(damaged.joined(separator: ", "))"))
        } else if let reason = HealthView.lag(of: group) {
            lagging += 1
            worsen(to: .degraded, reason)
        } else {
            healthy += 1
        }
    }

    private static func lag(of group: GroupStatus) -> String? {
        if isFar(group.appliedIndex, behind: group.commitIndex) {
            return "group \(group.name): this node applies far behind the commit index"
        }
        guard group.role == .leader else { return nil }
        for replica in group.replicas {
            if replica.state == "damaged" {
                return "group \(group.name): the replica of node \(replica.node) is damaged"
            }
            if replica.state == "unreachable" {
                return "group \(group.name): node \(replica.node) can't be reached"
            }
            if isFar(replica.matchIndex, behind: group.lastIndex) {
                return "group \(group.name): node \(replica.node) is far behind"
            }
        }
        return nil
    }

    private static func isFar(_ index: LogIndex, behind other: LogIndex) -> Bool {
        index < other && other - index > lagLimitEntries
    }

    private mutating func worsen(to verdict: Verdict, _ reason: String) {
        if verdict == .critical || self.verdict == .healthy { self.verdict = verdict }
        reasons.append(reason)
    }

    /// Every group that runs here has a leader, so requests can be served.
    var isReady: Bool { leaderless == 0 && verdict != .critical }

    var json: JSON {
        [
            "status": .string(verdict.rawValue),
            "groups": [
                "total": .integer(Int64(total)),
                "healthy": .integer(Int64(healthy)),
                "leading": .integer(Int64(leading)),
                "lagging": .integer(Int64(lagging)),
                "leaderless": .integer(Int64(leaderless)),
            ],
            "reasons": .array(reasons.map(JSON.string)),
        ]
    }
}
