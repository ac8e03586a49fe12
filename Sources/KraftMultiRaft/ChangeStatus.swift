/// How a change of a group's members stands, as one node knows.
public struct ChangeStatus: Hashable, Sendable {
    /// The steps of a change, in their order; a change that adds no voter has no first one.
    public enum Step: String, Sendable {
        /// New members catch up.
        case staging
        /// The old voters and the new ones decide together.
        case joint
        /// The new members alone.
        case final
    }

    public var id: ChangeID
    public var state: ChangeState
    /// Where it is, or where it ended.
    public var step: Step

    public init(id: ChangeID, state: ChangeState, step: Step) {
        (self.id, self.state, self.step) = (id, state, step)
    }

    init(id: ChangeID, state: ChangeState, group: GroupStatus?) {
        let step: Step
        switch state {
        case .done, .forgotten: step = .final
        case .abandoned, .lost: step = .staging
        case .running:
            if let group, group.change == id.position {
                step = group.isJoint ? .joint : .staging
            } else {
                // Its last entry isn't committed yet, or its first one isn't here.
                step = (group?.commitIndex ?? .zero) < id.position.index ? .staging : .final
            }
        }
        self.init(id: id, state: state, step: step)
    }
}
