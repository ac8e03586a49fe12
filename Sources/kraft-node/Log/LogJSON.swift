import Foundation
import KraftMultiRaft

/// A log's report as `wal inspect --json` prints it. Fields may be added, never renamed.
struct LogJSON: Encodable {
    var sound: Bool
    var damages: [Damage]
    var node: UInt32?
    var clusterID: String?
    var store: String
    var lives: UInt64
    var end: Place
    var lastSequence: UInt64
    var tornTail: Place?
    var leftovers: [UInt64]
    var segments: [Segment]?
    var groups: [Group]?

    struct Place: Encodable {
        var segment: UInt64
        var offset: Int

        init(_ place: LogReport.Place) {
            (segment, offset) = (place.segment, place.offset)
        }
    }

    struct Damage: Encodable {
        var segment: UInt64?
        var offset: Int?
        var reason: String
    }

    struct Segment: Encodable {
        var number: UInt64
        var bytes: Int
        var used: Int
        var records: Int
        var groups: [Share]
    }

    struct Share: Encodable {
        var id: String
        var records: Int
        var entries: Int
        var bytes: Int
    }

    struct Group: Encodable {
        var id: String
        var name: String
        var incarnation: UInt64
        var replicaTerm: UInt64
        var replicaIndex: UInt64
        var witness: Bool
        var damaged: Bool
        var first: UInt64
        var last: UInt64
        var firstTerm: UInt64
        var lastTerm: UInt64
        var bytes: Int
        var oldest: Place?
        var term: UInt64
        var vote: UInt32?
        var joint: Bool
        var members: [Member]
        var snapshot: Snapshot?
    }

    struct Member: Encodable {
        var node: UInt32
        var kind: String
    }

    struct Snapshot: Encodable {
        var file: String
        var index: UInt64
        var term: UInt64
        var bytes: UInt64
    }

    init(_ report: LogReport) {
        sound = report.isSound
        damages = report.damages.map {
            .init(segment: $0.place?.segment, offset: $0.place?.offset, reason: $0.reason)
        }
        node = report.owner?.node.rawValue
        clusterID = report.owner?.clusterID
        store = LogJSON.hex(report.store)
        lives = report.lives
        end = Place(report.end)
        lastSequence = report.lastSequence
        tornTail = report.tornTail.map(Place.init)
        leftovers = report.leftovers
        segments = report.segments.map(LogJSON.segment)
        groups = report.groups.map(LogJSON.group)
    }

    private static func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func segment(_ segment: LogReport.Segment) -> Segment {
        Segment(
            number: segment.number, bytes: segment.byteCount, used: segment.end,
            records: segment.recordCount,
            groups: segment.shares.map {
                Share(
                    id: hex($0.group.rawValue), records: $0.recordCount, entries: $0.entryCount,
                    bytes: $0.byteCount)
            })
    }

    private static func group(_ group: LogReport.Group) -> Group {
        Group(
            id: hex(group.id.rawValue), name: group.name.string, incarnation: group.incarnation,
            replicaTerm: group.replica.added.term.rawValue,
            replicaIndex: group.replica.added.index.rawValue, witness: group.isWitness,
            damaged: group.isDamaged, first: group.first.rawValue, last: group.last.rawValue,
            firstTerm: group.firstTerm.rawValue, lastTerm: group.lastTerm.rawValue,
            bytes: group.byteCount, oldest: group.oldestEntry.map(Place.init),
            term: group.term.rawValue, vote: group.vote.isNone ? nil : group.vote.rawValue,
            joint: group.isJoint,
            members: group.members.map { .init(node: $0.node.rawValue, kind: $0.kind.word) },
            snapshot: group.snapshot.map {
                .init(
                    file: $0.name.fileName, index: $0.name.position.index.rawValue,
                    term: $0.name.position.term.rawValue, bytes: $0.byteCount)
            })
    }

    /// One line.
    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self)) + [UInt8(ascii: "\n")]
    }
}
