import Testing

@testable import KraftAdmin
@testable import KraftEngine
@testable import KraftMultiRaft

private func group(
    _ name: String, role: GroupStatus.Role = .follower, leader: NodeID = 2, commit: UInt64 = 10,
    applied: UInt64 = 10, replicas: [GroupStatus.Replica] = []
) -> GroupStatus {
    GroupStatus(
        slot: GroupSlot(rawValue: 0), name: GroupName(name)!, id: GroupID(0xAB), incarnation: 1,
        epoch: .first, state: .running, role: role, term: Term(3), leader: leader,
        commitIndex: LogIndex(commit), appliedIndex: LogIndex(applied), firstIndex: LogIndex(1),
        lastIndex: LogIndex(commit), members: [1, 2, 3].map { .init(node: $0, kind: .voter) },
        isJoint: false, isMembershipCommitted: true, committedConfiguration: .zero,
        replicas: replicas, isQuiesced: false)
}

private func peer(
    _ node: NodeID, alive: Bool = true, sinceHeard: Nanoseconds? = .milliseconds(40),
    hasLeft: Bool = false
) -> PeerStatus {
    PeerStatus(
        node: node, address: "10.0.0.\(node):7001", isConnected: alive, isAlive: alive,
        sinceHeard: sinceHeard, queuedBytes: 0, hasLeft: hasLeft, groupsLed: 4, groups: 8,
        info: "http=10.0.0.\(node):8001")
}

private func node(
    groups: [GroupStatus] = [], peers: [PeerStatus] = [peer(2), peer(3)], fenced: Bool = false,
    hasLeft: Bool = false
) -> NodeStatus {
    NodeStatus(
        node: 1, clusterID: "kraft", bootID: 1, listen: "127.0.0.1:7001", advertise: nil,
        isFenced: fenced, hasLeft: hasLeft,
        groupsLed: groups.filter { $0.role == .leader }.count, peers: peers,
        groups: groups, metrics: NodeMetrics())
}

@Suite("Health")
struct HealthTests {
    @Test("is good when every group has a living leader and everybody keeps up")
    func healthy() {
        let health = HealthView(node(groups: [group("a"), group("b", role: .leader, leader: 1)]))
        #expect(health.verdict == .healthy)
        #expect((health.total, health.healthy, health.leading) == (2, 2, 1))
        #expect(health.isReady)
        #expect(health.reasons.isEmpty)
    }

    @Test("is critical when a group has no leader, or one that is dead")
    func leaderless() {
        let unknown = HealthView(node(groups: [group("a", leader: .none)]))
        #expect(unknown.verdict == .critical)
        #expect(!unknown.isReady)
        let dead = HealthView(node(groups: [group("a")], peers: [peer(2, alive: false), peer(3)]))
        #expect(dead.leaderless == 1)
        #expect(dead.verdict == .critical)
    }

    @Test("is degraded, yet ready, when a node is down or behind")
    func degraded() {
        let down = HealthView(node(groups: [group("a")], peers: [peer(2), peer(3, alive: false)]))
        #expect(down.verdict == .degraded)
        #expect(down.isReady)
        let lagging = GroupStatus.Replica(
            node: 3, kind: .voter, matchIndex: LogIndex(1), state: "replicate")
        let behind = HealthView(
            node(groups: [
                group(
                    "a", role: .leader, leader: 1, commit: 5_000, applied: 5_000,
                    replicas: [lagging])
            ]))
        #expect(behind.lagging == 1)
        #expect(behind.verdict == .degraded)
        #expect(HealthView(node(groups: [group("a", commit: 5_000, applied: 10)])).lagging == 1)
    }

    @Test("who has left isn't missed; a node that has left itself serves nothing")
    func left() {
        let gone = peer(3, alive: false, hasLeft: true)
        #expect(HealthView(node(groups: [group("a")], peers: [peer(2), gone])).verdict == .healthy)
        let view = HealthView(node(hasLeft: true))
        #expect(view.verdict == .critical)
        #expect(!view.isReady)
    }

    @Test("is critical when the disk failed, and names a bounded number of reasons")
    func bounds() {
        #expect(HealthView(node(fenced: true)).verdict == .critical)
        let many = HealthView(node(groups: (0..<100).map { group("g\($0)", leader: .none) }))
        #expect(many.leaderless == 100)
        #expect(many.reasons.count == HealthView.reasonLimit + 1)
        #expect(many.reasons.last == "and 80 more")
    }
}

