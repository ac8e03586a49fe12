import RaftCore

/// A group's sessions on this node: the replicated table, and what this node needs around it.
final class GroupSessions {
    var table = SessionTable()
    /// This node's view of the group's clock: it showed `anchorClock` at `anchorTime`, and has run
    /// on since by the node's own.
    private var anchorClock: UInt64 = 0
    private var anchorTime: Instant
    /// What the piece of work with the state machine holds for sessions, in the order of the log.
    var notes: [Note] = []

    enum Note {
        /// The work's command at `position`: its reply is to be kept.
        case carriedOut(SessionTable.Ticket, position: Int)
        /// The entry at `index` repeats the work's command at `position`.
        case repeats(index: LogIndex, first: LogIndex, position: Int)
        /// The entry at `index` has its outcome.
        case ended(index: LogIndex, Ending)
    }

    enum Ending {
        case done(index: LogIndex, reply: [UInt8])
        case refused(Completion.Refusal)
        case forgotten
    }

    init(_ table: SessionTable = SessionTable(), now: Instant) {
        self.table = table
        anchorClock = table.clock
        anchorTime = now
    }

    /// What the group's clock shows now, in milliseconds, as far as this node knows.
    func stamp(_ now: Instant) -> UInt64 {
        let clock = anchorClock + (now - anchorTime).rawValue / 1_000_000
        return min(clock, ByteReader.numberLimit - 1)
    }

    /// An entry with this stamp is being applied. Returns how many sessions have expired.
    ///
    /// The leader's own stamps come back to it a while after it gave them. If it set its clock by
    /// them, that would lose this time with every entry, and could stand still under load. All others
    /// do set theirs by it, so that a clock that runs fast gains nothing over the years.
    func advance(to stamp: UInt64, isLeader: Bool, now: Instant) -> Int {
        let expired = table.advance(to: stamp)
        let isNews = isLeader ? table.clock > self.stamp(now) : table.clock == stamp
        if isNews {
            anchorClock = table.clock
            anchorTime = now
        }
        return expired
    }

    /// Where in the work the command stands that has no reply yet.
    func position(of tag: SessionTag) -> Int? {
        for note in notes.reversed() {
            if case .carriedOut(let ticket, let position) = note, ticket.tag == tag {
                return position
            }
        }
        return nil
    }
}
