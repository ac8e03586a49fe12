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
}

struct ClusterInfo: Decodable {
    var clusterId: String
    var localId: UInt32
    var members: [MemberInfo]
}

struct MemberInfo: Decodable {
    var id: UInt32
    var addr: String?
    var status: String
    var leads: Int
    var replicas: Int
}

struct HealthInfo: Decodable {
    var status: String
    var reasons: [String]
}
