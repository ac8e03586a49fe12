import KraftEngine
import RaftCore

/// I7 and the order of I8 that every client can see: what ended before a request began is there for
/// it; a refused command never takes effect, none takes effect twice.
struct RequestOracle {
    /// What a request that begins now must find.
    struct Ticket {
        var track: Int?
        /// The highest index that anybody was told of by then.
        var floor = LogIndex.zero
        var isDone = false
        /// It may be somewhat stale.
        var isBounded = false
    }

    private struct Command {
        var request: Int
        var isRefused = false
        var appliedAt = LogIndex.zero
    }

    /// By track: the highest index that a client was told of by an answer.
    private var told: [LogIndex] = []
    /// By track: since when which index was told; both ascend.
    private var history: [[(time: UInt64, index: LogIndex)]] = []
    /// By hash. Only looked up, never walked through.
    private var commands: [UInt64: Command] = [:]

    /// Simulated time, which the owner keeps up to date.
    var now: UInt64 = 0

    mutating func addTrack() {
        told.append(.zero)
        history.append([])
    }

    private mutating func tell(_ track: Int, _ index: LogIndex) {
        guard index > told[track] else { return }
        told[track] = index
        history[track].append((now, index))
    }

    /// What a read that begins now must find, if it may be `staleness` old.
    func begin(_ track: Int, staleness: UInt64) -> Ticket {
        var ticket = Ticket(track: track)
        guard now >= staleness else { return ticket }
        var (low, high) = (0, history[track].count)
        while low < high {
            let middle = (low + high) / 2
            if history[track][middle].time <= now - staleness {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if low > 0 { ticket.floor = history[track][low - 1].index }
        ticket.isBounded = true
        return ticket
    }

    func told(_ track: Int) -> LogIndex { told[track] }

    func begin(_ track: Int) -> Ticket { Ticket(track: track, floor: told[track]) }

    /// What is proposed within a session, and so perhaps again, is the other oracle's business.
    mutating func remember(command: UInt64, request: Int) {
        commands[command] = Command(request: request)
    }

    /// A write was acknowledged at `index`.
    mutating func acknowledge(_ ticket: Ticket, command: UInt64, index: LogIndex) -> Finding? {
        guard let track = ticket.track else { return nil }
        guard index > ticket.floor else {
            return (
                .linearizability,
                "a write took effect at \(index), though \(ticket.floor) was known when it began"
            )
        }
        if commands[command]?.isRefused == true {
            return (.linearizability, "the command at \(index) was refused, then acknowledged")
        }
        tell(track, index)
        return nil
    }

    /// A read is answered by a node that has applied `applied`.
    mutating func read(_ ticket: Ticket, node: NodeID, applied: LogIndex) -> Finding? {
        guard let track = ticket.track else { return nil }
        guard applied >= ticket.floor else {
            return (
                .linearizability,
                """
                stale read: node \(node) answers at \(applied), \
                though \(ticket.floor) was known when it began
                """
            )
        }
        // Who reads something old is told of nothing new; others might have been.
        if !ticket.isBounded { tell(track, applied) }
        return nil
    }

    /// A proposal was refused: it must never take effect.
    mutating func refuse(command: UInt64, reason: Completion.Refusal) -> Finding? {
        guard reason != .malformed, commands[command] != nil else { return nil }
        commands[command]?.isRefused = true
        guard let index = commands[command]?.appliedAt, index > .zero else { return nil }
        return (.linearizability, "a command was refused (\(reason)), but applied at \(index)")
    }

    /// A command takes effect for the first time at this index.
    mutating func apply(command: UInt64, index: LogIndex) -> Finding? {
        guard let known = commands[command] else { return nil }
        commands[command]?.appliedAt = index
        if known.isRefused {
            return (.linearizability, "a refused command is applied at \(index)")
        }
        if known.appliedAt > .zero {
            return (
                .linearizability, "one command is applied at \(known.appliedAt) and at \(index)"
            )
        }
        return nil
    }
}
