import KraftKeyValue
import KraftMultiRaft

/// What a request asks for, by its method and path alone.
enum Endpoint: Equatable {
    case getKey(KeyValueStore.Key)
    case putKey(KeyValueStore.Key)
    case deleteKey(KeyValueStore.Key)
    case appendKey(KeyValueStore.Key)
    case incrementKey(KeyValueStore.Key)
    case clusterInfo
    case clusterMembers
    case clusterSharding
    case groups
    case group(GroupName)
    case transferGroup(GroupName)
    case openSession
    case changeMembers(GroupName)
    case stepDown(GroupName)
    case elect(GroupName)
    case snapshotGroup(GroupName)
    /// Its answer is a stream, and the other one's body is.
    case backupGroup(GroupName)
    case restoreGroup(GroupName)
    case plans
    /// By its id, which may be anything.
    case plan(String)
    case joinCluster
    case leaveCluster
    case health
    case liveness
    case readiness
    case metrics

    /// - `path`: still percent-encoded, without the query.
    ///
    /// Throws `not_implemented` for the contract's paths that aren't built, `not_found` for unknown
    /// paths, `bad_request` for a method that the path doesn't have and for bad names in it.
    init(method: String, path: Substring) throws(HTTPFault) {
        guard path.first == "/" else { throw .badRequest("path: must start with '/'") }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        switch (segments.first, segments.dropFirst().first) {
        case ("healthz", nil): self = try .only("GET", method, .liveness)
        case ("readyz", nil): self = try .only("GET", method, .readiness)
        case ("metrics", nil): self = try .only("GET", method, .metrics)
        case ("", nil): throw .notImplemented("the admin page")
        case ("v1", "health") where segments.count == 2:
            self = try .only("GET", method, .health)
        case ("v1", "kv"): self = try Endpoint.key(method, segments.dropFirst(2))
        case ("v1", "groups"): self = try Endpoint.group(method, segments.dropFirst(2))
        case ("v1", "cluster"): self = try Endpoint.cluster(method, segments.dropFirst(2))
        case ("v1", "plans"): self = try Endpoint.plan(method, segments.dropFirst(2))
        case ("v1", "queues"), ("v1", "vectors"): throw .notImplemented("\(path.prefix(80))")
        case ("v1", "txn") where segments.count == 2: throw .notImplemented("transactions")
        case ("v1", "sessions") where segments.count == 2:
            self = try .only("POST", method, .openSession)
        default: throw .notFound("no such path")
        }
    }

    private static func key(
        _ method: String, _ segments: ArraySlice<Substring>
    ) throws(HTTPFault) -> Endpoint {
        guard let first = segments.first else { throw .notImplemented("a scan of keys") }
        guard let bytes = PercentCoding.decode(first) else {
            throw .badRequest("key: not percent-encoded")
        }
        guard let key = KeyValueStore.Key(bytes) else {
            throw .badRequest("key: must be 1 to \(KeyValueStore.keySizeLimitBytes) bytes")
        }
        let rest = segments.dropFirst()
        if rest.isEmpty {
            return switch method {
            case "GET": .getKey(key)
            case "PUT": .putKey(key)
            case "DELETE": .deleteKey(key)
            default: throw wrongMethod(method, "GET, PUT, DELETE")
            }
        }
        switch (rest.first, rest.count) {
        case ("append", 1): return try .only("POST", method, .appendKey(key))
        case ("increment", 1): return try .only("POST", method, .incrementKey(key))
        default: throw .badRequest("key: a '/' in a key is written %2F")
        }
    }

    private static func group(
        _ method: String, _ segments: ArraySlice<Substring>
    ) throws(HTTPFault) -> Endpoint {
        guard let first = segments.first else {
            guard method == "GET" else {
                guard method == "POST" else { throw wrongMethod(method, "GET, POST") }
                throw .notImplemented("creating groups")
            }
            return .groups
        }
        guard let bytes = PercentCoding.decode(first),
            let text = String(validating: bytes, as: UTF8.self), let name = GroupName(text)
        else {
            throw .badRequest(
                "name: a group's name is 1 to 128 of A-Z a-z 0-9 . _ : - and neither . nor ..")
        }
        let rest = segments.dropFirst()
        if rest.isEmpty {
            guard method == "GET" else {
                guard method == "DELETE" else { throw wrongMethod(method, "GET, DELETE") }
                throw .notImplemented("removing groups")
            }
            return .group(name)
        }
        guard rest.count == 1, let action = rest.first else { throw .notFound("no such path") }
        switch action {
        case "transfer": return try .only("POST", method, .transferGroup(name))
        case "members": return try .only("POST", method, .changeMembers(name))
        case "step-down": return try .only("POST", method, .stepDown(name))
        case "elect": return try .only("POST", method, .elect(name))
        case "snapshot": return try .only("POST", method, .snapshotGroup(name))
        case "backup": return try .only("GET", method, .backupGroup(name))
        case "restore": return try .only("POST", method, .restoreGroup(name))
        case "split", "merge", "move", "explain":
            throw .notImplemented("\(action) of a group")
        default: throw .notFound("no such path")
        }
    }

    private static func plan(
        _ method: String, _ segments: ArraySlice<Substring>
    ) throws(HTTPFault) -> Endpoint {
        guard let first = segments.first else { return try .only("GET", method, .plans) }
        guard segments.count == 1 else { throw .notFound("no such path") }
        guard let bytes = PercentCoding.decode(first),
            let id = String(validating: bytes, as: UTF8.self)
        else { throw .badRequest("id: not percent-encoded UTF-8") }
        return try .only("GET", method, .plan(id))
    }

    private static func cluster(
        _ method: String, _ segments: ArraySlice<Substring>
    ) throws(HTTPFault) -> Endpoint {
        switch (segments.first, segments.count) {
        case ("info", 1): return try .only("GET", method, .clusterInfo)
        case ("members", 1): return try .only("GET", method, .clusterMembers)
        case ("sharding", 1): return try .only("GET", method, .clusterSharding)
        case ("join", 1): return try .only("POST", method, .joinCluster)
        case ("leave", 1): return try .only("POST", method, .leaveCluster)
        case ("maintenance", 1), ("rebalance", 1), ("migrations", _):
            throw .notImplemented("cluster/\(segments.first ?? "")")
        default: throw .notFound("no such path")
        }
    }

    private static func only(
        _ allowed: String, _ method: String, _ endpoint: Endpoint
    ) throws(HTTPFault) -> Endpoint {
        guard method == allowed else { throw wrongMethod(method, allowed) }
        return endpoint
    }

    private static func wrongMethod(_ method: String, _ allowed: String) -> HTTPFault {
        .badRequest("method: \(method.prefix(20)) isn't one of this path's: \(allowed)")
    }

    /// The query parameters that it has, besides `timeout_ms`.
    var parameterNames: [String] {
        switch self {
        case .getKey: ["consistency", "max_staleness_ms"]
        case .putKey: ["ttl_ms", "if_version"]
        case .deleteKey: ["if_version"]
        case .incrementKey: ["by"]
        case .openSession: ["ttl_ms"]
        default: []
        }
    }

    /// The largest body that it takes.
    var bodySizeLimitBytes: Int {
        switch self {
        case .putKey, .appendKey: KeyValueStore.valueSizeLimitBytes
        default: 64 << 10
        }
    }

    var isWrite: Bool {
        switch self {
        case .putKey, .deleteKey, .appendKey, .incrementKey: true
        default: false
        }
    }
}
