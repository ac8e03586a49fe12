import KraftRouting
import RaftCore

/// What two nodes say to each other, besides the Raft messages of their groups.
enum NodeMessage {
    /// Alive; `echo` is the sequence of the other side's last beat.
    struct Beat {
        var sequence: UInt64
        var echo: UInt64
        var groupsLed: UInt32
        var groups: UInt32
        static let size = 1 + 24
    }

    /// A client's command, on its way to the leader. The command follows.
    struct ForwardedProposal {
        var request: UInt64
        var group: GroupID
        var timeout: Nanoseconds
        /// 0: not chosen by a router.
        var route: UInt64
        var commandCount: UInt32
        static let headerSize = 1 + 36
    }

    /// How a forwarded proposal ended. The reply's bytes follow.
    struct ForwardedOutcome {
        var request: UInt64
        /// 0: done; 255: unknown; else a `Completion.Refusal`.
        var code: UInt8
        var leader: NodeID
        var index: LogIndex
        var replyCount: UInt32
        static let headerSize = 1 + 25
        static let done: UInt8 = 0
        static let unknown: UInt8 = 255
    }

    /// Asks the leader for a read index.
    struct ReadIndexRequest {
        var request: UInt64
        var group: GroupID
        static let size = 1 + 16
    }

    struct ReadIndexReply {
        var request: UInt64
        var group: GroupID
        /// Zero: the node doesn't lead; ask again elsewhere.
        var index: LogIndex
        static let size = 1 + 24
    }

    /// Asks the leader to hand over to `target`.
    struct ForwardedTransfer {
        var group: GroupID
        var target: NodeID
        static let size = 1 + 12
    }
}

/// A message as it was read, with its bytes still in the frame.
enum IncomingMessage {
    case raft(GroupID, Message, entries: UnsafeRawBufferPointer)
    case beat(NodeMessage.Beat)
    case proposal(NodeMessage.ForwardedProposal, command: UnsafeRawBufferPointer)
    case outcome(NodeMessage.ForwardedOutcome, reply: UnsafeRawBufferPointer)
    case readIndexRequest(NodeMessage.ReadIndexRequest)
    case readIndexReply(NodeMessage.ReadIndexReply)
    case transfer(NodeMessage.ForwardedTransfer)
}

/// The first byte of each message.
enum MessageTag: UInt8 {
    case append = 1
    case appendReply, heartbeat, heartbeatReply, vote, voteReply, timeoutNow, resigned
    case beat = 16
    case proposal, outcome, readIndexRequest, readIndexReply, transfer
}

/// Writes the fields of one message into memory that has been reserved for them.
struct FieldWriter {
    private(set) var place: UnsafeMutableRawPointer

    init(_ place: UnsafeMutableRawPointer, _ tag: MessageTag) {
        self.place = place
        put(tag.rawValue)
    }

    @inline(__always)
    mutating func put<T: FixedWidthInteger>(_ value: T) {
        place.storeBytes(of: value.littleEndian, as: T.self)
        place += MemoryLayout<T>.size
    }
}

enum WireMessage {
    /// Indexes and terms from outside stay below this, so that sums of them can't overflow.
    static let numberLimit: UInt64 = 1 << 62
    static let appendHeaderSize = 1 + 8 + 8 + 8 + 8 + 8 + 8 + 4 + 4

    /// Bytes of a Raft message; an append's entries come on top.
    static func size(_ message: Message) -> Int {
        switch message {
        case .append: appendHeaderSize
        case .appendReply: 1 + 8 + 8 + 8 + 1 + 16
        case .heartbeat: 1 + 8 + 8 + 16
        case .heartbeatReply: 1 + 8 + 8 + 8
        case .vote: 1 + 8 + 8 + 16 + 1
        case .voteReply: 1 + 8 + 8 + 1
        case .timeoutNow, .resigned: 1 + 8 + 8
        }
    }

    /// Writes `size(message)` bytes at `place`; `entriesCount` bytes of entries will follow.
    static func write(
        _ message: Message, group: GroupID, entriesCount: Int,
        to place: UnsafeMutableRawPointer
    ) {
        var out = FieldWriter(place, tag(message))
        out.put(group.rawValue)
        out.put(message.term.rawValue)
        switch message {
        case .append(let m):
            out.put(m.previous.index.rawValue)
            out.put(m.previous.term.rawValue)
            out.put(m.entriesTerm.rawValue)
            out.put(m.commit.rawValue)
            out.put(UInt32(m.count))
            out.put(UInt32(entriesCount))
        case .appendReply(let m):
            out.put(m.index.rawValue)
            out.put(UInt8(m.isRejected ? 1 : 0))
            out.put(m.hint.index.rawValue)
            out.put(m.hint.term.rawValue)
        case .heartbeat(let m):
            out.put(m.commit.rawValue)
            out.put(m.readSequence)
        case .heartbeatReply(let m): out.put(m.readSequence)
        case .vote(let m):
            out.put(m.last.index.rawValue)
            out.put(m.last.term.rawValue)
            out.put(UInt8((m.isPreVote ? 1 : 0) | (m.isTransfer ? 2 : 0)))
        case .voteReply(let m):
            out.put(UInt8((m.isPreVote ? 1 : 0) | (m.isGranted ? 2 : 0)))
        case .timeoutNow, .resigned: break
        }
    }

