import KraftRouting
import RaftCore

/// Every error of the library: what kind of trouble (`code`), and the words for a human.
///
/// **Any code but `outcomeUnknown` promises that the command did not take effect and never will.**
/// New codes may be added in any release; switch with a `default`.
public struct KraftError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of trouble. An extensible set; the raw value is the contract's error code.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// Malformed input; the message names the field.
        public static let badRequest = Code(rawValue: "bad_request")
        /// No such group, key or member.
        public static let notFound = Code(rawValue: "not_found")
        /// A condition failed, a name is taken, the state is the wrong one.
        public static let conflict = Code(rawValue: "conflict")
        /// The command or value is over its limit.
        public static let tooLarge = Code(rawValue: "too_large")
        /// Shed: a bounded queue is full. Try again later.
        public static let overloaded = Code(rawValue: "overloaded")
        /// No leader, no quorum, stopped or shutting down. Did not take effect.
        public static let unavailable = Code(rawValue: "unavailable")
        /// The deadline passed, or the leader was lost, after the command was proposed: it may
        /// or may not take effect.
        public static let outcomeUnknown = Code(rawValue: "outcome_unknown")
        /// The route's epoch isn't the group's: look the key up again and retry.
        public static let staleRoute = Code(rawValue: "stale_route")
        /// The session is unknown or has expired (in HTTP: `conflict`). What was proposed in it now
        /// was not carried out; an earlier try of the same sequence may have been.
        public static let sessionExpired = Code(rawValue: "session_expired")
        /// A configuration that can't work; the message names the field.
        public static let configuration = Code(rawValue: "configuration")
        /// The disk failed or holds what can't be believed; the node stops.
        public static let storage = Code(rawValue: "storage")
        /// Part of the contract, but not built yet.
        public static let notImplemented = Code(rawValue: "not_implemented")
    }

    public let code: Code
    public let message: String
    /// The group concerned, when there is one.
    public var group: GroupName?
    /// The node believed to lead the group, when known. A hint only.
    public var leader: NodeID?

    public init(
        _ code: Code, _ message: String, group: GroupName? = nil, leader: NodeID? = nil
    ) {
        self.code = code
        self.message = message
        self.group = group
        self.leader = leader
    }

    public var description: String { "\(code): \(message)" }
}
