import KraftMultiRaft
import Logging

/// What `kraft-node run` has been told, checked.
struct NodeSettings: Equatable {
    var node: NodeID
    var dataDirectory: String
    var listen: HostPort
    var advertise: HostPort?
    var http: HostPort
    var clusterID: String
    /// All nodes, this one too; empty for a node that joins a cluster or goes by its data folder.
    var peers: [NodeID: String]
    /// Peer ports of a cluster to join.
    var join: [String]
    var groupCount: Int
    var router: Router.Kind
    /// Nil: no leases.
    var leaseMilliseconds: UInt64?
    /// How long new members of a group may take to catch up.
    var catchUpMilliseconds: UInt64
    var storage: StorageSettings
    var logLevel: Logger.Level

    static let groupLimit = 10_000
    static let nodeLimit = 128
    static let listenDefault = "127.0.0.1:7001"
    static let httpDefault = "127.0.0.1:8001"

    /// - `layers`: the strongest first.
    init(_ layers: [SettingsLayer]) throws(SettingsError) {
        let reader = SettingsReader(layers: layers)
        if let join = reader.entry(.join), reader.entry(.peers) != nil {
            throw SettingsError("join (\(join.origin)): excludes peers; give one of the two")
        }
        let node = try reader.required(.id, "a node's number, from 1") { text in
            UInt32(text).flatMap { $0 > 0 ? NodeID($0) : nil }
        }
        self.node = node
        dataDirectory = try reader.required(.dataDirectory, "a folder's path") { text in
            text.isEmpty ? nil : text
        }
        listen = try reader.value(.listen, default: NodeSettings.listenDefault, "host:port") {
            HostPort($0)
        }
        http = try reader.value(.http, default: NodeSettings.httpDefault, "host:port") {
            HostPort($0)
        }
        advertise = try reader.optional(.advertise, "host:port with a port from 1") {
            HostPort($0).flatMap { $0.port > 0 ? $0 : nil }
        }
        clusterID = try reader.value(.clusterID, default: "kraft", "1 to 128 bytes") { text in
            (1...128).contains(text.utf8.count) ? text : nil
        }
        groupCount = try reader.value(
            .groups, default: "8", "a number from 1 to \(NodeSettings.groupLimit)"
        ) { text in
            Int(text).flatMap { (1...NodeSettings.groupLimit).contains($0) ? $0 : nil }
        }
        router = try reader.value(
            .router, default: "hash", "hash, consistent-hash, range or prefix"
        ) { text in
            Router.Kind(rawValue: text).flatMap { $0 == .custom ? nil : $0 }
        }
        logLevel = try reader.value(
            .logLevel, default: "info",
            Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        ) { Logger.Level(rawValue: $0) }
        let lease: UInt64 = try reader.milliseconds(.leaseMilliseconds, default: "0", 0...60_000)
        leaseMilliseconds = lease == 0 ? nil : lease
        catchUpMilliseconds = try reader.milliseconds(
            .catchUpMilliseconds, default: "60000", 100...86_400_000)
        storage = try StorageSettings(reader)
        peers = try NodeSettings.peers(reader, node: node)
        join = try NodeSettings.join(reader)
        if !join.isEmpty, advertise == nil, listen.port == 0 || listen.isWildcard {
            throw SettingsError(
                "advertise: missing; a node that joins must say where it is reached, and "
                    + "\(listen) doesn't")
        }
    }

    private static func join(_ reader: SettingsReader) throws(SettingsError) -> [String] {
        guard let entry = reader.entry(.join) else { return [] }
        var seeds: [String] = []
        for item in entry.text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let address = HostPort(item.trimmingWhitespace()), address.port > 0 else {
                throw SettingsError(
                    "join (\(entry.origin)): '\(item)' is not host:port with a port from 1")
            }
            seeds.append(address.description)
        }
        guard seeds.count <= nodeLimit else {
            throw SettingsError("join (\(entry.origin)): over \(nodeLimit) nodes")
        }
        return seeds
    }

    /// Where others reach this node's HTTP port; nil while that isn't known.
    func reachableHTTP(bound: String? = nil) -> String? {
        guard let found = bound.flatMap({ HostPort($0) }) ?? (http.port > 0 ? http : nil) else {
            return nil
        }
        guard found.isWildcard else { return found.description }
        guard let host = advertise?.host ?? (listen.isWildcard ? nil : listen.host) else {
            return nil
        }
        var reachable = found
        reachable.host = host
        return reachable.description
    }

    private static func peers(
        _ reader: SettingsReader, node: NodeID
    ) throws(SettingsError) -> [NodeID: String] {
        guard let entry = reader.entry(.peers) else { return [:] }
        func fail(_ words: String) -> SettingsError {
            SettingsError("peers (\(entry.origin)): \(words)")
        }
        var peers: [NodeID: String] = [:]
        for item in entry.text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = item.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let number = UInt32(parts[0].trimmingWhitespace()), number > 0,
                let address = HostPort(parts[1].trimmingWhitespace()), address.port > 0
            else { throw fail("'\(item)' is not id=host:port with an id and a port from 1") }
            guard peers[NodeID(number)] == nil else { throw fail("node \(number) is given twice") }
            guard !peers.values.contains(address.description) else {
                throw fail("\(address) is given for two nodes")
            }
            peers[NodeID(number)] = address.description
        }
        guard peers[node] != nil else { throw fail("doesn't list this node, \(node)") }
        guard peers.count <= nodeLimit else { throw fail("over \(nodeLimit) nodes") }
        return peers
    }
}

/// Understands the settings one by one.
struct SettingsReader {
    var layers: [SettingsLayer]

    func entry(_ field: SettingsField) -> SettingsLayer.Entry? {
        SettingsLayer.find(field, in: layers)
    }

    func optional<Value>(
        _ field: SettingsField, _ expected: String, _ parse: (String) -> Value?
    ) throws(SettingsError) -> Value? {
        guard let entry = entry(field) else { return nil }
        guard let value = parse(entry.text) else {
            throw SettingsError(
                "\(field.rawValue) (\(entry.origin)): '\(entry.text)' is not \(expected)")
        }
        return value
    }

    func required<Value>(
        _ field: SettingsField, _ expected: String, _ parse: (String) -> Value?
    ) throws(SettingsError) -> Value {
        guard let value = try optional(field, expected, parse) else {
            throw SettingsError(
                "\(field.rawValue): missing; give --\(field.rawValue), \(expected)")
        }
        return value
    }

    func milliseconds(
        _ field: SettingsField, default text: String, _ range: ClosedRange<UInt64>
    ) throws(SettingsError) -> UInt64 {
        try value(
            field, default: text,
            "a number of milliseconds from \(range.lowerBound) to \(range.upperBound)"
        ) { text in
            UInt64(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func number(
        _ field: SettingsField, default number: Int, _ range: ClosedRange<Int>
    ) throws(SettingsError) -> Int {
        try value(
            field, default: "\(number)",
            "a number from \(range.lowerBound) to \(range.upperBound)"
        ) { text in
            Int(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    func value<Value>(
        _ field: SettingsField, default text: String, _ expected: String,
        _ parse: (String) -> Value?
    ) throws(SettingsError) -> Value {
        if let value = try optional(field, expected, parse) { return value }
        guard let value = parse(text) else {
            preconditionFailure("the default of \(field.rawValue) must be valid")
        }
        return value
    }
}

extension Substring {
    fileprivate func trimmingWhitespace() -> String {
        var text = self
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
