import KraftKeyValue
import KraftMultiRaft

/// What a key's request asks of the store: read from endpoint, parameters and body.
enum KeyRequest: Equatable {
    case read(KeyValueStore.Key, ReadConsistency)
    case write(KeyValueStore.Command)

    /// Nil for endpoints that aren't about a key.
    init?(
        _ endpoint: Endpoint, _ parameters: QueryParameters, body: [UInt8]
    ) throws(HTTPFault) {
        switch endpoint {
        case .getKey(let key):
            self = .read(key, try KeyRequest.consistency(parameters))
        case .putKey(let key):
            guard parameters["ttl_ms"] == nil else { throw .notImplemented("ttl_ms") }
            self = .write(.put(key, value: body, ifVersion: try KeyRequest.version(parameters)))
        case .deleteKey(let key):
            self = .write(.delete(key, ifVersion: try KeyRequest.version(parameters)))
        case .appendKey(let key):
            self = .write(.append(key, value: body))
        case .incrementKey(let key):
            self = .write(.increment(key, by: try parameters.signed("by") ?? 1))
        default: return nil
        }
    }

    private static func version(_ parameters: QueryParameters) throws(HTTPFault) -> LogIndex? {
        try parameters.unsigned("if_version").map { LogIndex($0) }
    }

    private static func consistency(
        _ parameters: QueryParameters
    ) throws(HTTPFault) -> ReadConsistency {
        let consistency: ReadConsistency
        switch parameters["consistency"] {
        case nil, "linearizable": consistency = .linearizable
        case "local": consistency = .local
        case "lease": consistency = .lease
        case "bounded":
            guard let milliseconds = try parameters.unsigned("max_staleness_ms") else {
                throw .badRequest("max_staleness_ms: missing; consistency=bounded needs it")
            }
            guard milliseconds <= stalenessLimitMilliseconds else {
                throw .badRequest("max_staleness_ms: must be at most \(stalenessLimitMilliseconds)")
            }
            return .bounded(.milliseconds(Int64(milliseconds)))
        default: throw .badRequest("consistency: must be linearizable, lease, bounded or local")
        }
        guard parameters["max_staleness_ms"] == nil else {
            throw .badRequest("max_staleness_ms: goes with consistency=bounded only")
        }
        return consistency
    }

    static let stalenessLimitMilliseconds: UInt64 = 3_600_000

    // MARK: Answers

    /// The answer to a write that was applied at `index`.
    static func answer(
        _ reply: KeyValueStore.Reply, group: GroupName, index: LogIndex
    ) throws(HTTPFault) -> HTTPAnswer {
        var members: [JSON.Member] = [
            .init(name: "group", value: .string(group.string)),
            .init(name: "index", value: .unsigned(index.rawValue)),
        ]
        func add(_ name: String, _ value: JSON) { members.append(.init(name: name, value: value)) }
        switch reply {
        case .written(let version): add("version", .unsigned(version.rawValue))
        case .deleted(let existed): add("existed", .bool(existed))
        case .appended(let version, let length):
            add("version", .unsigned(version.rawValue))
            add("length", .unsigned(length))
        case .incremented(let version, let value):
            add("version", .unsigned(version.rawValue))
            add("value", .integer(value))
        case .conflict(let conflict):
            throw .inGroup(group, .conflict, words(for: conflict))
        case .tooLarge:
            throw .inGroup(
                group, .tooLarge,
                "value: would be over \(KeyValueStore.valueSizeLimitBytes) bytes")
        }
        return .json(.object(members))
    }

    private static func words(for conflict: KeyValueStore.Conflict) -> String {
        switch conflict {
        case .version(.zero): "if_version: the key has no value"
        case .version(let actual): "if_version: the key's version is \(actual)"
        case .notANumber: "the value is not a decimal signed 64-bit number"
        case .overflow: "the sum doesn't fit into 64 bits"
        }
    }

    /// The answer to a read; `index` is what the node had applied.
    static func answer(
        _ answer: KeyValueStore.Answer, group: GroupName, index: LogIndex
    ) throws(HTTPFault) -> HTTPAnswer {
        guard case .value(let value, let version) = answer else {
            throw .inGroup(group, .notFound, "the key has no value")
        }
        return HTTPAnswer(
            headers: [
                .init(name: "Content-Type", value: "application/octet-stream"),
                .init(name: "Kraft-Group", value: group.string),
                .init(name: "Kraft-Index", value: "\(index)"),
                .init(name: "Kraft-Version", value: "\(version)"),
            ], body: value)
    }
}

extension HTTPFault {
    static func inGroup(
        _ group: GroupName, _ code: KraftError.Code, _ message: String
    ) -> HTTPFault {
        var fault = HTTPFault(code, message)
        fault.group = group.string
        return fault
    }

    /// An error of a key's request. A group that isn't here is `unavailable`: `not_found` is kept
    /// for a key without a value; another node may hold the group. A read has no outcome that could
    /// be unknown.
    static func ofKey(
        _ error: KraftError, group: GroupName?, isRead: Bool, address: (NodeID) -> String?
    ) -> HTTPFault {
        let isElsewhere = error.code == .notFound
        var error = error
        if error.group == nil { error.group = group }
        if error.code == .notFound || (isRead && error.code == .outcomeUnknown) {
            error = KraftError(
                .unavailable, error.message, group: error.group, leader: error.leader)
        }
        var fault = HTTPFault(error, address: address)
        if isElsewhere { fault.elsewhere = .anyHolder }
        return fault
    }
}