@Suite("Views of the cluster")
struct ClusterViewTests {
    private func view(_ status: NodeStatus) -> ClusterView {
        ClusterView(
            status: status, http: "127.0.0.1:8001", epoch: .first, nowUnixMilliseconds: 9_000)
    }

    @Test("list all nodes by id, with how each is doing")
    func members() {
        let status = node(peers: [
            peer(3, alive: false, sinceHeard: nil), peer(2, alive: false, sinceHeard: .seconds(4)),
        ])
        let text = view(status).members.text
        #expect(
            text.contains(
                #"{"id":1,"addr":"127.0.0.1:7001","http":"127.0.0.1:8001","status":"alive""#))
        #expect(text.contains(#""status":"suspect","last_seen_unix_ms":5000"#))
        #expect(text.contains(#""status":"dead","last_seen_unix_ms":null"#))
    }

    @Test("who has left is listed as left, and counted no more")
    func left() {
        let status = node(peers: [peer(2), peer(3, hasLeft: true)])
        let text = view(status).members.text
        #expect(text.contains(#""http":"10.0.0.2:8001","status":"alive""#))
        #expect(text.contains(#""http":"10.0.0.3:8001","status":"left""#))
        #expect(text.contains(#""leads":0,"replicas":0"#))
        #expect(view(status).info.text.contains(#""member_count":2"#))
        #expect(view(node(hasLeft: true)).members.text.contains(#""status":"left""#))
    }

    @Test("the cluster's info counts this node too")
    func info() {
        #expect(
            view(node()).info.text.hasPrefix(
                #"{"cluster_id":"kraft","local_id":1,"member_count":3,"meta_leader":null,"epoch":1,"#
            ))
    }

    @Test("a group's digest speaks of its own applied index")
    func groupView() {
        let view = GroupView(
            status: group("a", commit: 10, applied: 9), digest: (0xFF, LogIndex(12)))
        let text = view.json.text
        #expect(text.contains(#""digest":"00000000000000ff""#))
        #expect(text.contains(#""commit_index":12,"applied_index":12"#))
        #expect(text.contains(#""leader":2"#))
        #expect(GroupView(status: group("a"), digest: nil).json.text.contains(#""digest":null"#))
    }

    @Test("a group shows what each replica is, and the change that is under way")
    func groupMembers() {
        var status = group(
            "a",
            replicas: [
                .init(node: 4, kind: .learner, matchIndex: LogIndex(3), state: "replicate"),
                .init(node: 5, kind: .witness, matchIndex: LogIndex(4), state: "probe"),
            ])
        let calm = GroupView(status: status, digest: nil).json.text
        #expect(calm.contains(#"{"node":4,"kind":"learner","match_index":3,"state":"replicate"}"#))
        #expect(calm.contains(#"{"node":5,"kind":"witness","match_index":4,"state":"probe"}"#))
        #expect(calm.contains(#""joint":false,"change":null,"members_committed":true"#))
        status.isJoint = true
        status.change = EntryPosition(index: LogIndex(9), term: Term(2))
        status.isMembershipCommitted = false
        status.role = .witness
        let joint = GroupView(status: status, digest: nil).json.text
        #expect(joint.contains(#""joint":true,"change":"a@2.9","members_committed":false"#))
        #expect(joint.contains(#""role":"witness""#))
    }

    @Test("a plan tells its step and how it ended")
    func plans() throws {
        let id = try #require(ChangeID("a@2.9"))
        func text(_ state: ChangeState, _ step: ChangeStatus.Step) -> String? {
            PlanView(ChangeStatus(id: id, state: state, step: step))?.json.text
        }
        #expect(
            text(.running, .joint)
                == #"{"id":"a@2.9","kind":"members","step":"joint","state":"running"}"#)
        #expect(
            text(.done, .final)
                == #"{"id":"a@2.9","kind":"members","step":"final","state":"done"}"#)
        #expect(text(.abandoned, .staging)?.contains(#""state":"failed","error":"the new"#) == true)
        #expect(text(.lost, .staging)?.contains(#""state":"failed","error":"the leader"#) == true)
        #expect(text(.forgotten, .final) == nil)
    }

