/// A group's state machine without its type. Belongs to the loop.
///
/// `@unchecked Sendable`: it is made by a caller and then given to the loop for good.
class MachineBox: @unchecked Sendable {
    func apply(_ batch: CommittedBatch, _ replies: inout ReplyBuffer) {
        preconditionFailure("abstract")
    }
    func digest() -> UInt64 { preconditionFailure("abstract") }
}

final class TypedMachineBox<S: StateMachine & Sendable>: MachineBox, @unchecked Sendable {
    private(set) var machine: S

    init(_ machine: S) { self.machine = machine }

    override func apply(_ batch: CommittedBatch, _ replies: inout ReplyBuffer) {
        machine.apply(batch, replies: &replies)
    }
    override func digest() -> UInt64 { machine.digest() }
}
