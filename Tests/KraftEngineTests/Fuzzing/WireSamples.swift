import Foundation
import KraftRouting
import KraftTestKit
import RaftCore

@testable import KraftEngine

/// What a round of fuzzing found, and how to see it again.
struct FuzzFinding: Error, CustomStringConvertible {
    var description: String

    init(_ what: String, _ seed: UInt64) {
        description = "\(what); reproduce: \(FuzzRounds.reproduction(seed))"
    }
}

/// Valid bytes of everything that goes over the wire: where fuzzing starts.
enum WireSamples {
    static let group = GroupID(9)

    static func rounds(_ count: Int) -> FuzzRounds {
        FuzzRounds(count, environment: ProcessInfo.processInfo.environment)
    }

    static let tag = SessionTag(session: SessionID(77), sequence: 3)

    private static func payload(_ fill: (inout ByteWriter) -> Void) -> [UInt8] {
        var writer = ByteWriter()
        fill(&writer)
        return writer.bytes
    }

    static let sessionCommand = payload { writer in
        [5, 6].withUnsafeBytes { SessionEntry.write(tag, route: 0, $0, into: &writer) }
    }
    static let sessionChanges: [[UInt8]] = [
        payload { SessionEntry.write(.open(tag.session, ttlMilliseconds: 5_000), into: &$0) },
        payload { SessionEntry.write(.touch([tag.session, SessionID(78)]), into: &$0) },
        payload { SessionEntry.write(.close(tag.session), into: &$0) },
    ]

    /// One of each kind: a leader's own, a command, a routed one, a configuration, a session's.
    static let entries: [UInt8] = {
        let configuration = WireSamples.membership?.encoded ?? []
        var writer = ByteWriter()
        for (kind, payload) in [
            (EntryKind.noOp, []), (.command, [65, 66, 67]),
            (.routedCommand, [1, 0, 0, 0, 0, 0, 0, 0, 88]), (.membership, configuration),
            (.sessionCommand, sessionCommand), (.session, sessionChanges[0]),
        ] {
            writer.write(UInt32(payload.count))
            writer.write(kind.rawValue)
            writer.write(raw: payload)
        }
        return writer.bytes
    }()

    static let raft: [(Message, entries: [UInt8])] = [
        (
            .append(
                .init(
                    term: Term(5), previous: .init(index: LogIndex(8), term: Term(4)),
                    entriesTerm: Term(5), count: 6, commit: LogIndex(7))), entries
        ),
        (
            .append(
                .init(
                    term: Term(5), previous: .init(index: LogIndex(8), term: Term(4)),
                    entriesTerm: Term(5), count: 0, commit: LogIndex(7))), []
        ),
        (
            .appendReply(
                .init(
                    term: Term(5), index: LogIndex(8), isRejected: true,
                    hint: .init(index: LogIndex(3), term: Term(2)))), []
        ),
        (.heartbeat(.init(term: Term(5), commit: LogIndex(8), readSequence: 77)), []),
        (.heartbeatReply(.init(term: Term(6), readSequence: 77)), []),
        (
            .vote(
                .init(
                    term: Term(6), last: .init(index: LogIndex(8), term: Term(5)),
                    isPreVote: true, isTransfer: false)), []
        ),
        (.vote(.init(term: Term(6), last: .start, isPreVote: false, isTransfer: true)), []),
        (.voteReply(.init(term: Term(6), isPreVote: false, isGranted: true)), []),
        (.timeoutNow(.init(term: Term(6))), []),
        (.resigned(.init(term: Term(6))), []),
        (.removed(.init(term: Term(6), committed: replica.added)), []),
    ]

