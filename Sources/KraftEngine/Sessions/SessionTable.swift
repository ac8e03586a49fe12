import DequeModule
import RaftCore

/// The sessions of one group: replicated state beside the user's machine, changed by committed
/// entries alone and the same on every replica (dissertation section 6.3).
///
/// Time is the group's clock: the highest stamp of all session entries applied, in milliseconds.
/// All limits are constants of the format: a limit of one node's own would make replicas differ.
///
/// A command's way: `advance` by its stamp, `fate`, `record` if it is new, and `finish` once the
/// machine has replied. Several commands may lie between `record` and `finish`, as a machine
/// applies whole runs; the table that comes of it doesn't depend on how the log was cut into runs.
struct SessionTable: Sendable {
    /// Sessions at once; more are refused.
    static let sessionLimit = 4_096
    /// Commands that a session remembers: those with the highest sequences.
    static let windowLimit = 256
    /// A reply is kept until so many bytes of replies, its own among them, have been made since.
    static let replyLimitBytes: UInt64 = 64 << 10
    /// Ids of sessions that have ended, which stay refused.
    static let endedLimit = 4_096

    /// The group's clock.
    var clock: UInt64 = 0
    /// Ascending, and `sessions` beside it.
    var ids: [SessionID] = []
    var sessions: [Session] = []
    /// Those that ended last.
    var ended = Deque<SessionID>()
    /// No session expires before the clock has passed this.
    private var quietUntil: UInt64 = .max

    struct Session: Sendable {
        let openedAt: LogIndex
        let ttl: UInt64
        var lastUse: UInt64
        /// What is up to here and not in `records` has left the window.
        var floor: UInt64 = 0
        /// Bytes of all replies so far.
        var replyBytes: UInt64 = 0
        /// Ascending by sequence.
        var records = Deque<Record>()
        /// No reply that is kept begins before this.
        var oldestKept: UInt64 = 0

        var expiry: UInt64 { lastUse + ttl }
    }

    struct Record: Hashable, Sendable {
        var sequence: UInt64
        var index: LogIndex
        /// Where its reply begins in the bytes of all the session's replies.
        var replyStart: UInt64 = 0
        var reply = Reply.awaited
    }

    enum Reply: Hashable, Sendable {
        /// The machine hasn't replied yet.
        case awaited
        case kept([UInt8])
        /// The machine could not decode the command.
        case refused
        /// Dropped to keep the session small.
        case dropped
    }

    /// What is to become of a command.
    enum Fate: Hashable {
        case new
        /// Committed at `index` before.
        case repeated(index: LogIndex, Reply)
        /// It has left the window, so nobody can tell whether it was carried out.
        case forgotten
        /// There is no such session, or not any more.
        case expired
    }

    init() {}

    var count: Int { ids.count }

    // MARK: Time

    /// An entry with this stamp is being applied. Returns how many sessions have expired.
    mutating func advance(to stamp: UInt64) -> Int {
        clock = max(clock, stamp)
        guard clock > quietUntil else { return 0 }
        var kept = 0
        quietUntil = .max
        for place in ids.indices {
            guard clock <= sessions[place].expiry else {
                remember(ended: ids[place])
                continue
            }
            quietUntil = min(quietUntil, sessions[place].expiry)
            if kept < place {
                ids[kept] = ids[place]
                sessions.swapAt(kept, place)
            }
            kept += 1
        }
        let expired = ids.count - kept
        ids.removeLast(expired)
        sessions.removeLast(expired)
        return expired
    }

    mutating func findQuietTime() {
        quietUntil = sessions.reduce(.max) { min($0, $1.expiry) }
    }

    private mutating func remember(ended id: SessionID) {
        if ended.count == SessionTable.endedLimit { ended.removeFirst() }
        ended.append(id)
    }

    // MARK: Lives

    enum Opening: Hashable {
        /// By the entry at this index, which for a repeated opening is the first one's.
        case opened(LogIndex)
        /// It is open with another time to live.
        case taken
        /// A session of this id has ended.
        case ended
        case full
    }

