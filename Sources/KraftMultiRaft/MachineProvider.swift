/// Makes the state machines of groups that take this node in.
public struct MachineProvider: Sendable {
    let make: @Sendable (GroupName) -> MachineBox?

    /// `make` is called on the node's loop: it must not block. Nil for a group that it doesn't know.
    public init<S: StateMachine & Sendable>(_ make: @escaping @Sendable (GroupName) -> S?) {
        self.make = { name in make(name).map { TypedMachineBox($0) } }
    }
}
