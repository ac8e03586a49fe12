import KraftMultiRaft

/// The body of joining and leaving the cluster: `{"node_id","addr","http"}`.
struct NodeBody: Equatable {
    var node: NodeID
    /// Where its peer port is reached.
    var address: String?
    /// Where its HTTP port is reached. It tells that itself once it is connected.
    var http: String?

    static let addressSizeLimitBytes = 256

    init(_ body: [UInt8], needsAddress: Bool) throws(HTTPFault) {
        let fields = try JSONInput.object(body, known: ["node_id", "addr", "http"])
        guard let number = fields["node_id"] else { throw .badRequest("node_id: missing") }
        guard let id = number.node else {
            throw .badRequest("node_id: must be a node's id, from 1")
        }
        node = NodeID(id)
        address = try NodeBody.address(fields["addr"], "addr")
        http = try NodeBody.address(fields["http"], "http")
        if needsAddress, address == nil { throw .badRequest("addr: missing") }
    }

    private static func address(_ input: JSONInput?, _ name: String) throws(HTTPFault) -> String? {
        switch input {
        case nil, .null: return nil
        case .string(let text):
            guard text.utf8.count <= addressSizeLimitBytes, isHostAndPort(text) else {
                throw .badRequest("\(name): must be host:port with a port from 1")
            }
            return text
        default: throw .badRequest("\(name): must be a string, host:port")
        }
    }

    private static func isHostAndPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"), colon > text.startIndex,
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return false }
        let host = text[..<colon]
        // Where the port of an IPv6 address begins must be plain.
        guard !host.contains(":") || (host.hasPrefix("[") && host.hasSuffix("]")) else {
            return false
        }
        return host.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "/") }
    }
}
