import RaftCore
import Testing

@testable import KraftEngine

/// What the sessions of a group are by definition: every session knows its whole history.
private struct NaiveSessions {
    struct Command {
        var sequence: UInt64
        var index: LogIndex
        var start: UInt64
        var reply: [UInt8]?
    }

    struct Session {
        var openedAt: LogIndex
        var ttl: UInt64
        var lastUse: UInt64
        var replyBytes: UInt64 = 0
        var history: [Command] = []

        /// Those with the 256 highest sequences.
        var window: [Command] { history.sorted { $0.sequence < $1.sequence }.suffix(256) }
    }

    var clock: UInt64 = 0
    var sessions: [SessionID: Session] = [:]
    var ended: [SessionID] = []

    mutating func advance(to stamp: UInt64) {
        clock = max(clock, stamp)
        for (id, session) in sessions.sorted(by: { $0.key < $1.key })
        where clock > session.lastUse + session.ttl { end(id) }
    }

    mutating func end(_ id: SessionID) {
        sessions[id] = nil
        ended = (ended + [id]).suffix(4_096)
    }

    mutating func open(_ id: SessionID, ttl: UInt64, at index: LogIndex) -> SessionTable.Opening {
        if let session = sessions[id] {
            guard session.ttl == ttl else { return .taken }
            sessions[id]?.lastUse = clock
            return .opened(session.openedAt)
        }
        if ended.contains(id) { return .ended }
        if sessions.count >= 4_096 { return .full }
        sessions[id] = Session(openedAt: index, ttl: ttl, lastUse: clock)
        return .opened(index)
    }

    mutating func fate(of tag: SessionTag) -> SessionTable.Fate {
        guard var session = sessions[tag.session] else { return .expired }
        session.lastUse = clock
        sessions[tag.session] = session
        let window = session.window
        if let known = window.first(where: { $0.sequence == tag.sequence }) {
            let reply: SessionTable.Reply
            if let bytes = known.reply {
                reply = session.replyBytes - known.start > 65_536 ? .dropped : .kept(bytes)
            } else {
                reply = .refused
            }
            return .repeated(index: known.index, reply)
        }
        let left = session.history.map(\.sequence).filter { sequence in
            !window.contains { $0.sequence == sequence }
        }
        return tag.sequence <= left.max() ?? 0 ? .forgotten : .new
    }

    mutating func carryOut(_ tag: SessionTag, at index: LogIndex, reply: [UInt8]?) {
        let start = sessions[tag.session]?.replyBytes ?? 0
        sessions[tag.session]?.history.append(
            Command(sequence: tag.sequence, index: index, start: start, reply: reply))
        sessions[tag.session]?.replyBytes += UInt64(reply?.count ?? 0)
    }
}

extension SessionTable {
    fileprivate mutating func finish(_ ticket: Ticket, bytes: [UInt8]?) {
        guard let bytes else { return finish(ticket, reply: nil) }
        bytes.withUnsafeBytes { finish(ticket, reply: $0) }
    }

    fileprivate var encoded: [UInt8] {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.bytes
    }

    /// Carries out a command if it is new; its fate.
    @discardableResult
    fileprivate mutating func take(
        _ session: UInt64, _ sequence: UInt64, at index: UInt64, reply: [UInt8]? = [7]
    ) -> Fate {
        let tag = SessionTag(session: SessionID(session), sequence: sequence)
        let fate = fate(of: tag)
        if fate == .new { finish(record(tag, at: LogIndex(index)), bytes: reply) }
        return fate
    }

    fileprivate static func decode(_ bytes: [UInt8]) -> SessionTable? {
        bytes.withUnsafeBytes { buffer in
            var reader = ByteReader(buffer)
            guard let table = try? SessionTable(from: &reader), reader.remaining == 0 else {
                return nil
            }
            return table
        }
    }
}

@Suite("The table of sessions")
struct SessionTableTests {
    /// One step of a random life, applied to whatever keeps sessions.
    private enum Step {
        case open(SessionID, ttl: UInt64)
        case touch(SessionID)
        case close(SessionID)
        case command(SessionTag, reply: [UInt8]?)

