import KraftRouting
import RaftCore

/// A group begins anew with a state that comes from outside: from a backup.
///
/// Only a group whose sole member is this node can: then there is nobody whose log could say anything
/// else, and what is durable here is committed. The state is taken over as one from another replica
/// is: the file first, then one record that makes the log begin behind it. A crash leaves the group
/// as it was, or with the whole state.
extension Engine {
    /// What a snapshot must be for a group to take it over.
    public struct Adoption: Hashable, Sendable {
        public var name: SnapshotName
        public var owner: SnapshotOwner

        public init(name: SnapshotName, owner: SnapshotOwner) {
            (self.name, self.owner) = (name, owner)
        }
    }

    /// Room between the log's end and the state that is taken over, as entries may come meanwhile.
    private static let adoptionGap: UInt64 = 1_000
    /// No backup's log is longer; there must be room behind it.
    private static let adoptionLimit: UInt64 = 1 << 60

    /// Says what a state must be made into that is to take the place of a group's. Changes nothing.
    ///
    /// - `index`: of the last entry that the state holds where it comes from. The group goes on
    ///   behind it, so that no index, nor a version that is one, comes a second time.
    ///
    /// Throws `notFound`, `unavailable` when this node doesn't lead the group, `conflict` when others
    /// are members.
    public mutating func adoption(
        of slot: GroupSlot, behind index: LogIndex
    ) throws(KraftError) -> Adoption {
        let slot = slot.rawValue
        try checkAdopter(slot)
        guard index.rawValue < Engine.adoptionLimit else {
            throw KraftError(
                .badRequest, "body: the backup ends at entry \(index)", group: groups[slot].name)
        }
        let raft = groups[slot].raft
        let last = max(raft.log.lastIndex.rawValue, index.rawValue)
        let position = EntryPosition(
            index: LogIndex(last + Engine.adoptionGap), term: raft.term)
        return Adoption(
            name: SnapshotName(
                group: groups[slot].id, position: position, nonce: dice.next()),
            owner: SnapshotOwner(
                name: groups[slot].name, incarnation: groups[slot].incarnation,
                epoch: groups[slot].epoch,
                configuration: raft.configuration(at: raft.commitIndex)))
    }

    private func checkAdopter(_ slot: Int) throws(KraftError) {
        guard !isFenced, groups.indices.contains(slot), isLive[slot], groups[slot].isRunning,
            !groups[slot].isDamaged
        else { throw KraftError(.unavailable, "the group doesn't run here") }
        let (name, raft) = (groups[slot].name, groups[slot].raft)
        guard raft.isLeader, raft.canRead else {
            throw KraftError(
                .unavailable, "this node doesn't lead the group", group: name,
                leader: raft.leader.isNone ? nil : raft.leader)
        }
        let committed = raft.configuration(at: raft.commitIndex).membership
        guard committed.members.count == 1, raft.membership == committed else {
            throw KraftError(
                .conflict, "the group has other members: remove them first", group: name)
        }
    }

    /// Has a group begin anew with a snapshot that lies here, durable under its name and whole. The
    /// group's state as it is is lost: the caller has seen in this very turn that it is empty. Reads
    /// are answered again when the state is in the machine and the log says so durably.
    ///
    /// Throws as `adoption`, and `conflict` when something came meanwhile that `adoption` did not
    /// know of; then nothing has changed.
    public mutating func adopt(
        _ slot: GroupSlot, _ adoption: Adoption, byteCount: UInt64, now: Instant
    ) throws(KraftError) {
        let slot = slot.rawValue
        try checkAdopter(slot)
        // What isn't applied yet might be a write that somebody is told of.
        guard groups[slot].isAsFound(by: adoption), groups[slot].isAtRest else {
            throw KraftError(
                .conflict, "the group was used meanwhile: try again", group: groups[slot].name)
        }
        groups[slot].raft.stepDown(now: now, effects: &raftEffects)
        absorb(slot, now: now)
        let state = EngineState(
            name: groups[slot].name, incarnation: groups[slot].incarnation,
            epoch: groups[slot].epoch, configuration: adoption.owner.configuration, sessions: nil)
        install(
            slot, SnapshotReference(name: adoption.name, byteCount: byteCount), state, now: now)
        touch(slot)
    }
}

extension Group {
    fileprivate func isAsFound(by adoption: Engine.Adoption) -> Bool {
        let position = adoption.name.position
        return id == adoption.name.group && raft.term == position.term
            && raft.configuration(at: raft.commitIndex) == adoption.owner.configuration
            && raft.log.lastIndex < position.index
    }

    /// All of its log is applied, and nobody waits for more.
    fileprivate var isAtRest: Bool {
        appliedIndex == raft.log.lastIndex && !isApplying && !isRestoring && stagedCount == 0
            && pending.isEmpty
    }
}