    static func bytes(
        of message: Message, entries: UnsafeRawBufferPointer,
        _ envelope: RaftEnvelope = .init(group: group)
    ) -> [UInt8] {
        let size = WireMessage.size(message, envelope)
        var bytes = [UInt8](repeating: 0, count: size)
        bytes.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            WireMessage.write(message, envelope, entriesCount: entries.count, to: base)
        }
        return bytes + Array(entries)
    }

    /// Each message alone.
    static let messages: [[UInt8]] =
        [RaftEnvelope(group: group), RaftEnvelope(group: group, to: replica)].flatMap { envelope in
            raft.map { sample in
                sample.entries.withUnsafeBytes { bytes(of: sample.0, entries: $0, envelope) }
            }
        } + others

    static let replica = ReplicaID(added: .init(index: LogIndex(4), term: Term(3)))

    /// In the middle of a change, with every kind of member.
    static let membership: Membership? = {
        let initial = Membership(voters: [1, 2, 3])
        let change = MembershipChange(
            add: [.init(4, .witness), .init(5, .learner), .init(6, .voter)], remove: [2])
        return try? initial?.begin(change, at: replica.added)
    }()

    private static func message(
        _ tag: MessageTag, _ fill: (inout ByteWriter) -> Void
    ) -> [UInt8] {
        payload { writer in
            writer.write(tag.rawValue)
            fill(&writer)
        }
    }

    private static func proposal(_ kind: EntryKind, _ command: [UInt8]) -> [UInt8] {
        message(.proposal) { out in
            for number in [1, group.rawValue, 1_000_000_000, 0] { out.write(number) }
            out.write(kind.rawValue)
            out.writeBlob(command)
        }
    }

    private static var others: [[UInt8]] {
        [
            message(.beat) { out in
                for number in [1, 2] as [UInt64] { out.write(number) }
                for number in [3, 4, 500] as [UInt32] { out.write(number) }
                out.write(UInt8(1))
            },
            proposal(.command, [1, 2, 3, 4]), proposal(.sessionCommand, sessionCommand),
            proposal(.session, sessionChanges[1]), proposal(.session, sessionChanges[2]),
            message(.inquiry) { out in
                out.write(group.rawValue)
                out.write(position: replica.added)
            },
            message(.outcome) { out in
                out.write(UInt64(1))
                out.write(NodeMessage.ForwardedOutcome.done)
                out.write(UInt32(2))
                out.write(UInt64(12))
                out.writeBlob([9, 9])
            },
            message(.readIndexRequest) { out in
                for number in [1, group.rawValue] { out.write(number) }
            },
            message(.readIndexReply) { out in
                for number in [1, group.rawValue, 12] { out.write(number) }
            },
            message(.transfer) { out in
                out.write(group.rawValue)
                out.write(UInt32(2))
            },
            message(.unknownReplica) { out in
                out.write(group.rawValue)
                out.write(position: replica.added)
            },
            message(.damagedReplica) { out in
                out.write(group.rawValue)
                out.write(position: replica.added)
            },
            message(.roster) { RosterEntry.writeAll(roster, into: &$0) },
            message(.change) { out in
                for number in [1, group.rawValue] { out.write(number) }
                MembershipChange(add: [.init(4, .witness)], remove: [2]).encode(into: &out)
            },
            message(.changeReply) { out in
                for number in [1, group.rawValue] { out.write(number) }
                out.write(UInt8(0))
                out.write(UInt32(2))
                out.write(position: replica.added)
            },
            message(.invitation) { out in
                out.write(group.rawValue)
                out.write(UInt64(5))
                if let record { out.write(raw: record.encoded) }
            },
            message(.info) { $0.writeString("http=127.0.0.1:1") },
            message(.replicaBegun) { out in
                out.write(group.rawValue)
                out.write(position: .init(index: LogIndex(8), term: Term(2)))
            },
            offer, fetch(NodeMessage.Fetch(name: snapshot, offset: 4_096, count: 512)),
            fetchEnd(NodeMessage.FetchEnd(name: snapshot, reason: .busy)),
            chunk(snapshot, 512, [1, 2, 3, 4, 5]),
        ]
    }

    static let snapshot = SnapshotName(
        group: group, position: EntryPosition(index: LogIndex(9), term: Term(2)), nonce: 4_711)

    private static var offer: [UInt8] {
        guard let membership else { return [] }
        var envelope = RaftEnvelope(group: group, to: replica)
        envelope.snapshot = SnapshotReference(name: snapshot, byteCount: 100_000)
        let message = Message.snapshot(
            .init(
                term: Term(3), position: snapshot.position,
                configuration: .init(index: LogIndex(4), membership: membership)))
        return bytes(of: message, entries: .init(start: nil, count: 0), envelope)
    }

    private static func write(_ name: SnapshotName, into out: inout ByteWriter) {
        out.write(name.group.rawValue)
        out.write(position: name.position)
        out.write(name.nonce)
    }

    private static func fetch(_ m: NodeMessage.Fetch) -> [UInt8] {
        message(.fetch) { out in
            write(m.name, into: &out)
            out.write(m.offset)
            out.write(m.count)
        }
    }

    private static func fetchEnd(_ m: NodeMessage.FetchEnd) -> [UInt8] {
        message(.fetchEnd) { out in
            write(m.name, into: &out)
            out.write(m.reason.rawValue)
        }
    }

    private static func chunk(_ name: SnapshotName, _ offset: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        message(.chunk) { out in
            write(name, into: &out)
            out.write(offset)
            out.writeBlob(bytes)
        }
    }

    /// What was read, as it should have been written.
    static func bytes(of incoming: IncomingMessage) -> [UInt8] {
        switch incoming {
        case .raft(let envelope, let m, let entries): bytes(of: m, entries: entries, envelope)
        case .beat(let m):
            message(.beat) { out in
                for number in [m.sequence, m.echo] { out.write(number) }
                for number in [m.groupsLed, m.groups, m.leaseMilliseconds] { out.write(number) }
                out.write(UInt8(m.isBurdened ? 1 : 0))
            }
        case .proposal(let m, let command):
            message(.proposal) { out in
                for number in [m.request, m.group.rawValue, m.timeout.rawValue, m.route] {
                    out.write(number)
                }
                out.write(m.kind.rawValue)
                out.writeBlob(command)
            }
        case .outcome(let m, let reply):
            message(.outcome) { out in
                out.write(m.request)
                out.write(m.code)
                out.write(m.leader.rawValue)
                out.write(m.index.rawValue)
                out.writeBlob(reply)
            }
        case .readIndexRequest(let m):
            message(.readIndexRequest) { out in
                for number in [m.request, m.group.rawValue] { out.write(number) }
            }
        case .readIndexReply(let m):
            message(.readIndexReply) { out in
                for number in [m.request, m.group.rawValue, m.index.rawValue] {
                    out.write(number)
                }
            }
        case .transfer(let m):
            message(.transfer) { out in
                out.write(m.group.rawValue)
                out.write(m.target.rawValue)
            }
        case .unknownReplica(let m): question(.unknownReplica, m)
        case .inquiry(let m): question(.inquiry, m)
        case .damagedReplica(let m): question(.damagedReplica, m)
        case .roster(let entries):
            message(.roster) { RosterEntry.writeAll(entries, into: &$0) }
        case .change(let m):
            message(.change) { out in
                for number in [m.request, m.group.rawValue] { out.write(number) }
                m.change.encode(into: &out)
            }
        case .changeReply(let m):
            message(.changeReply) { out in
                for number in [m.request, m.group.rawValue] { out.write(number) }
                out.write(m.code)
                out.write(m.leader.rawValue)
                out.write(position: m.position)
            }
        case .invitation(let m):
            message(.invitation) { out in
                out.write(m.group.rawValue)
                out.write(m.boot)
                out.write(raw: m.record.encoded)
            }
        case .info(let info): message(.info) { $0.writeString(info) }
        case .replicaBegun(let m):
            message(.replicaBegun) { out in
                out.write(m.group.rawValue)
                out.write(position: m.replica.added)
            }
        case .fetch(let m): fetch(m)
        case .fetchEnd(let m): fetchEnd(m)
        case .chunk(let name, let offset, let part): chunk(name, offset, Array(part))
        }
    }

    private static func question(
        _ tag: MessageTag, _ m: NodeMessage.UnknownReplica
    ) -> [UInt8] {
        message(tag) { out in
            out.write(m.group.rawValue)
            out.write(position: m.replica.added)
        }
    }

    static let roster = [
        RosterEntry(node: 4, address: "127.0.0.1:7004", generation: 3),
        RosterEntry(node: 5, address: "[::1]:7005", generation: 1, hasLeft: true),
    ]

    static let record: GroupRecord? = {
        guard let name = GroupName("group-a"), let membership else { return nil }
        return GroupRecord(name: name, incarnation: 2, replica: replica, base: membership)
    }()

    static let checkpoint: Checkpoint? = {
        guard let record, let membership else { return nil }
        let base = EntryPosition(index: LogIndex(1), term: Term(1))
        let name = SnapshotName(
            group: LogUnderTest.group, position: EntryPosition(index: LogIndex(2), term: Term(1)),
            nonce: 7)
        return Checkpoint(
            record: record, hardState: HardState(term: Term(2), vote: 3), base: base,
            configuration: .init(index: LogIndex(1), membership: membership),
            snapshot: SnapshotReference(name: name, byteCount: 4_711), isReset: false)
    }()

    static let nodeLists: NodeLists = {
        var lists = NodeLists()
        lists.note(
            BootRecord(
                store: 7, lives: 3, leaseMilliseconds: 500, earlierLeaseMilliseconds: 400, boot: 9))
        for entry in roster { lists.note(entry) }
        lists.note(PeerIdentity(store: 7, lives: 3, boot: 9), of: 2)
        if let name = GroupName("group-b") { lists.note(tombstone: 3, of: name) }
        lists.note(former: replica, of: GroupID(9))
        return lists
    }()

    static let hello = Hello(
        versions: Hello.versions, clusterID: "cluster", node: 1, expected: 2, boot: 3, store: 4,
        lives: 5, known: PeerIdentity(store: 6, lives: 7, boot: 8), address: "127.0.0.1:7001",
        info: "127.0.0.1:8001")

    /// A frame of this body, with a checksum that is right.
    static func frame(_ kind: FrameKind, _ body: [UInt8]) -> [UInt8] {
        let format = StandardWireFormat()
        var bytes = [UInt8](repeating: 0, count: format.headerSize) + body
        bytes.withUnsafeMutableBytes { format.seal($0, kind: kind) }
        return bytes
    }
}
