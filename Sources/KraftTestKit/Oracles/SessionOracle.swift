import KraftEngine
import RaftCore

/// I12: a session's command takes effect once, whatever was tried how often, and each try is told
/// the same; a session that is over is told so, and nothing of it is carried out any more.
///
/// What took effect is known where commands are unique (`SimulationOptions.Checks`); without that
/// only the answers are compared.
struct SessionOracle {
    /// A session of one life of a group.
    struct Key: Hashable {
        var track: Int
        var session: SessionID
    }

    /// What was known of a session when a request began.
    struct Ticket {
        var key: Key
        var sequence: UInt64 = 0
        var wasOpen = false
        var wasOver = false
    }

    private struct Session {
        var begun: UInt64
        var ttlMilliseconds: UInt64
        var openedAt: LogIndex?
        /// Somebody was told that it isn't open any more.
        var isOver = false
        var mayBeClosed = false
    }

    private struct CommandKey: Hashable {
        var key: Key
        var sequence: UInt64
    }

    private struct Command {
        /// What was known when it was tried first.
        var floor: LogIndex
        /// Tries that may have taken effect, or may yet.
        var openTries = 0
        var appliedAt: LogIndex?
        var answer: (index: LogIndex, reply: UInt64)?
        /// Somebody was told that it takes no effect any more.
        var isForgotten = false
    }

    /// Those that live for less may expire early: the group's clock is as old as its last entry was
    /// when a new leader applied it.
    private static let lastingMilliseconds: UInt64 = 3_600_000

    // All of these are only looked up, never walked through.
    private var sessions: [Key: Session] = [:]
    private var commands: [CommandKey: Command] = [:]
    /// By track and hash of the command.
    private var tagged: [Int: [UInt64: CommandKey]] = [:]

    // MARK: What begins

    private func ticket(_ key: Key, sequence: UInt64 = 0) -> Ticket {
        let session = sessions[key]
        return Ticket(
            key: key, sequence: sequence, wasOpen: session?.openedAt != nil,
            wasOver: session?.isOver ?? false)
    }

    /// A try begins; `isRetry` if it isn't the first. What it brings about comes after `floor`.
    ///
    /// - `command`: its hash, if no other command has the same.
    mutating func begin(
        _ track: Int, _ tag: SessionTag, command: UInt64?, floor: LogIndex
    ) -> (ticket: Ticket, floor: LogIndex, isRetry: Bool) {
        let ticket = ticket(Key(track: track, session: tag.session), sequence: tag.sequence)
        let key = CommandKey(key: ticket.key, sequence: tag.sequence)
        if let command { tagged[track, default: [:]][command] = key }
        let isRetry = commands[key] != nil
        commands[key, default: Command(floor: floor)].openTries += 1
        return (ticket, commands[key]?.floor ?? .zero, isRetry)
    }

    /// One ticket for each session that the change names.
    mutating func begin(_ track: Int, _ change: SessionChange, now: UInt64) -> [Ticket] {
        switch change {
        case .open(let id, let ttl):
            let key = Key(track: track, session: id)
            if sessions[key] == nil { sessions[key] = Session(begun: now, ttlMilliseconds: ttl) }
            return [ticket(key)]
        case .touch(let ids): return ids.map { ticket(Key(track: track, session: $0)) }
        case .close(let id):
            let key = Key(track: track, session: id)
            sessions[key]?.mayBeClosed = true
            return [ticket(key)]
        }
    }

    // MARK: What takes effect

    /// A command is carried out, for the first time at this index.
    mutating func apply(_ track: Int, command: UInt64, index: LogIndex) -> Finding? {
        guard let key = tagged[track]?[command], let known = commands[key] else { return nil }
        commands[key]?.appliedAt = index
        let name = "sequence \(key.sequence) of session \(key.key.session)"
        if let before = known.appliedAt {
            return (.sessions, "\(name) takes effect at \(before) and at \(index)")
        }
        guard let session = sessions[key.key] else {
            return (.sessions, "\(name) takes effect at \(index), though nobody opened that")
        }
        if session.isOver {
            return (.sessions, "\(name) takes effect at \(index), though it is over")
        }
        if known.isForgotten || known.openTries == 0 {
            return (.sessions, "\(name) takes effect at \(index), though it was refused")
        }
        return nil
    }

    // MARK: What ends

    /// A try was answered with the index and reply of the one that took effect. Says whether there
    /// was an answer to compare with.
    mutating func acknowledge(
        _ ticket: Ticket, index: LogIndex, reply: UInt64
    ) -> (wasCompared: Bool, Finding?) {
        let key = CommandKey(key: ticket.key, sequence: ticket.sequence)
        let name = "sequence \(ticket.sequence) of session \(ticket.key.session)"
        if ticket.wasOver {
            return (false, (.sessions, "\(name) is answered, though it was over before"))
        }
        guard let before = commands[key]?.answer else {
            commands[key]?.answer = (index, reply)
            return (false, nil)
        }
        guard before == (index, reply) else {
            return (
                true,
                (.sessions, "\(name) was answered at \(before.index), now otherwise at \(index)")
            )
        }
        return (true, nil)
    }

    /// Sessions were opened, touched or closed. `missing`: those that aren't open.
    mutating func acknowledge(
        _ tickets: [Ticket], _ change: SessionChange, index: LogIndex, missing: [SessionID],
        now: UInt64
    ) -> Finding? {
        for ticket in tickets {
            let session = ticket.key.session
            switch change {
            case .open:
                if ticket.wasOver { return (.sessions, "session \(session) is opened anew") }
                if let before = sessions[ticket.key]?.openedAt, before != index {
                    return (.sessions, "session \(session) is opened at \(before) and at \(index)")
                }
                sessions[ticket.key]?.openedAt = index
            case .touch where missing.contains(session):
                if let finding = end(ticket, now: now) { return finding }
            case .touch:
                if ticket.wasOver { return (.sessions, "session \(session) is over, and open") }
            case .close:
                if ticket.wasOpen { sessions[ticket.key]?.isOver = true }
            }
        }
        return nil
    }

    /// A try is known to have no effect.
    mutating func refuse(
        _ ticket: Ticket, reason: Completion.Refusal?, now: UInt64
    ) -> Finding? {
        let key = CommandKey(key: ticket.key, sequence: ticket.sequence)
        if ticket.sequence > 0 {
            if reason == nil { commands[key]?.isForgotten = true }
            commands[key]?.openTries -= 1
            if let command = commands[key], command.openTries == 0, let index = command.appliedAt {
                return (
                    .sessions,
                    """
                    every try of sequence \(ticket.sequence) of session \(ticket.key.session) was \
                    refused, but it took effect at \(index)
                    """
                )
            }
        }
        return reason == .sessionExpired ? end(ticket, now: now) : nil
    }

    /// Somebody is told that a session isn't open.
    private mutating func end(_ ticket: Ticket, now: UInt64) -> Finding? {
        // Who asked before it was opened has learnt nothing.
        guard ticket.wasOpen, let session = sessions[ticket.key] else { return nil }
        sessions[ticket.key]?.isOver = true
        let age = (now - session.begun) / 1_000_000
        guard !session.mayBeClosed, session.ttlMilliseconds >= SessionOracle.lastingMilliseconds,
            age < session.ttlMilliseconds / 2
        else { return nil }
        return (
            .sessions, "session \(ticket.key.session) is over after \(age) ms, long before its time"
        )
    }
}
