import KraftRouting
import RaftCore

/// A group that has lost its majority for good, as one surviving replica sees it: what it has, and what
/// may be lost if it goes on alone. Made from what its log says; changes nothing.
public struct QuorumLoss: Sendable {
    public var name: GroupName
    public var node: NodeID
    public var id: GroupID
    /// By the last configuration in its log.
    public var members: [GroupStatus.Member]
    /// Members that are said to be lost.
    public var lost: [NodeID]
    /// Members that are neither lost nor this node. Together with it they are no majority; what they
    /// hold doesn't count any more when this node goes on alone.
    public var survivors: [NodeID]
    /// The end of this replica's log: what decides which of several survivors knows most. The greater
    /// term wins, then the greater index.
    public var last: EntryPosition
    /// Entries up to here are known to have been committed: this node has applied them. Those behind,
    /// up to `last`, may have been, and count from now on.
    public var known: LogIndex
    /// The newest term that it has heard of. When it is greater than `last.term`, there was an election
    /// whose winner may have acknowledged writes that this replica never got.
    public var term: Term
    public var isDamaged: Bool
    /// Why the group can't be recovered from this replica; nil if it can.
    public var obstacle: String?

    /// - `lost`: nodes that will never come back with what they held.
    /// - `acceptsDamage`: a replica is taken, too, that may have forgotten what it had acknowledged.
    public init(
        of group: LogReport.Group, on node: NodeID, lost: [NodeID], acceptsDamage: Bool = false
    ) {
        name = group.name
        self.node = node
        id = group.id
        members = group.members
        let others = group.members.map(\.node).filter { $0 != node }
        self.lost = others.filter(lost.contains)
        survivors = others.filter { !lost.contains($0) }
        last = EntryPosition(index: group.last, term: group.lastTerm)
        known = group.snapshot?.name.position.index ?? group.first.previous
        term = group.term
        isDamaged = group.isDamaged
        obstacle = QuorumLoss.obstacle(
            group, on: node, lost: lost, acceptsDamage: acceptsDamage)
    }

    private static func obstacle(
        _ group: LogReport.Group, on node: NodeID, lost: [NodeID], acceptsDamage: Bool
    ) -> String? {
        let membership = group.membership
        guard let own = membership.position(of: Replica(node, group.replica)) else {
            return "this node's replica is no member of it"
        }
        if lost.contains(node) { return "this node is said to be lost" }
        if membership.kind(of: own) == .witness || group.isWitness {
            return "this node is a witness of it, and holds no data"
        }
        var living = MemberSet()
        for (position, member) in membership.members.enumerated()
        where !lost.contains(member.node) { living.insert(position) }
        if membership.isQuorum(living) {
            return "a majority isn't lost: it can elect a leader, or wait for one"
        }
        if group.isDamaged, !acceptsDamage {
            return "its log here is damaged: it may have forgotten what it had acknowledged"
        }
        return nil
    }
}
