/// Which part of the keys a group owns, for people and for `/v1/cluster/sharding`.
public struct Share: Hashable, Sendable {
    /// A part of the keys. New cases may come: switch with a `default`.
    public enum Extent: Hashable, Sendable {
        /// Fraction of the positions, 0 to 1: of the ring, or of the hash router's slots.
        case fraction(Double)
        /// Keys from `start` (inclusive) to `end` (exclusive, nil is infinity).
        case range(start: [UInt8], end: [UInt8]?)
        /// Keys that begin with it and with no longer prefix of the router; empty for the default.
        case prefix([UInt8])
        /// What the user's function says.
        case custom
    }

    public let group: GroupName
    public let epoch: Epoch
    public let extent: Extent
}

extension Router {
    /// What each group owns. Hash and consistent hashing and custom: one for each group, by name.
    /// Range and prefix: one for each range or prefix, in the order of the keys, so a group that
    /// owns several appears several times.
    public var shares: [Share] {
        switch rule {
        case .hash(let slots): fractions(of: slots)
        case .consistentHash: fractions(of: nil)
        case .range:
            (0..<table.count).map { index in
                share(
                    Int(table.owners[index]),
                    .range(start: table.start(bytesAt: index), end: table.end(bytesAt: index)))
            }
        case .prefix(let rules):
            rules.map { share(Router.place(of: $0.group, in: owners).index, .prefix($0.prefix)) }
        case .custom: owners.indices.map { share($0, .custom) }
        }
    }

    private func fractions(of size: UInt64?) -> [Share] {
        let fractions = table.fractions(ownerCount: owners.count, of: size)
        return owners.indices.map { share($0, .fraction(fractions[$0])) }
    }

    private func share(_ index: Int, _ extent: Share.Extent) -> Share {
        Share(group: owners[index].group, epoch: owners[index].epoch, extent: extent)
    }
}
