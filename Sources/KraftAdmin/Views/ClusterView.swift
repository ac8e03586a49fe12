import KraftMultiRaft

/// The cluster as one node sees it, for `/v1/cluster/info` and `/v1/cluster/members`.
struct ClusterView {
    var status: NodeStatus
    /// Where this node answers HTTP. The others tell theirs when they connect.
    var http: String
    /// Version of the routing table; nil while this node has none.
    var epoch: Epoch?
    var nowUnixMilliseconds: Int64

    /// A peer that was not heard for longer is `dead`, before that `suspect`.
    static let suspicion = Nanoseconds.seconds(10)

    var info: JSON {
        [
            "cluster_id": .string(status.clusterID),
            "local_id": .node(status.node),
            "member_count": .unsigned(UInt64(memberCount)),
            // There is no metadata group yet.
            "meta_leader": .null,
            "epoch": epoch.map { .unsigned($0.rawValue) } ?? .null,
            "members": members,
        ]
    }

    private var memberCount: Int {
        status.peers.count { !$0.hasLeft } + (status.hasLeft ? 0 : 1)
    }

    /// All nodes that ever were members and are known here.
    var members: JSON {
        var members = [(status.node, own)]
        members += status.peers.map { ($0.node, member($0)) }
        return .array(members.sorted { $0.0 < $1.0 }.map(\.1))
    }

    private var own: JSON {
        [
            "id": .node(status.node),
            "addr": (status.advertise ?? status.listen).map(JSON.string) ?? .null,
            "http": .string(http),
            "status": status.hasLeft ? "left" : "alive",
            "last_seen_unix_ms": .integer(nowUnixMilliseconds),
            "leads": .unsigned(UInt64(status.groupsLed)),
            "replicas": .unsigned(UInt64(status.groups.count)),
            "maintenance": false,
            "datacenter": .null,
        ]
    }

    private func member(_ peer: PeerStatus) -> JSON {
        let lastSeen = peer.sinceHeard.map {
            nowUnixMilliseconds - Int64(clamping: $0.rawValue / 1_000_000)
        }
        return [
            "id": .node(peer.node),
            "addr": .string(peer.address),
            "http": NodeInfo(peer.info).http.map(JSON.string) ?? .null,
            "status": .string(ClusterView.word(for: peer)),
            "last_seen_unix_ms": lastSeen.map(JSON.integer) ?? .null,
            "leads": .unsigned(UInt64(peer.isAlive && !peer.hasLeft ? peer.groupsLed : 0)),
            "replicas": .unsigned(UInt64(peer.hasLeft ? 0 : peer.groups)),
            "maintenance": false,
            "datacenter": .null,
        ]
    }

    static func word(for peer: PeerStatus) -> String {
        if peer.hasLeft { return "left" }
        if peer.isAlive { return "alive" }
        guard let since = peer.sinceHeard, since < suspicion else { return "dead" }
        return "suspect"
    }
}