        init(_ dice: inout Dice, newest: inout [UInt64]) {
            let place = Int(dice.next() % UInt64(newest.count))
            // The upper bits count the sessions that have had this place.
            let id = SessionID(UInt64(place + 1) + 100 * (newest[place] >> 40))
            switch dice.next() % 1_000 {
            case 0..<40: self = .open(id, ttl: dice.next() % 20 == 0 ? 41 : 40)
            case 40..<60: self = .touch(id)
            case 60:
                self = .close(id)
                newest[place] = (newest[place] >> 40 + 1) << 40
            default:
                let highest = newest[place] & 0xFF_FFFF_FFFF
                let ahead = dice.next() % 8
                let back = dice.next() % 100 < 90 ? dice.next() % 6 : dice.next() % 800
                let sequence = max(1, highest + ahead > back ? highest + ahead - back : 1)
                newest[place] += sequence > highest ? sequence - highest : 0
                var size = Int(dice.next() % 30)
                if dice.next() % 50 == 0 { size = 10_000 + Int(dice.next() % 70_000) }
                let reply = [UInt8](repeating: UInt8(truncatingIfNeeded: sequence), count: size)
                self = .command(
                    SessionTag(session: id, sequence: sequence),
                    reply: dice.next() % 20 == 0 ? nil : reply)
            }
        }
    }

    @Test("does what the definition says, however the log is cut into runs", arguments: 1...8)
    func model(seed: Int) throws {
        var dice = Dice(seed: UInt64(seed))
        var naive = NaiveSessions()
        var single = SessionTable()
        var runs = SessionTable()
        var unfinished: [(SessionTable.Ticket, [UInt8]?)] = []
        var newest = [UInt64](repeating: 0, count: 1 + seed % 4)
        var stamp: UInt64 = 0
        var seen = (repeats: 0, forgotten: 0, dropped: 0, expired: 0, refused: 0)
        for number in 1...6_000 {
            let index = LogIndex(UInt64(number))
            // Stamps of a new leader may lie a little behind.
            stamp += dice.next() % 1_500 == 0 ? 41 : dice.next() % 12 / 11
            let shown = stamp > 3 ? stamp - dice.next() % 3 : stamp
            naive.advance(to: shown)
            #expect(single.advance(to: shown) == runs.advance(to: shown))
            switch Step(&dice, newest: &newest) {
            case .open(let id, let ttl):
                let expected = naive.open(id, ttl: ttl, at: index)
                #expect(single.open(id, ttl: ttl, at: index) == expected)
                #expect(runs.open(id, ttl: ttl, at: index) == expected)
            case .touch(let id):
                naive.sessions[id]?.lastUse = naive.clock
                #expect(single.touch(id) == (naive.sessions[id] != nil))
                _ = runs.touch(id)
            case .close(let id):
                if naive.sessions[id] != nil { naive.end(id) }
                single.close(id)
                runs.close(id)
            case .command(let tag, let reply):
                let expected = naive.fate(of: tag)
                #expect(single.fate(of: tag) == expected)
                let fate = runs.fate(of: tag)
                if unfinished.isEmpty {
                    #expect(fate == expected)
                } else if case .repeated(let index, _) = expected {
                    guard case .repeated(index, _) = fate else {
                        Issue.record("\(fate), not \(expected)")
                        return
                    }
                } else {
                    #expect(fate == expected)
                }
                switch expected {
                case .new:
                    naive.carryOut(tag, at: index, reply: reply)
                    single.finish(single.record(tag, at: index), bytes: reply)
                    unfinished.append((runs.record(tag, at: index), reply))
                case .repeated(_, .dropped): seen.dropped += 1
                case .repeated(_, .refused): seen.refused += 1
                case .repeated: seen.repeats += 1
                case .forgotten: seen.forgotten += 1
                case .expired:
                    seen.expired += 1
                    let place = Int(tag.session.rawValue % 100) - 1
                    if dice.next() % 20 == 0 { newest[place] = (newest[place] >> 40 + 1) << 40 }
                }
            }
            if dice.next() % 20 == 0 || number == 6_000 {
                for (ticket, reply) in unfinished { runs.finish(ticket, bytes: reply) }
                unfinished = []
                try #require(runs.encoded == single.encoded)
                try #require(runs.ids == naive.sessions.keys.sorted())
                try #require(Array(runs.ended) == naive.ended)
            }
        }
        #expect(seen.repeats > 100 && seen.refused > 5 && seen.expired > 10, "\(seen)")
        #expect(seen.dropped > 0, "\(seen)")
        if newest.count == 1 { #expect(seen.forgotten > 0, "\(seen)") }
        #expect(SessionTable.decode(runs.encoded)?.digest() == single.digest())
    }

    @Test("a session expires when the clock has passed its last use by more than its time to live")
    func boundary() {
        for (stamp, isOpen) in [(UInt64(1_099), true), (1_100, true), (1_101, false)] {
            var table = SessionTable()
            #expect(table.advance(to: 1_000) == 0)
            #expect(table.open(SessionID(5), ttl: 100, at: LogIndex(1)) == .opened(LogIndex(1)))
            #expect(table.advance(to: stamp) == (isOpen ? 0 : 1))
            #expect(table.touch(SessionID(5)) == isOpen)
            #expect(table.count == (isOpen ? 1 : 0))
        }
    }

    @Test("the clock never goes back, whatever a stamp says")
    func clock() {
        var table = SessionTable()
        _ = table.advance(to: 500)
        _ = table.advance(to: 100)
        #expect(table.clock == 500)
    }

    @Test("an id has one session: the same opening answers the same, others are refused")
    func opening() {
        var table = SessionTable()
        let id = SessionID(9)
        #expect(table.open(id, ttl: 100, at: LogIndex(1)) == .opened(LogIndex(1)))
        #expect(table.open(id, ttl: 100, at: LogIndex(2)) == .opened(LogIndex(1)))
        #expect(table.open(id, ttl: 101, at: LogIndex(3)) == .taken)
        table.close(id)
        #expect(table.open(id, ttl: 100, at: LogIndex(4)) == .ended)
        #expect(table.take(9, 1, at: 5) == .expired)
    }

    @Test("256 sequences are told apart in any order; with the 257th the lowest is forgotten")
    func window() {
        var table = SessionTable()
        _ = table.open(SessionID(9), ttl: 100, at: LogIndex(1))
        var dice = Dice(seed: 4)
        let order = (UInt64(1)...256).map { ($0, dice.next()) }.sorted { $0.1 < $1.1 }.map(\.0)
        for (place, sequence) in order.enumerated() {
            #expect(table.take(9, sequence, at: UInt64(10 + place)) == .new)
        }
        for (place, sequence) in order.enumerated() {
            #expect(
                table.take(9, sequence, at: 999)
                    == .repeated(index: LogIndex(UInt64(10 + place)), .kept([7])))
        }
        #expect(table.take(9, 257, at: 1_000) == .new)
        #expect(table.take(9, 1, at: 1_001) == .forgotten)
        guard case .repeated = table.take(9, 2, at: 1_002) else {
            Issue.record("the second went with the first")
            return
        }
    }