    @Test("a change's step follows from what the group's replica says")
    func steps() throws {
        let id = try #require(ChangeID("a@3.9"))
        var status = group("a", commit: 9)
        func step(_ state: ChangeState) -> ChangeStatus.Step {
            ChangeStatus(id: id, state: state, group: status).step
        }
        status.change = id.position
        #expect(step(.running) == .staging)
        status.isJoint = true
        #expect(step(.running) == .joint)
        status.isJoint = false
        status.change = nil
        #expect(step(.running) == .final)
        status.commitIndex = LogIndex(8)
        #expect(step(.running) == .staging)
        #expect(step(.done) == .final)
        #expect(step(.abandoned) == .staging)
    }

    @Test("sharding lists shares and the imbalance of the largest group")
    func sharding() throws {
        let names = ["a", "b"].map { GroupName($0)! }
        func shard(_ bytes: Int) -> ShardingView.Shard {
            .init(
                leader: 1, replicas: [1], keyCount: 1, contentSizeBytes: bytes, writesPerSecond: 0)
        }
        let view = ShardingView(
            router: try .hash(groups: names), groups: [names[0]: shard(150), names[1]: shard(50)])
        #expect(view.imbalance == 0.5)
        #expect(view.json.text.contains(#""name":"a","ring_share":0.5,"leader":1,"replicas":[1]"#))
        let empty = ShardingView(router: try .hash(groups: names), groups: [:])
        #expect(empty.imbalance == 0)
        let ranges = try Router.range([
            KeyRange("", to: "m/", group: names[0]), KeyRange("m/", to: nil, group: names[1]),
        ])
        let text = ShardingView(router: ranges, groups: [:]).json.text
        #expect(text.contains(#""name":"a","start":"","end":"m%2F""#))
        #expect(text.contains(#""name":"b","start":"m%2F","end":null"#))
    }

    @Test("rates are the mean between two looks, and nothing without a look before")
    func rates() {
        let name = GroupName("a")!
        let start = ContinuousClock.now
        var meter = RateMeter()
        #expect(meter.look([name: 100], now: start) == [:])
        #expect(meter.look([name: 300], now: start + .seconds(2)) == [name: 100])
        #expect(meter.look([name: 900], now: start + .seconds(2.1)) == [name: 100])
        #expect(meter.look([name: 5], now: start + .seconds(4)) == [:])
    }
}

@Suite("Metrics")
struct MetricsTextTests {
    @Test("are Prometheus text: every family declared once, before its samples")
    func format() {
        var metrics = GroupMetrics()
        metrics.commandsApplied = 7
        metrics.commitLatency.record(.microseconds(3))
        metrics.commitLatency.record(.seconds(100))
        let replica = GroupStatus.Replica(
            node: 3, kind: .voter, matchIndex: LogIndex(4), state: "replicate")
        let groups = [group("a", role: .leader, leader: 1, replicas: [replica]), group("b")]
        let text = MetricsText(
            node(groups: groups),
            groups: [GroupName("a")!: metrics, GroupName("b")!: GroupMetrics()]
        ).text

        var families: Set<Substring> = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                #expect(families.insert(line.split(separator: " ")[2]).inserted, "\(line)")
            } else if !line.hasPrefix("#") {
                let name = line.prefix { $0 != "{" && $0 != " " }
                #expect(name.hasPrefix("kraft_"))
                let known = families.contains { family in
                    name == family
                        || ["_bucket", "_sum", "_count"].contains { name == family + $0 }
                }
                #expect(known, "\(line)")
                #expect(Double(line.split(separator: " ").last ?? "") != nil, "\(line)")
            }
        }
        #expect(text.contains("kraft_group_commands_total{group=\"a\"} 7\n"))
        #expect(text.contains("kraft_group_role{group=\"a\",role=\"leader\"} 1\n"))
        #expect(text.contains("kraft_group_lag_entries{group=\"a\"} 6\n"))
        #expect(
            text.contains("kraft_group_commit_latency_seconds_bucket{group=\"a\",le=\"4e-06\"} 1\n")
        )
        #expect(
            text.contains("kraft_group_commit_latency_seconds_bucket{group=\"a\",le=\"+Inf\"} 2\n"))
        #expect(text.contains("kraft_group_commit_latency_seconds_count{group=\"a\"} 2\n"))
    }

    @Test("list a bounded number of groups, and count all")
    func bounded() {
        let groups = (0..<1_500).map { group("g\($0)") }
        let text = MetricsText(node(groups: groups), groups: [:]).text
        #expect(text.contains("kraft_groups 1500\n"))
        #expect(!text.contains("\"g1200\""))
    }
}
