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
    /// All nodes, this one too.
    var peers: [NodeID: String]
    var groupCount: Int
    var router: Router.Kind
    var logLevel: Logger.Level

    static let groupLimit = 10_000
    static let nodeLimit = 128
    static let listenDefault = "127.0.0.1:7001"
    static let httpDefault = "127.0.0.1:8001"

    /// - `layers`: the strongest first.
    init(_ layers: [SettingsLayer]) throws(SettingsError) {
        let reader = SettingsReader(layers: layers)
        if let join = reader.entry(.join) {
            guard reader.entry(.peers) == nil else {
                throw SettingsError("join (\(join.origin)): excludes peers; give one of the two")
            }
            throw SettingsError(
                "join (\(join.origin)): not_implemented: joining a running cluster isn't built "
                    + "yet; start every node with the same --peers")
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
        peers = try NodeSettings.peers(reader, node: node)
    }

    private static func peers(
        _ reader: SettingsReader, node: NodeID
    ) throws(SettingsError) -> [NodeID: String] {
        guard let entry = reader.entry(.peers) else {
            throw SettingsError("peers: missing; list every node: 1=host:port,2=host:port,…")
        }
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
private struct SettingsReader {
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
