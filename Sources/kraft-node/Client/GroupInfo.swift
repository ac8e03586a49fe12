/// What the subcommands read of the node's JSON.
struct GroupInfo: Decodable, Equatable {
    var name: String
    var state: String
    var role: String
    var term: UInt64
    var leader: UInt32?
    var commitIndex: UInt64
    var appliedIndex: UInt64
    var digest: String?
    var joint: Bool
    var change: String?
    var replicas: [ReplicaInfo]
}

struct ReplicaInfo: Decodable, Equatable {
    var node: UInt32
    var kind: String
    var matchIndex: UInt64
    var state: String
}

struct SnapshotInfo: Decodable {
    var index: UInt64
    var bytes: UInt64
}

struct ShardingInfo: Decodable {
    var groups: [Shard]

    struct Shard: Decodable {
        var name: String
    }

    /// Each once, though it may own several ranges.
    var names: [String] { Set(groups.map(\.name)).sorted() }
}

struct PlanInfo: Decodable {
    var id: String
    var step: String
    var state: String
    var error: String?
}

struct PlanReference: Decodable {
    var plan: String
}

struct ClusterInfo: Decodable {
    var clusterId: String
    var localId: UInt32
    var members: [MemberInfo]
}

struct MemberInfo: Decodable {
    var id: UInt32
    var addr: String?
    var http: String?
    var status: String
    var leads: Int
    var replicas: Int
}

struct HealthInfo: Decodable {
    var status: String
    var reasons: [String]
}
