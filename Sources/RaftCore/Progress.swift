/// What a leader knows of one member (section 3.5, `nextIndex` and `matchIndex`).
public struct Progress: Sendable {
    public enum State: UInt8, Sendable {
        /// Where the logs agree isn't known: one append at a time until an answer tells.
        case probe
        /// Appends are pipelined: `next` runs ahead of `match` by up to the window.
        case replicate
        /// It needs entries that the log holds no more: it is offered a snapshot until it has one.
        case snapshot
        /// No connection: nothing is sent until there is one.
        case unreachable
    }

    public internal(set) var match: LogIndex = .zero
    public internal(set) var next: LogIndex
    public internal(set) var state: State
    /// Probing, or a snapshot was offered, and the answer is outstanding.
    var isProbeInFlight = false
    /// Something came back since the last look at who is silent.
    var hasAnswered = false
    /// It has answered in this term on this connection, so it knows who leads: its node's support
    /// counts for the lease.
    var isFollowing = false
    /// The highest commit index it was told.
    var toldCommit: LogIndex = .zero
    /// The highest read sequence that it has confirmed.
    var confirmedRead: UInt64 = 0
    /// Bytes of entries sent, and those of them known to have arrived.
    var sentBytes = 0
    var ackedBytes = 0
    /// How many bytes had been sent when these entries were; not every append has a mark.
    private var marks: [(last: LogIndex, bytes: Int)] = []
    private var markedBytes = 0
    private static let markInterval = 64 << 10

    var bytesInFlight: Int { sentBytes - ackedBytes }

    mutating func sent(upTo last: LogIndex, byteCount: Int) {
        sentBytes += byteCount
        guard sentBytes - markedBytes >= Progress.markInterval else { return }
        markedBytes = sentBytes
        marks.append((last, sentBytes))
    }

    mutating func acknowledged(upTo index: LogIndex) {
        if index.next >= next {
            // Nothing is in flight.
            forgetBytes()
            return
        }
        var arrived = 0
        while arrived < marks.count, marks[arrived].last <= index { arrived += 1 }
        guard arrived > 0 else { return }
        ackedBytes = max(ackedBytes, marks[arrived - 1].bytes)
        marks.removeFirst(arrived)
    }

    /// What was in flight has arrived, or will be sent again.
    mutating func forgetBytes() {
        ackedBytes = sentBytes
        markedBytes = sentBytes
        if !marks.isEmpty { marks.removeAll(keepingCapacity: true) }
    }

    init(next: LogIndex, isReachable: Bool) {
        self.next = next
        state = isReachable ? .probe : .unreachable
    }
}
