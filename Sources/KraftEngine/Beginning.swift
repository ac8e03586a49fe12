import RaftCore

/// The members that groups begin with, in memory once for all groups that begin with the same.
final class Beginning: Sendable {
    let membership: Membership
    /// What holds before the first entry.
    private let configurations: [Raft.Configuration]

    init(_ membership: Membership) {
        self.membership = membership
        configurations = [.init(index: .zero, membership: membership)]
    }

    /// The same as `others`, but with memory of its own only where it says something else.
    func sharing(_ others: [Raft.Configuration]) -> [Raft.Configuration] {
        if others == configurations { return configurations }
        return others.map {
            $0.membership == membership ? .init(index: $0.index, membership: membership) : $0
        }
    }
}

/// The beginnings that are known: of a cluster's groups, few differ.
struct Beginnings {
    private static let limit = 1_024
    private var known: [Membership: Beginning] = [:]  // ordered: looked up only

    mutating func shared(_ membership: Membership) -> Beginning {
        if let beginning = known[membership] { return beginning }
        // Who holds one of those keeps it.
        if known.count >= Beginnings.limit { known.removeAll() }
        let beginning = Beginning(membership)
        known[membership] = beginning
        return beginning
    }
}
