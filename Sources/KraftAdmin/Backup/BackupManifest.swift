import Foundation
import KraftMultiRaft

/// What a folder with a backup holds: the file `manifest.json`, which is written last, so that a
/// folder without it is no backup.
///
/// A JSON object whose first member is `checksum`: the XXH3 of all bytes behind that member's comma,
/// as 16 hexadecimal digits. So whoever reads it knows that each of its bytes is what was written.
public struct BackupManifest: Codable, Equatable, Sendable {
    public static let fileName = "manifest.json"
    public static let currentVersion = 1
    /// More groups than any backup has.
    public static let sizeLimitBytes = 64 << 20

    public var version = BackupManifest.currentVersion
    public var clusterID: String
    /// Everything that was acknowledged before this is in the backup.
    public var begunUnixMilliseconds: Int64
    public var endedUnixMilliseconds: Int64
    /// By which keys were spread over groups: a cluster with another one would look elsewhere.
    public var router: String
    /// All groups of the routing; the backup may hold some of them only.
    public var routedGroups: [String]
    public var groups: [Item]

    /// One group's file.
    public struct Item: Codable, Equatable, Sendable {
        public var name: String
        public var file: String
        /// 16 hexadecimal digits, as is `checksum`.
        public var id: String
        public var incarnation: UInt64
        public var epoch: UInt64
        /// The last entry in it.
        public var index: UInt64
        public var term: UInt64
        public var bytes: UInt64
        /// XXH3 of the whole file.
        public var checksum: String

        enum CodingKeys: String, CodingKey {
            case name, file, id, incarnation, epoch, index, term, bytes, checksum
        }

        /// What a file turned out to hold.
        public init(_ facts: BackupFacts) {
            name = facts.owner.name.string
            file = Item.fileName(of: facts.owner.name.string)
            id = facts.name.group.description
            incarnation = facts.owner.incarnation
            epoch = facts.owner.epoch?.rawValue ?? 0
            index = facts.name.position.index.rawValue
            term = facts.name.position.term.rawValue
            bytes = facts.byteCount
            checksum = BackupManifest.digits(facts.checksum)
        }

        public static func fileName(of group: String) -> String { group + ".snap" }
    }

    enum CodingKeys: String, CodingKey {
        case version
        case clusterID = "cluster_id"
        case begunUnixMilliseconds = "begun_unix_ms"
        case endedUnixMilliseconds = "ended_unix_ms"
        case router
        case routedGroups = "routed_groups"
        case groups
    }

    public init(
        clusterID: String, begunUnixMilliseconds: Int64, endedUnixMilliseconds: Int64,
        router: String, routedGroups: [String], groups: [Item]
    ) {
        (self.clusterID, self.router) = (clusterID, router)
        self.begunUnixMilliseconds = begunUnixMilliseconds
        self.endedUnixMilliseconds = endedUnixMilliseconds
        (self.routedGroups, self.groups) = (routedGroups, groups)
    }

    // MARK: Bytes

    private static let prefix = Array(#"{"checksum":""#.utf8)
    private static let separator = Array(#"","#.utf8)
    private static let digitCount = 16

    static func digits(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: digitCount - digits.count) + digits
    }

    public func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let body = Array(try encoder.encode(self)).dropFirst() + [UInt8(ascii: "\n")]
        let checksum = BackupManifest.digits(RunningChecksum.of(body))
        return BackupManifest.prefix + Array(checksum.utf8) + BackupManifest.separator + body
    }

    /// Throws `storage` for bytes that `encoded` did not write, and for those of a later version.
    public init(_ bytes: [UInt8]) throws(KraftError) {
        let head = BackupManifest.prefix.count
        let rest = head + BackupManifest.digitCount + BackupManifest.separator.count
        guard bytes.count > rest, bytes.starts(with: BackupManifest.prefix) else {
            throw BackupManifest.damaged("not a manifest")
        }
        let body = bytes[rest...]
        let expected =
            BackupManifest.prefix
            + Array(BackupManifest.digits(RunningChecksum.of(body)).utf8)
            + BackupManifest.separator
        guard bytes[..<rest].elementsEqual(expected) else {
            throw BackupManifest.damaged("wrong checksum")
        }
        do {
            self = try JSONDecoder().decode(
                BackupManifest.self, from: Data([UInt8(ascii: "{")] + body))
        } catch {
            throw BackupManifest.damaged("\(error)")
        }
        guard version == BackupManifest.currentVersion else {
            throw BackupManifest.damaged("version \(version); this program reads version 1")
        }
        let isSensible = groups.allSatisfy {
            GroupName($0.name) != nil && $0.file == Item.fileName(of: $0.name)
        }
        guard isSensible, Set(groups.map(\.name)).count == groups.count else {
            throw BackupManifest.damaged("groups that can't be")
        }
    }

    private static func damaged(_ reason: String) -> KraftError {
        KraftError(.storage, "\(fileName): \(reason)")
    }
}
