import KraftMultiRaft

/// A group as `/v1/groups/{name}` shows it.
struct GroupView {
    var status: GroupStatus
    /// Nil for a group that isn't open on this node.
    var digest: (digest: UInt64, appliedIndex: LogIndex)?

    var json: JSON {
        // The digest speaks of its own applied index, taken at the same moment.
        let applied = digest?.appliedIndex ?? status.appliedIndex
        return [
            "name": .string(status.name.string),
            "id": .string(status.id.description),
            "incarnation": .unsigned(status.incarnation),
            "epoch": .unsigned(status.epoch.rawValue),
            "state": .string(status.state.rawValue),
            "role": .string(status.role.rawValue),
            "term": .unsigned(status.term.rawValue),
            "leader": .node(status.leader),
            "commit_index": .unsigned(max(status.commitIndex, applied).rawValue),
            "applied_index": .unsigned(applied.rawValue),
            "first_index": .unsigned(status.firstIndex.rawValue),
            "last_index": .unsigned(max(status.lastIndex, applied).rawValue),
            "snapshot": status.snapshot.map {
                [
                    "index": .unsigned($0.name.position.index.rawValue),
                    "bytes": .unsigned($0.byteCount),
                ]
            } ?? .null,
            "digest": digest.map { .string(GroupView.hex($0.digest)) } ?? .null,
            "replicas": .array(replicas),
            "joint": .bool(status.isJoint),
            "change": status.change.map {
                .string(ChangeID(group: status.name, position: $0).description)
            } ?? .null,
            "members_committed": .bool(status.isMembershipCommitted),
            "quiesced": .bool(status.isQuiesced),
        ]
    }

    private var replicas: [JSON] {
        status.replicas.map { replica in
            [
                "node": .node(replica.node),
                "kind": .string("\(replica.kind)"),
                "match_index": .unsigned(replica.matchIndex.rawValue),
                "state": .string(replica.state),
            ]
        }
    }

    static func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

extension JSON {
    /// A node's id; null for "none".
    static func node(_ node: NodeID) -> JSON {
        node.isNone ? .null : .unsigned(UInt64(node.rawValue))
    }
}