    private static func tag(_ message: Message) -> MessageTag {
        switch message {
        case .append: .append
        case .appendReply: .appendReply
        case .heartbeat: .heartbeat
        case .heartbeatReply: .heartbeatReply
        case .vote: .vote
        case .voteReply: .voteReply
        case .timeoutNow: .timeoutNow
        case .resigned: .resigned
        }
    }

    /// Reads the next message of a frame. Throws for anything that `write` could not have written.
    static func read(
        from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> IncomingMessage {
        guard let tag = MessageTag(rawValue: try reader.read()) else {
            throw ByteReader.Malformed()
        }
        switch tag {
        case .append, .appendReply, .heartbeat, .heartbeatReply, .vote, .voteReply, .timeoutNow,
            .resigned:
            return try readRaft(tag, from: &reader)
        case .beat:
            return .beat(
                .init(
                    sequence: try reader.read(), echo: try reader.read(),
                    groupsLed: try reader.read(), groups: try reader.read()))
        case .proposal:
            let header = NodeMessage.ForwardedProposal(
                request: try reader.read(), group: GroupID(try reader.read()),
                timeout: Nanoseconds(try reader.read()), route: try reader.read(),
                commandCount: try reader.read())
            return .proposal(header, command: try reader.read(count: Int(header.commandCount)))
        case .outcome:
            let header = NodeMessage.ForwardedOutcome(
                request: try reader.read(), code: try reader.read(),
                leader: NodeID(try reader.read()), index: LogIndex(try reader.read()),
                replyCount: try reader.read())
            return .outcome(header, reply: try reader.read(count: Int(header.replyCount)))
        case .readIndexRequest:
            return .readIndexRequest(
                .init(request: try reader.read(), group: GroupID(try reader.read())))
        case .readIndexReply:
            return .readIndexReply(
                .init(
                    request: try reader.read(), group: GroupID(try reader.read()),
                    index: LogIndex(try number(&reader))))
        case .transfer:
            return .transfer(
                .init(group: GroupID(try reader.read()), target: NodeID(try reader.read())))
        }
    }

    private static func number(
        _ reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> UInt64 {
        let value = try reader.read(UInt64.self)
        guard value < numberLimit else { throw ByteReader.Malformed() }
        return value
    }

    private static func flags(
        _ reader: inout ByteReader, known: UInt8
    ) throws(ByteReader.Malformed) -> UInt8 {
        let flags = try reader.read(UInt8.self)
        guard flags & ~known == 0 else { throw ByteReader.Malformed() }
        return flags
    }

    private static func position(
        _ reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> EntryPosition {
        EntryPosition(index: LogIndex(try number(&reader)), term: Term(try number(&reader)))
    }

    private static func readRaft(
        _ tag: MessageTag, from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> IncomingMessage {
        let group = GroupID(try reader.read())
        let term = Term(try number(&reader))
        var entries = UnsafeRawBufferPointer(start: nil, count: 0)
        let message: Message
        switch tag {
        case .append:
            let previous = try position(&reader)
            let entriesTerm = Term(try number(&reader))
            let commit = LogIndex(try number(&reader))
            let count = Int(try reader.read(UInt32.self))
            entries = try reader.readBlob()
            guard entriesTerm <= term, previous.term <= entriesTerm || count == 0,
                EntryRun.isWellFormed(entries, count: count)
            else { throw ByteReader.Malformed() }
            message = .append(
                .init(
                    term: term, previous: previous, entriesTerm: entriesTerm, count: count,
                    commit: commit))
        case .appendReply:
            let index = LogIndex(try number(&reader))
            let isRejected = try flags(&reader, known: 1) != 0
            message = .appendReply(
                .init(
                    term: term, index: index, isRejected: isRejected,
                    hint: try position(&reader)))
        case .heartbeat:
            message = .heartbeat(
                .init(
                    term: term, commit: LogIndex(try number(&reader)),
                    readSequence: try reader.read()))
        case .heartbeatReply:
            message = .heartbeatReply(.init(term: term, readSequence: try reader.read()))
        case .vote:
            let last = try position(&reader)
            let flags = try flags(&reader, known: 3)
            message = .vote(
                .init(
                    term: term, last: last, isPreVote: flags & 1 != 0,
                    isTransfer: flags & 2 != 0))
        case .voteReply:
            let flags = try flags(&reader, known: 3)
            message = .voteReply(
                .init(term: term, isPreVote: flags & 1 != 0, isGranted: flags & 2 != 0))
        case .timeoutNow: message = .timeoutNow(.init(term: term))
        default: message = .resigned(.init(term: term))
        }
        return .raft(group, message, entries: entries)
    }
}