    mutating func open(_ id: SessionID, ttl: UInt64, at index: LogIndex) -> Opening {
        let place = lowerBound(id)
        if place < ids.count, ids[place] == id {
            guard sessions[place].ttl == ttl else { return .taken }
            sessions[place].lastUse = clock
            return .opened(sessions[place].openedAt)
        }
        // An opening that comes late must not start a session's numbers anew.
        guard !ended.contains(id) else { return .ended }
        guard ids.count < SessionTable.sessionLimit else { return .full }
        let session = Session(openedAt: index, ttl: ttl, lastUse: clock)
        ids.insert(id, at: place)
        sessions.insert(session, at: place)
        quietUntil = min(quietUntil, session.expiry)
        return .opened(index)
    }

    /// False when it isn't open.
    mutating func touch(_ id: SessionID) -> Bool {
        guard let place = place(of: id) else { return false }
        sessions[place].lastUse = clock
        return true
    }

    mutating func close(_ id: SessionID) {
        guard let place = place(of: id) else { return }
        ids.remove(at: place)
        sessions.remove(at: place)
        remember(ended: id)
    }

    private func place(of id: SessionID) -> Int? {
        let place = lowerBound(id)
        return place < ids.count && ids[place] == id ? place : nil
    }

    private func lowerBound(_ id: SessionID) -> Int {
        var (low, high) = (0, ids.count)
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: Commands

    /// Judges a command, and counts it as a use of its session. A new one changes nothing else:
    /// it may still be refused, and come again.
    mutating func fate(of tag: SessionTag) -> Fate {
        guard let place = place(of: tag.session) else { return .expired }
        sessions[place].lastUse = clock
        let position = sessions[place].lowerBound(tag.sequence)
        if position < sessions[place].records.count {
            let record = sessions[place].records[position]
            if record.sequence == tag.sequence {
                return .repeated(index: record.index, record.reply)
            }
        }
        return tag.sequence <= sessions[place].floor ? .forgotten : .new
    }

    /// Enters a new command, which is about to be carried out. `finish` wants the ticket.
    mutating func record(_ tag: SessionTag, at index: LogIndex) -> Ticket {
        guard let place = place(of: tag.session) else {
            preconditionFailure("records a command of no session")
        }
        sessions[place].insert(Record(sequence: tag.sequence, index: index))
        return Ticket(tag: tag, openedAt: sessions[place].openedAt)
    }

    struct Ticket: Hashable {
        var tag: SessionTag
        var openedAt: LogIndex
    }

    /// The machine has replied; nil when it could not decode the command. In the order of the log.
    mutating func finish(_ ticket: Ticket, reply: UnsafeRawBufferPointer?) {
        // It may have ended by a later entry of the same run.
        guard let place = place(of: ticket.tag.session),
            sessions[place].openedAt == ticket.openedAt
        else { return }
        sessions[place].finish(ticket.tag.sequence, reply: reply)
    }
}

extension SessionTable.Session {
    typealias Record = SessionTable.Record

    func lowerBound(_ sequence: UInt64) -> Int {
        // Nearly always behind the last one.
        guard let last = records.last, last.sequence >= sequence else { return records.count }
        var (low, high) = (0, records.count)
        while low < high {
            let middle = (low + high) / 2
            if records[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func insert(_ record: Record) {
        records.insert(record, at: lowerBound(record.sequence))
        guard records.count > SessionTable.windowLimit else { return }
        floor = records.removeFirst().sequence
    }

    /// Every reply counts, also one whose record has left the window meanwhile: so what is kept
    /// doesn't depend on how many commands the machine was given at once.
    mutating func finish(_ sequence: UInt64, reply: UnsafeRawBufferPointer?) {
        let start = replyBytes
        replyBytes += UInt64(reply?.count ?? 0)
        let position = lowerBound(sequence)
        if position < records.count, records[position].sequence == sequence {
            records[position].replyStart = start
            records[position].reply = reply.map { .kept(Array($0)) } ?? .refused
        }
        if replyBytes - oldestKept > SessionTable.replyLimitBytes { dropReplies() }
    }

    private mutating func dropReplies() {
        oldestKept = replyBytes
        for place in records.indices {
            guard case .kept = records[place].reply else { continue }
            if replyBytes - records[place].replyStart > SessionTable.replyLimitBytes {
                records[place].reply = .dropped
            } else {
                oldestKept = min(oldestKept, records[place].replyStart)
            }
        }
    }
}
