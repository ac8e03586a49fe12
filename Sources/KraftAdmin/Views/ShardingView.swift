import KraftMultiRaft

/// Who owns which keys, for `/v1/cluster/sharding`.
struct ShardingView {
    var router: Router
    /// By name, of the groups on this node.
    var groups: [GroupName: Shard]

    struct Shard {
        var leader: NodeID
        var replicas: [NodeID]
        var keyCount: Int
        var contentSizeBytes: Int
        var writesPerSecond: Double
    }

    /// A group that owns several ranges or prefixes appears with each of them.
    var json: JSON {
        [
            "router": .string(router.kind.rawValue),
            "epoch": .unsigned(router.version.rawValue),
            "groups": .array(router.shares.map(entry)),
            "imbalance": .number(imbalance),
        ]
    }

    /// How far the largest group's bytes lie over the mean: 0.2 is 20 % more. 0 without content.
    var imbalance: Double {
        let sizes = router.owners.map { groups[$0.group]?.contentSizeBytes ?? 0 }
        let total = sizes.reduce(0, +)
        guard total > 0, let largest = sizes.max() else { return 0 }
        return Double(largest) * Double(sizes.count) / Double(total) - 1
    }

    private func entry(_ share: Share) -> JSON {
        var members: [JSON.Member] = [.init(name: "name", value: .string(share.group.string))]
        members += ShardingView.extent(share.extent)
        let shard = groups[share.group]
        members += [
            .init(name: "leader", value: shard.map { .node($0.leader) } ?? .null),
            .init(name: "replicas", value: .array(shard?.replicas.map(JSON.node) ?? [])),
            .init(name: "keys", value: .unsigned(UInt64(shard?.keyCount ?? 0))),
            .init(name: "bytes", value: .unsigned(UInt64(shard?.contentSizeBytes ?? 0))),
            .init(name: "writes_per_s", value: .number(shard?.writesPerSecond ?? 0)),
        ]
        return .object(members)
    }

    private static func extent(_ extent: Share.Extent) -> [JSON.Member] {
        switch extent {
        case .fraction(let fraction): [.init(name: "ring_share", value: .number(fraction))]
        case .range(let start, let end):
            [
                .init(name: "start", value: .string(PercentCoding.encode(start))),
                .init(
                    name: "end",
                    value: end.map { .string(PercentCoding.encode($0)) } ?? .null),
            ]
        case .prefix(let prefix):
            [.init(name: "prefix", value: .string(PercentCoding.encode(prefix)))]
        case .custom: []
        }
    }
}
