import KraftMultiRaft

/// The body of a forced election: nothing, or `{"node": id}`.
struct ElectBody: Equatable {
    var node: NodeID?

    init(_ body: [UInt8]) throws(HTTPFault) {
        guard !body.isEmpty else { return }
        let fields = try JSONInput.object(body, known: ["node"])
        guard let input = fields["node"], input != .null else { return }
        guard let id = input.node else { throw .badRequest("node: must be a node's id, from 1") }
        node = NodeID(id)
    }
}
