import KraftMultiRaft
import Testing

@testable import kraft_node

private let routing = BootstrapRouting(kind: .consistentHash, groupCount: 64)

private func settings(_ flags: [(SettingsField, String?)] = []) throws -> NodeSettings {
    try NodeSettings([SettingsLayer(flags: [(.id, "1"), (.dataDirectory, "d")] + flags)])
}

@Suite("How a node came into its cluster")
struct NodeRecordTests {
    @Test(
        "is read back as it was recorded",
        arguments: [
            NodeRecord(origin: .founder([1: "a:1", 2: "[::1]:2"]), routing: routing),
            NodeRecord(origin: .founder([:]), routing: routing),
            NodeRecord(origin: .joined, routing: nil), .init(origin: .joined, routing: routing),
        ])
    func readBack(record: NodeRecord) {
        #expect(NodeRecord(record.text) == record)
    }

    @Test("folders of before are understood")
    func old() {
        #expect(
            NodeRecord("router consistent-hash\ngroups 64\n")
                == NodeRecord(origin: .founder([:]), routing: routing))
    }

    @Test(
        "is refused when damaged",
        arguments: [
            "", "router hash", "router hash\ngroups 0\n", "router custom\ngroups 1\n",
            "router hash\ngroups 1\nmore\n", "router x\ngroups 1\n", "joined\njoined\n",
            "joined\ngroups 1\n", "peers 1=a:1\n", "router hash\ngroups 1\npeers 1\n",
            "router hash\ngroups 1\npeers 0=a:1\n", "joined\npeers 1=a:1\n",
            "router hash\ngroups 1\npeers 1=a\n",
        ])
    func damaged(text: String) {
        #expect(NodeRecord(text) == nil)
    }

    @Test("a new folder goes by the flags, and needs them")
    func new() throws {
        let founder = try NodeEntry(
            settings([(.peers, "1=a:1,2=b:2"), (.groups, "3")]), stored: nil)
        #expect(founder.isNew)
        #expect(founder.record.origin == .founder([1: "a:1", 2: "b:2"]))
        #expect(founder.record.routing == BootstrapRouting(kind: .hash, groupCount: 3))
        #expect(founder.record.voters(flags: [:]) == [1, 2])
        let joiner = try NodeEntry(settings([(.join, "b:2,c:3")]), stored: nil)
        #expect(joiner.record == NodeRecord(origin: .joined, routing: nil))
        #expect(joiner.join == ["b:2", "c:3"])
        #expect(joiner.record.voters(flags: [1: "a:1"]) == [])
        #expect { try NodeEntry(settings(), stored: nil) } throws: {
            ($0 as? NodeFailure)?.exit == NodeExit.usage
        }
    }

    @Test("a folder that is known wins over the flags")
    func known() throws {
        let founders: [NodeID: String] = [1: "a:1", 2: "b:2"]
        let founder = NodeRecord(origin: .founder(founders), routing: routing)
        // Other peers are dialled, but no other groups made.
        let more = try NodeEntry(settings([(.peers, "1=a:1,2=x:2,3=c:3")]), stored: founder)
        #expect(!more.isNew)
        #expect(more.peers[2] == "x:2")
        #expect(more.record.voters(flags: more.peers) == [1, 2])
        #expect(try NodeEntry(settings(), stored: founder).peers == founders)
        let told = try NodeEntry(settings([(.join, "c:3")]), stored: founder)
        #expect(told.join == [] && told.peers == founders)
        // Who joined makes no groups, whatever it is told.
        let joined = NodeRecord(origin: .joined, routing: routing)
        let listed = try NodeEntry(settings([(.peers, "1=a:1,2=b:2")]), stored: joined)
        #expect(listed.record.voters(flags: listed.peers) == [])
        #expect(listed.peers == founders)
        #expect(try NodeEntry(settings(), stored: joined).record == joined)
        // An old folder doesn't say who began the cluster.
        let old = NodeRecord(origin: .founder([:]), routing: routing)
        let again = try NodeEntry(settings([(.peers, "1=a:1")]), stored: old)
        #expect(again.record.voters(flags: [1: "a:1"]) == [1])
        #expect(throws: NodeFailure.self) { try NodeEntry(settings(), stored: old) }
    }
}
