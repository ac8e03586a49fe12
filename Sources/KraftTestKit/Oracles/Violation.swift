/// A promise that the cluster broke. One is enough to fail a run.
public struct Violation: Sendable, CustomStringConvertible {
    /// The invariants of this project, by their numbers.
    public enum Invariant: String, Sendable {
        case oneLeader = "I1 one leader per group and term"
        case leaderAppendOnly = "I2 a leader never rewrites its own log"
        case logMatching = "I3 log matching"
        case leaderCompleteness = "I4 leader completeness"
        case stateMachineSafety = "I5 state-machine safety"
        case durability = "I6 committed entries are durable, nothing goes back"
        case acknowledgement = "I7 every acknowledged write survives"
        case linearizability = "I8 linearizable reads"
        case sessions = "I12 a session's command takes effect once"
        case liveness = "I13 live again after the faults end"
        /// The engine or a driver broke a rule of the interface between them.
        case interface = "the engine's interface is kept"
    }

    public var invariant: Invariant
    public var message: String
    /// Simulated nanoseconds since the start.
    public var time: UInt64

    public init(invariant: Invariant, message: String, time: UInt64) {
        self.invariant = invariant
        self.message = message
        self.time = time
    }

    public var description: String {
        "\(invariant.rawValue): \(message) (at \(time / 1_000) µs)"
    }
}