    @Test("replies are bounded in bytes: the oldest goes first, and isn't carried out again")
    func replyBytes() {
        var table = SessionTable()
        _ = table.open(SessionID(9), ttl: 100, at: LogIndex(1))
        let large = [UInt8](repeating: 1, count: 30_000)
        for sequence in UInt64(1)...2 {
            table.take(9, sequence, at: 1 + sequence, reply: large)
        }
        #expect(table.take(9, 1, at: 5) == .repeated(index: LogIndex(2), .kept(large)))
        table.take(9, 3, at: 6, reply: large)
        #expect(table.take(9, 1, at: 7) == .repeated(index: LogIndex(2), .dropped))
        #expect(table.take(9, 2, at: 8) == .repeated(index: LogIndex(3), .kept(large)))
        table.take(9, 4, at: 9, reply: [UInt8](repeating: 1, count: 70_000))
        for sequence in UInt64(1)...4 {
            guard case .repeated(_, .dropped) = table.take(9, sequence, at: 10) else {
                Issue.record("a reply over the limit was kept, or sequence \(sequence) forgotten")
                return
            }
        }
        #expect(table.take(9, 5, at: 11, reply: [1]) == .new)
        #expect(table.take(9, 5, at: 12) == .repeated(index: LogIndex(11), .kept([1])))
    }

