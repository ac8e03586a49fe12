import KraftMultiRaft

/// A plan as `/v1/plans/{id}` shows it. Changes of members are the only kind so far.
struct PlanView: Equatable {
    var id: String
    var step: String
    var state: State
    var error: String?

    enum State: String { case running, done, failed, cancelled }

    /// Nil for a change of which the end is forgotten.
    init?(_ change: ChangeStatus) {
        id = change.id.description
        step = change.step.rawValue
        switch change.state {
        case .running: state = .running
        case .done: state = .done
        case .abandoned:
            state = .failed
            error = "the new members didn't catch up in time; the group is as it was before"
        case .lost:
            state = .failed
            error = "the leader was lost before it had begun; the group is as it was before"
        case .forgotten: return nil
        }
    }

    var json: JSON {
        var members: [JSON.Member] = [
            .init(name: "id", value: .string(id)),
            .init(name: "kind", value: "members"),
            .init(name: "step", value: .string(step)),
            .init(name: "state", value: .string(state.rawValue)),
        ]
        if let error { members.append(.init(name: "error", value: .string(error))) }
        return .object(members)
    }
}
