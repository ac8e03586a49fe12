/// What a leader knows of one member (section 3.5, `nextIndex` and `matchIndex`).
public struct Progress: Sendable {
    public enum State: UInt8, Sendable {
        /// Where the logs agree isn't known: one append at a time until an answer tells.
        case probe
        /// Appends are pipelined: `next` runs ahead of `match` by up to the window.
        case replicate
        /// No connection: nothing is sent until there is one.
        case unreachable
    }

    public internal(set) var match: LogIndex = .zero
    public internal(set) var next: LogIndex
    public internal(set) var state: State
    /// Probing, and the answer is outstanding.
    var isProbeInFlight = false
    /// Something came back since the last look at who is silent.
    var hasAnswered = false
    /// The highest commit index it was told.
    var toldCommit: LogIndex = .zero
    /// The highest read sequence that it has confirmed.
    var confirmedRead: UInt64 = 0

    init(next: LogIndex, isReachable: Bool) {
        self.next = next
        state = isReachable ? .probe : .unreachable
    }
}
