/// A group's state machine without its type. Belongs to the loop, but for the time of a restore.
///
/// `@unchecked Sendable`: it is made by a caller and then given to the loop for good; while it is
/// restored on the pool, the loop sees by `readiness` that it may not touch the machine.
class MachineBox: @unchecked Sendable {
    enum Readiness {
        case ready
        /// A thread of the pool has the machine.
        case restoring
        /// A restore failed half-way: the machine's state is undefined.
        case broken
    }

    /// Loop-confined.
    final var readiness = Readiness.ready

    func apply(_ batch: CommittedBatch, _ replies: inout ReplyBuffer) {
        preconditionFailure("abstract")
    }
    func digest() -> UInt64 { preconditionFailure("abstract") }
    func snapshot() -> any StateSnapshot { preconditionFailure("abstract") }
    /// On the pool, while `readiness` is `restoring`.
    func restore(from pieces: inout SnapshotPieces) throws { preconditionFailure("abstract") }

    /// Why the machine can't be asked now; nil if it can.
    final func obstacle(group: GroupName?) -> KraftError? {
        switch readiness {
        case .ready: nil
        case .restoring:
            KraftError(.unavailable, "the group's state is being restored here", group: group)
        case .broken:
            KraftError(.unavailable, "the group's state is lost here", group: group)
        }
    }
}

final class TypedMachineBox<S: StateMachine & Sendable>: MachineBox, @unchecked Sendable {
    private(set) var machine: S

    init(_ machine: S) { self.machine = machine }

    override func apply(_ batch: CommittedBatch, _ replies: inout ReplyBuffer) {
        machine.apply(batch, replies: &replies)
    }
    override func digest() -> UInt64 { machine.digest() }
    override func snapshot() -> any StateSnapshot { machine.snapshot() }
    override func restore(from pieces: inout SnapshotPieces) throws {
        try machine.restore(from: &pieces)
    }
}
