import KraftMultiRaft
import KraftTestKit
import Testing

@testable import KraftAdmin
@testable import kraft_node

@Suite("The manifest of a backup")
struct BackupManifestTests {
    private func sample() throws -> BackupManifest {
        let items = try (0..<3).map { number in
            BackupManifest.Item(
                BackupFacts(
                    name: SnapshotName(
                        group: GroupID(UInt64(number)),
                        position: EntryPosition(index: LogIndex(1 << 40), term: Term(7)),
                        nonce: 1),
                    owner: SnapshotOwner(
                        name: try #require(GroupName("kv-\(number)")), incarnation: 2,
                        epoch: .first,
                        configuration: .init(
                            index: LogIndex(1),
                            membership: try #require(Membership(voters: [1, 2])))),
                    byteCount: 123_456, checksum: .max - UInt64(number)))
        }
        return BackupManifest(
            clusterID: "a \"cluster\"", begunUnixMilliseconds: 1_700_000_000_000,
            endedUnixMilliseconds: 1_700_000_000_001, router: "hash",
            routedGroups: ["kv-0", "kv-1", "kv-2"], groups: items)
    }

    @Test("comes back as it was written")
    func roundTrip() throws {
        let manifest = try sample()
        let bytes = try manifest.encoded()
        #expect(try BackupManifest(bytes) == manifest)
        #expect(String(decoding: bytes, as: UTF8.self).hasPrefix(#"{"checksum":""#))
    }

    @Test("is refused when it is cut anywhere, or any bit is another")
    func spoilt() throws {
        let bytes = try sample().encoded()
        for count in 0..<bytes.count {
            #expect(throws: KraftError.self) { try BackupManifest(Array(bytes[..<count])) }
        }
        for place in 0..<(8 * bytes.count) {
            var spoilt = bytes
            spoilt[place / 8] ^= 1 << UInt8(place % 8)
            #expect(throws: KraftError.self, "bit \(place)") { try BackupManifest(spoilt) }
        }
        for seed in UInt64(1)...3_000 {
            var mutator = ByteMutator(seed: seed)
            var spoilt = bytes
            mutator.mutate(&spoilt, others: [bytes])
            guard spoilt != bytes else { continue }
            #expect(throws: KraftError.self, "seed \(seed)") { try BackupManifest(spoilt) }
        }
    }

    @Test("is refused when it names files outside of its folder, or another version")
    func senseless() throws {
        var manifest = try sample()
        manifest.groups[1].file = "../kv-1.snap"
        var bytes = try manifest.encoded()
        #expect(throws: KraftError.self) { try BackupManifest(bytes) }
        manifest = try sample()
        manifest.groups[1] = manifest.groups[0]
        bytes = try manifest.encoded()
        #expect(throws: KraftError.self) { try BackupManifest(bytes) }
        manifest = try sample()
        manifest.version = 2
        bytes = try manifest.encoded()
        #expect(throws: KraftError.self) { try BackupManifest(bytes) }
    }

    @Test("nodes are named by their HTTP ports, or by URLs")
    func nodes() {
        #expect(NodeList(argument: "h:1,http://i:2/")?.urls == ["http://h:1", "http://i:2"])
        #expect(NodeList(argument: "") == nil)
        #expect(NodeList(argument: "h:1,") == nil)
    }

    @Test(
        "what the command line can't mean is refused",
        arguments: [
            ["backup"], ["backup", "--to", "-"], ["backup", "--to", "x", "--timeout", "0"],
            ["restore"], ["restore", "--from", "x", "--members", "1,1"],
            ["restore", "--from", "x", "--members", "a"], ["recover", "--data-dir", "x"],
            ["recover", "--data-dir", "x", "--all"],
            ["recover", "--data-dir", "x", "--group", "g", "--all", "--lost", "1"],
            ["recover", "--data-dir", "x", "--all", "--lost", "1,x"],
            ["recover", "--data-dir", "x", "--inspect", "--dry-run"],
            ["recover", "--data-dir", "x", "--forget", "--all"],
        ])
    func usage(_ arguments: [String]) {
        #expect(throws: (any Error).self) { _ = try KraftNode.parseAsRoot(arguments) }
    }
}
