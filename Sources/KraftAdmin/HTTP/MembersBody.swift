import KraftMultiRaft

/// The body of a change of members: `{"add":[{"node","kind"}],"remove":[node]}`; a kind that isn't
/// said is `voter`.
struct MembersBody: Equatable {
    var add: [MembershipChange.Addition] = []
    var remove: [NodeID] = []

    init(_ body: [UInt8]) throws(HTTPFault) {
        let fields = try JSONInput.object(body, known: ["add", "remove"])
        for (position, item) in try MembersBody.list(fields["add"], "add").enumerated() {
            add.append(try MembersBody.addition(item, "add[\(position)]"))
        }
        for (position, item) in try MembersBody.list(fields["remove"], "remove").enumerated() {
            guard let node = item.node else {
                throw .badRequest("remove[\(position)]: must be a node's id, from 1")
            }
            remove.append(NodeID(node))
        }
        guard !add.isEmpty || !remove.isEmpty else {
            throw .badRequest("add: nothing to add, and nothing to remove")
        }
        var seen: Set<NodeID> = []
        for node in add.map(\.node) + remove where !seen.insert(node).inserted {
            throw .badRequest("\(remove.contains(node) ? "remove" : "add"): node \(node) twice")
        }
    }

    private static func list(
        _ input: JSONInput?, _ name: String
    ) throws(HTTPFault) -> [JSONInput] {
        switch input {
        case nil, .null: return []
        case .array(let items): return items
        default: throw .badRequest("\(name): must be a list")
        }
    }

    private static func addition(
        _ input: JSONInput, _ name: String
    ) throws(HTTPFault) -> MembershipChange.Addition {
        let fields = try input.object(name, known: ["node", "kind"])
        guard let node = fields["node"]?.node else {
            throw .badRequest("\(name).node: must be a node's id, from 1")
        }
        return .init(NodeID(node), try kind(fields["kind"], "\(name).kind"))
    }

    private static func kind(
        _ input: JSONInput?, _ name: String
    ) throws(HTTPFault) -> MemberKind {
        guard let input else { return .voter }
        let kind = MemberKind.allCases.first { .string("\($0)") == input }
        guard let kind else {
            throw .badRequest("\(name): must be voter, learner or witness")
        }
        return kind
    }

    /// Why these members can't be changed so, in words that name the field: for a change that was
    /// refused. What this node knows may be a little old.
    func objection(members: [GroupStatus.Member], nodes: [NodeID]) -> String {
        for (position, addition) in add.enumerated() {
            let field = "add[\(position)]"
            guard nodes.contains(addition.node) else {
                return
                    "\(field).node: node \(addition.node) is not in the cluster; let it join first"
            }
            guard let member = members.first(where: { $0.node == addition.node }) else { continue }
            if member.kind == addition.kind {
                return "\(field).kind: node \(addition.node) is a \(addition.kind) already"
            }
            if member.kind == .witness || addition.kind == .witness {
                return "\(field).kind: node \(addition.node) is a \(member.kind); remove it first"
            }
        }
        for (position, node) in remove.enumerated()
        where !members.contains(where: { $0.node == node }) {
            return "remove[\(position)]: node \(node) is not a member"
        }
        let stays = members.contains { $0.kind == .voter && !remove.contains($0.node) }
        if !stays, !add.contains(where: { $0.kind == .voter }) {
            return "remove: no voter with data would be left"
        }
        return "add: the change doesn't fit the group's members, of whom there may be 16 at most"
    }
}