    @Test("a full table refuses more, until sessions have expired")
    func full() {
        var table = SessionTable()
        for id in UInt64(1)...4_096 {
            let ttl: UInt64 = id % 2 == 0 ? 100 : 50
            #expect(table.open(SessionID(id), ttl: ttl, at: LogIndex(id)) == .opened(LogIndex(id)))
        }
        #expect(table.open(SessionID(9_000), ttl: 50, at: LogIndex(5_000)) == .full)
        #expect(table.advance(to: 51) == 2_048)
        let last = LogIndex(5_001)
        #expect(table.open(SessionID(9_000), ttl: 50, at: last) == .opened(last))
        #expect(table.count == 2_049)
        #expect(table.touch(SessionID(3)) == false)
        #expect(table.touch(SessionID(4)) == true)
    }

    @Test("what a decoder lets pass is what the encoder writes, byte for byte")
    func decoding() throws {
        var dice = Dice(seed: 21)
        var table = SessionTable()
        _ = table.advance(to: 77)
        for id in UInt64(1)...4 {
            _ = table.open(SessionID(id), ttl: 100 + id, at: LogIndex(id))
            for number in UInt64(1)...5 {
                let reply = [UInt8](repeating: 3, count: Int(dice.next() % 20_000))
                table.take(
                    id, number * 2, at: 10 + number, reply: dice.next() % 4 == 0 ? nil : reply)
            }
        }
        table.close(SessionID(3))
        let sound = table.encoded
        #expect(try #require(SessionTable.decode(sound)).encoded == sound)
        var accepted = 0
        for _ in 0..<4_000 {
            var bytes = sound
            for _ in 0...dice.next() % 3 {
                // Mostly in the heads, where the numbers are.
                let range = dice.next() % 4 == 0 ? UInt64(bytes.count) : 120
                let place = Int(dice.next() % range)
                switch dice.next() % 8 {
                case 0: bytes.removeLast(bytes.count - place - 1)
                case 1: bytes.insert(UInt8(truncatingIfNeeded: dice.next()), at: place)
                case 2: bytes[place] = 0xFF
                default: bytes[place] = UInt8(truncatingIfNeeded: dice.next())
                }
                if bytes.count < 121 { break }
            }
            guard let decoded = SessionTable.decode(bytes) else { continue }
            accepted += 1
            #expect(decoded.encoded == bytes)
        }
        #expect(accepted > 0 && accepted < 4_000)
    }
}

@Suite("A group's clock on one node")
struct SessionClockTests {
    private func instant(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: 5_000_000_000 + milliseconds * 1_000_000)
    }

    @Test("a leader's clock runs on while its entries are on their way")
    func leader() {
        let sessions = GroupSessions(now: instant(0))
        // Each entry is applied 10 ms after it got its stamp, and then comes the next.
        for round in UInt64(0)..<100 {
            let stamp = sessions.stamp(instant(round * 10))
            _ = sessions.advance(to: stamp, isLeader: true, now: instant(round * 10 + 10))
        }
        #expect(sessions.stamp(instant(1_000)) == 1_000)
    }

    @Test("others set their clock by the leader's stamps, whether theirs is fast or slow")
    func follower() {
        for percent in [UInt64(90), 100, 110] {
            let sessions = GroupSessions(now: instant(0))
            for second in UInt64(0)...1_000 {
                let here = instant(second * 1_000 * percent / 100)
                _ = sessions.advance(to: second * 1_000, isLeader: false, now: here)
            }
            let later = instant(1_000_000 * percent / 100 + 500)
            #expect(sessions.stamp(later) == 1_000_500)
        }
    }

    @Test("a new leader goes on where the clock was, and not behind stamps that come late")
    func takeover() {
        let sessions = GroupSessions(now: instant(0))
        _ = sessions.advance(to: 3_000, isLeader: false, now: instant(100))
        #expect(sessions.stamp(instant(2_100)) == 5_000)
        // An entry of the former leader, committed by this one.
        _ = sessions.advance(to: 9_000, isLeader: true, now: instant(2_100))
        #expect(sessions.stamp(instant(2_200)) == 9_100)
        _ = sessions.advance(to: 4_000, isLeader: true, now: instant(2_300))
        #expect(sessions.table.clock == 9_000)
        #expect(sessions.stamp(instant(2_300)) == 9_200)
    }
}
