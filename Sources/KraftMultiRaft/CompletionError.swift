extension KraftError {
    /// The error that an outcome stands for; nil when it is done.
    init?(_ outcome: Completion.Outcome, group: GroupName?) {
        switch outcome {
        case .done: return nil
        case .refused(let refusal, let leader):
            self.init(
                refusal.code, refusal.message, group: group, leader: leader.isNone ? nil : leader)
        case .unknown:
            self.init(
                .outcomeUnknown, "the command may or may not take effect", group: group)
        case .forgotten:
            self.init(
                .outcomeUnknown,
                "the sequence lies too far back to tell whether it took effect", group: group)
        }
    }
}

extension Completion.Refusal {
    var code: KraftError.Code {
        switch self {
        case .unavailable, .groupStopped, .nodeStopped, .transferFailed, .diskFull: .unavailable
        case .overloaded: .overloaded
        case .tooLarge: .tooLarge
        case .staleRoute: .staleRoute
        case .groupNotFound: .notFound
        case .malformed, .badChange: .badRequest
        case .conflict: .conflict
        case .sessionExpired: .sessionExpired
        case .sessionTaken: .conflict
        }
    }

    var message: String {
        switch self {
        case .unavailable: "the group has no leader that can serve this in time"
        case .overloaded: "too many requests wait; try again later"
        case .tooLarge: "the command is over its limit"
        case .staleRoute: "the route is not up to date; look the key up again"
        case .groupNotFound: "no such group on the node that was asked"
        case .groupStopped: "the group is stopped on this node"
        case .malformed: "the state machine could not decode the command"
        case .nodeStopped: "the node serves nothing any more"
        case .sessionExpired: "the session is unknown or has expired"
        case .sessionTaken: "a session of this id is open with another time to live"
        case .conflict: "another change of members is under way"
        case .badChange:
            "the change doesn't fit the group's members, or names a node that isn't in the cluster"
        case .diskFull: "read-only: the leader's disk is full, and no other node can lead"
        case .transferFailed: "leadership could not be handed over in time"
        }
    }
}
