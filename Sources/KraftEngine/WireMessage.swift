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
        /// How long the sender supports the receiver's leaderships from when it received the beat
        /// that it echoes; 0: no promise.
        var leaseMilliseconds: UInt32
        /// The sender's disk is full, slow or hanging: others should lead.
        var isBurdened: Bool
        static let size = 1 + 29
    }

    /// A client's command, on its way to the leader. It follows, as an entry of its kind holds it.
    struct ForwardedProposal {
        var request: UInt64
        var group: GroupID
        var timeout: Nanoseconds
        /// 0: not chosen by a router.
        var route: UInt64
        /// `command`, `session` or `sessionCommand`.
        var kind: EntryKind
        var commandCount: UInt32
        static let headerSize = 1 + 37
    }

    /// How a forwarded proposal ended. The reply's bytes follow.
    struct ForwardedOutcome {
        var request: UInt64
        /// 0: done; 254: forgotten; 255: unknown; else a `Completion.Refusal`.
        var code: UInt8
        var leader: NodeID
        var index: LogIndex
        var replyCount: UInt32
        static let headerSize = 1 + 25
        static let done: UInt8 = 0
        static let forgotten: UInt8 = 254
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

    /// No such replica here: to a leader that thinks there is. As an inquiry: this replica can't
    /// find its leader. As a damaged replica's word: it is that.
    struct UnknownReplica {
        var group: GroupID
        var replica: ReplicaID
        static let size = 1 + 24
    }

    /// The answer to an invitation: the replica is there, and holds nothing.
    struct ReplicaBegun {
        var group: GroupID
        var replica: ReplicaID
        static let size = 1 + 24
    }

    /// A leader's word that the receiver is a member: all that it takes to begin as one.
    struct Invitation {
        var group: GroupID
        /// The life of the receiver in which the replica was added; 0: unknown.
        var boot: UInt64
        var record: GroupRecord
    }

    /// Asks the leader to begin a change of members.
    struct ForwardedChange {
        var request: UInt64
        var group: GroupID
        var change: MembershipChange
    }

    /// `code` 0: begun, and the change's name is `position`; else a `Completion.Refusal`.
    struct ChangeReply {
        var request: UInt64
        var group: GroupID
        var code: UInt8
        var leader: NodeID
        var position: EntryPosition
        static let size = 1 + 37
    }

    /// Asks for a part of a snapshot, over the ordinary connection; the answer comes over the bulk
    /// connection.
    struct Fetch {
        var name: SnapshotName
        var offset: UInt64
        var count: UInt32
        static let size = 1 + nameSize + 12
        static let nameSize = 32
    }

    /// Why a snapshot isn't sent on, or isn't fetched on.
    struct FetchEnd {
        var name: SnapshotName
        var reason: Reason
        static let size = 1 + Fetch.nameSize + 1

        enum Reason: UInt8 {
            /// Too many are under way here: ask again later.
            case busy = 1
            /// It isn't here (any more).
            case gone = 2
            /// To who sent it: these bytes are not what was written once.
            case damaged = 3
        }
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
    case raft(RaftEnvelope, Message, entries: UnsafeRawBufferPointer)
    case unknownReplica(NodeMessage.UnknownReplica)
    case invitation(NodeMessage.Invitation)
    case replicaBegun(NodeMessage.ReplicaBegun)
    case roster([RosterEntry])
    case inquiry(NodeMessage.UnknownReplica)
    /// The sender's replica is damaged.
    case damagedReplica(NodeMessage.UnknownReplica)
    /// What the sender wants to be known of it from now on.
    case info(String)
    case change(NodeMessage.ForwardedChange)
    case changeReply(NodeMessage.ChangeReply)
    case beat(NodeMessage.Beat)
    case proposal(NodeMessage.ForwardedProposal, command: UnsafeRawBufferPointer)
    case outcome(NodeMessage.ForwardedOutcome, reply: UnsafeRawBufferPointer)
    case readIndexRequest(NodeMessage.ReadIndexRequest)
    case readIndexReply(NodeMessage.ReadIndexReply)
    case transfer(NodeMessage.ForwardedTransfer)
    case fetch(NodeMessage.Fetch)
    case fetchEnd(NodeMessage.FetchEnd)
    /// A part of a snapshot from `offset` on; only on a bulk connection.
    case chunk(SnapshotName, offset: UInt64, UnsafeRawBufferPointer)
}

/// Which replicas of which group a Raft message is between.
struct RaftEnvelope {
    var group: GroupID
    var from = ReplicaID.initial
    var to = ReplicaID.initial
    /// The configurations among an append's entries.
    var memberships: [(offset: Int, membership: Membership)] = []
    /// What an offer's state can be fetched as; a witness needs none.
    var snapshot: SnapshotReference?

    /// Only who was added later has a name to say.
    var hasIDs: Bool { from != .initial || to != .initial }
    var size: Int { 1 + 8 + (hasIDs ? 32 : 0) }
}

/// The first byte of each message. Raft messages with replica ids have the top bit set.
enum MessageTag: UInt8 {
    case append = 1
    case appendReply, heartbeat, heartbeatReply, vote, voteReply, timeoutNow, resigned, removed
    case beat = 16
    case proposal, outcome, readIndexRequest, readIndexReply, transfer
    case unknownReplica, invitation, roster, change, changeReply, inquiry, info, replicaBegun
    case snapshot = 30
    case fetch, fetchEnd, chunk, damagedReplica

    static let replicaIDs: UInt8 = 0x80

    /// Whether it is between two replicas.
    var isRaft: Bool { rawValue <= MessageTag.removed.rawValue || self == .snapshot }
}

/// Writes the fields of one message into memory that has been reserved for them.
struct FieldWriter {
    private(set) var place: UnsafeMutableRawPointer

    init(_ place: UnsafeMutableRawPointer, _ tag: MessageTag) {
        self.place = place
        put(tag.rawValue)
    }

    /// The start of a Raft message.
    init(_ place: UnsafeMutableRawPointer, _ tag: MessageTag, _ envelope: RaftEnvelope) {
        self.place = place
        put(tag.rawValue | (envelope.hasIDs ? MessageTag.replicaIDs : 0))
        put(envelope.group.rawValue)
        if envelope.hasIDs {
            put(envelope.from)
            put(envelope.to)
        }
    }

    mutating func put(_ position: EntryPosition) {
        put(position.term.rawValue)
        put(position.index.rawValue)
    }

    mutating func put(_ replica: ReplicaID) { put(replica.added) }

    mutating func put(_ name: SnapshotName) {
        put(name.group.rawValue)
        put(name.position)
        put(name.nonce)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        place.copyMemory(from: source, byteCount: bytes.count)
        place += bytes.count
    }

    @inline(__always)
    mutating func put<T: FixedWidthInteger>(_ value: T) {
        place.storeBytes(of: value.littleEndian, as: T.self)
        place += MemoryLayout<T>.size
    }
}

enum WireMessage {
    static let appendBodySize = 8 + 8 + 8 + 8 + 4 + 4

    /// Bytes of a Raft message; an append's entries come on top.
    static func size(_ message: Message, _ envelope: RaftEnvelope) -> Int {
        let body =
            switch message {
            case .append: appendBodySize
            case .appendReply: 8 + 1 + 16
            case .heartbeat: 16
            case .heartbeatReply: 8
            case .vote: 16 + 1
            case .voteReply: 1
            case .timeoutNow, .resigned: 0
            case .removed: 16
            case .snapshot(let m):
                16 + 8 + m.configuration.membership.encoded.count + 8 + 8
            }
        return envelope.size + 8 + body
    }

    /// Writes `size(message)` bytes at `place`; `entriesCount` bytes of entries will follow.
    static func write(
        _ message: Message, _ envelope: RaftEnvelope, entriesCount: Int,
        to place: UnsafeMutableRawPointer
    ) {
        var out = FieldWriter(place, tag(message), envelope)
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
            out.put(
                UInt8(
                    (m.isPreVote ? 1 : 0) | (m.isTransfer ? 2 : 0) | (m.isForced ? 4 : 0)))
        case .voteReply(let m):
            out.put(UInt8((m.isPreVote ? 1 : 0) | (m.isGranted ? 2 : 0)))
        case .removed(let m): out.put(m.committed)
        case .snapshot(let m):
            out.put(m.position)
            out.put(m.configuration.index.rawValue)
            m.configuration.membership.encoded.withUnsafeBytes { out.put($0) }
            out.put(envelope.snapshot?.name.nonce ?? 0)
            out.put(envelope.snapshot?.byteCount ?? 0)
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
        case .removed: .removed
        case .snapshot: .snapshot
        }
    }

    /// Reads the next message of a frame. Throws for anything that `write` could not have written.
    static func read(
        from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> IncomingMessage {
        let first = try reader.read(UInt8.self)
        guard let tag = MessageTag(rawValue: first & ~MessageTag.replicaIDs) else {
            throw ByteReader.Malformed()
        }
        let hasIDs = first & MessageTag.replicaIDs != 0
        if hasIDs, !tag.isRaft { throw ByteReader.Malformed() }
        switch tag {
        case .append, .appendReply, .heartbeat, .heartbeatReply, .vote, .voteReply, .timeoutNow,
            .resigned, .removed, .snapshot:
            return try readRaft(tag, hasIDs: hasIDs, from: &reader)
        case .unknownReplica:
            return .unknownReplica(
                .init(
                    group: GroupID(try reader.read()),
                    replica: ReplicaID(added: try reader.readPosition())))
        case .replicaBegun:
            return .replicaBegun(
                .init(
                    group: GroupID(try reader.read()),
                    replica: ReplicaID(added: try reader.readPosition())))
        case .invitation:
            return .invitation(
                .init(
                    group: GroupID(try reader.read()), boot: try reader.read(),
                    record: try GroupRecord(from: &reader)))
        case .damagedReplica:
            return .damagedReplica(
                .init(
                    group: GroupID(try reader.read()),
                    replica: ReplicaID(added: try reader.readPosition())))
        case .inquiry:
            return .inquiry(
                .init(
                    group: GroupID(try reader.read()),
                    replica: ReplicaID(added: try reader.readPosition())))
        case .roster: return .roster(try RosterEntry.readAll(from: &reader))
        case .info: return .info(try reader.readString(limit: Hello.infoLimit))
        case .change:
            return .change(
                .init(
                    request: try reader.read(), group: GroupID(try reader.read()),
                    change: try MembershipChange(from: &reader)))
        case .changeReply:
            return .changeReply(
                .init(
                    request: try reader.read(), group: GroupID(try reader.read()),
                    code: try reader.read(), leader: NodeID(try reader.read()),
                    position: try reader.readPosition()))
        case .beat:
            var beat = NodeMessage.Beat(
                sequence: try reader.read(), echo: try reader.read(),
                groupsLed: try reader.read(), groups: try reader.read(),
                leaseMilliseconds: try reader.read(), isBurdened: false)
            let flags = try reader.read(UInt8.self)
            guard flags <= 1 else { throw ByteReader.Malformed() }
            beat.isBurdened = flags == 1
            return .beat(beat)
        case .proposal: return try readProposal(from: &reader)
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
                    index: LogIndex(try reader.readNumber())))
        case .transfer:
            return .transfer(
                .init(group: GroupID(try reader.read()), target: NodeID(try reader.read())))
        case .fetch:
            return .fetch(
                .init(
                    name: try reader.readSnapshotName(), offset: try reader.readNumber(),
                    count: try reader.read()))
        case .fetchEnd:
            let name = try reader.readSnapshotName()
            guard let reason = NodeMessage.FetchEnd.Reason(rawValue: try reader.read()) else {
                throw ByteReader.Malformed()
            }
            return .fetchEnd(.init(name: name, reason: reason))
        case .chunk:
            return .chunk(
                try reader.readSnapshotName(), offset: try reader.readNumber(),
                try reader.readBlob())
        }
    }

    private static func readProposal(
        from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> IncomingMessage {
        let request = try reader.read(UInt64.self)
        let group = GroupID(try reader.read())
        let timeout = Nanoseconds(try reader.read())
        let route = try reader.read(UInt64.self)
        guard let kind = EntryKind(rawValue: try reader.read()),
            kind == .command || (kind.isOfSession && route == 0)
        else { throw ByteReader.Malformed() }
        let header = NodeMessage.ForwardedProposal(
            request: request, group: group, timeout: timeout, route: route, kind: kind,
            commandCount: try reader.read())
        let command = try reader.read(count: Int(header.commandCount))
        guard !kind.isOfSession || SessionEntry.isSound(kind, command) else {
            throw ByteReader.Malformed()
        }
        return .proposal(header, command: command)
    }

    private static func position(
        _ reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> EntryPosition {
        EntryPosition(
            index: LogIndex(try reader.readNumber()), term: Term(try reader.readNumber()))
    }

    private static func readRaft(
        _ tag: MessageTag, hasIDs: Bool, from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> IncomingMessage {
        var envelope = RaftEnvelope(group: GroupID(try reader.read()))
        if hasIDs {
            envelope.from = ReplicaID(added: try reader.readPosition())
            envelope.to = ReplicaID(added: try reader.readPosition())
            guard envelope.hasIDs else { throw ByteReader.Malformed() }
        }
        let term = Term(try reader.readNumber())
        var entries = UnsafeRawBufferPointer(start: nil, count: 0)
        let message: Message
        switch tag {
        case .append:
            let previous = try position(&reader)
            let entriesTerm = Term(try reader.readNumber())
            let commit = LogIndex(try reader.readNumber())
            let count = Int(try reader.read(UInt32.self))
            entries = try reader.readBlob()
            guard entriesTerm <= term, previous.term <= entriesTerm || count == 0,
                let memberships = EntryRun.check(entries, count: count)
            else { throw ByteReader.Malformed() }
            envelope.memberships = memberships
            message = .append(
                .init(
                    term: term, previous: previous, entriesTerm: entriesTerm, count: count,
                    commit: commit))
        case .appendReply:
            let index = LogIndex(try reader.readNumber())
            let isRejected = try reader.readFlag()
            message = .appendReply(
                .init(
                    term: term, index: index, isRejected: isRejected,
                    hint: try position(&reader)))
        case .heartbeat:
            message = .heartbeat(
                .init(
                    term: term, commit: LogIndex(try reader.readNumber()),
                    readSequence: try reader.read()))
        case .heartbeatReply:
            message = .heartbeatReply(.init(term: term, readSequence: try reader.read()))
        case .vote:
            let last = try position(&reader)
            let flags = try reader.readFlags(known: 7)
            message = .vote(
                .init(
                    term: term, last: last, isPreVote: flags & 1 != 0,
                    isTransfer: flags & 2 != 0, isForced: flags & 4 != 0))
        case .voteReply:
            let flags = try reader.readFlags(known: 3)
            message = .voteReply(
                .init(term: term, isPreVote: flags & 1 != 0, isGranted: flags & 2 != 0))
        case .timeoutNow: message = .timeoutNow(.init(term: term))
        case .removed:
            message = .removed(.init(term: term, committed: try reader.readPosition()))
        case .snapshot:
            let offer = Message.Snapshot(
                term: term, position: try reader.readPosition(),
                configuration: .init(
                    index: LogIndex(try reader.readNumber()),
                    membership: try Membership(from: &reader)))
            guard offer.position.index > .zero, offer.position.term <= term,
                offer.configuration.index <= offer.position.index
            else { throw ByteReader.Malformed() }
            let nonce = try reader.read(UInt64.self)
            let byteCount = try reader.readNumber()
            guard byteCount > 0 || nonce == 0 else { throw ByteReader.Malformed() }
            if byteCount > 0 {
                envelope.snapshot = SnapshotReference(
                    name: SnapshotName(
                        group: envelope.group, position: offer.position, nonce: nonce),
                    byteCount: byteCount)
            }
            message = .snapshot(offer)
        default: message = .resigned(.init(term: term))
        }
        return .raft(envelope, message, entries: entries)
    }
}
