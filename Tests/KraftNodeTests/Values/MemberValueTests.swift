import KraftMultiRaft
import Testing

@testable import KraftAdmin
@testable import KraftEngine

private func fault<Value>(_ body: () throws -> Value) -> String {
    do {
        _ = try body()
        return "fine"
    } catch {
        guard let fault = error as? HTTPFault else { return "\(error)" }
        return fault.status == 400 ? fault.message : "\(fault.status)"
    }
}

@Suite("Bodies of changes of members")
struct MembersBodyTests {
    private func body(_ text: String) throws -> MembersBody { try MembersBody(Array(text.utf8)) }

    @Test("name nodes to add, as voters unless they say otherwise, and to remove")
    func sound() throws {
        let full = try body(
            #"{"add":[{"node":4},{"node":5,"kind":"learner"},{"node":6,"kind":"witness"}],"#
                + #""remove":[1,2]}"#)
        #expect(full.add == [.init(4, .voter), .init(5, .learner), .init(6, .witness)])
        #expect(full.remove == [1, 2])
        #expect(try body(#"{"remove":[3]}"#).add == [])
        #expect(try body(#"{"add":[{"node":3}],"remove":null}"#).remove == [])
    }

    @Test(
        "name the field that is wrong",
        arguments: [
            ("", "body:"), ("[]", "body:"), ("7", "body:"), ("{", "body:"), ("{}", "add:"),
            (#"{"add":[],"remove":[]}"#, "add:"), (#"{"add":{}}"#, "add:"),
            (#"{"add":[4]}"#, "add[0]:"), (#"{"add":[{"kind":"voter"}]}"#, "add[0].node:"),
            (#"{"add":[{"node":4},{"node":"5"}]}"#, "add[1].node:"),
            (#"{"add":[{"node":0}]}"#, "add[0].node:"),
            (#"{"add":[{"node":4294967296}]}"#, "add[0].node:"),
            (#"{"add":[{"node":1.5}]}"#, "add[0].node:"),
            (#"{"add":[{"node":true}]}"#, "add[0].node:"),
            (#"{"add":[{"node":4,"kind":"boss"}]}"#, "add[0].kind:"),
            (#"{"add":[{"node":4,"kind":7}]}"#, "add[0].kind:"),
            (#"{"add":[{"node":4,"role":"voter"}]}"#, "role:"), (#"{"remove":3}"#, "remove:"),
            (#"{"remove":[3,"x"]}"#, "remove[1]:"), (#"{"removes":[3]}"#, "removes:"),
            (#"{"add":[{"node":4},{"node":4}]}"#, "add:"),
            (#"{"add":[{"node":4}],"remove":[4]}"#, "remove:"),
        ])
    func broken(text: String, field: String) {
        let words = fault { try body(text) }
        #expect(words.hasPrefix(field), "\(text): \(words)")
    }

    @Test("a refused change is explained by what is known of the group")
    func objections() throws {
        let members: [GroupStatus.Member] = [
            .init(node: 1, kind: .voter), .init(node: 2, kind: .witness),
            .init(node: 3, kind: .learner),
        ]
        func words(_ text: String) throws -> String {
            try body(text).objection(members: members, nodes: [1, 2, 3, 4])
        }
        #expect(try words(#"{"add":[{"node":9}]}"#).hasPrefix("add[0].node: node 9 is not in"))
        #expect(try words(#"{"add":[{"node":1}]}"#).hasPrefix("add[0].kind: node 1 is a voter"))
        #expect(try words(#"{"add":[{"node":2}]}"#).hasPrefix("add[0].kind: node 2 is a witness"))
        #expect(try words(#"{"remove":[4]}"#) == "remove[0]: node 4 is not a member")
        #expect(try words(#"{"remove":[1]}"#).hasPrefix("remove: no voter with data"))
        #expect(try words(#"{"add":[{"node":4}],"remove":[1]}"#).hasPrefix("add: the change"))
    }
}

@Suite("Bodies of joining, leaving and electing")
struct NodeBodyTests {
    private func body(_ text: String, needsAddress: Bool = true) throws -> NodeBody {
        try NodeBody(Array(text.utf8), needsAddress: needsAddress)
    }

    @Test("name a node and where it is")
    func sound() throws {
        let full = try body(#"{"node_id":4,"addr":"host.example:7104","http":"[::1]:8004"}"#)
        #expect(full.node == 4)
        #expect(full.address == "host.example:7104")
        #expect(full.http == "[::1]:8004")
        #expect(try body(#"{"node_id":4}"#, needsAddress: false).address == nil)
        #expect(try ElectBody([]).node == nil)
        #expect(try ElectBody(Array(#"{"node":3}"#.utf8)).node == 3)
    }

    @Test(
        "name the field that is wrong",
        arguments: [
            ("", "body:"), ("{}", "node_id: missing"), (#"{"node_id":"4"}"#, "node_id:"),
            (#"{"node_id":0,"addr":"a:1"}"#, "node_id:"), (#"{"node_id":4}"#, "addr: missing"),
            (#"{"node_id":4,"addr":7104}"#, "addr:"), (#"{"node_id":4,"addr":"a"}"#, "addr:"),
            (#"{"node_id":4,"addr":"a:0"}"#, "addr:"), (#"{"node_id":4,"addr":"::1:7"}"#, "addr:"),
            (#"{"node_id":4,"addr":"a b:7"}"#, "addr:"), (#"{"node_id":4,"addr":":7"}"#, "addr:"),
            (#"{"node_id":4,"addr":"a:7","http":"x/y:1"}"#, "http:"),
            (#"{"node_id":4,"addr":"a:7","more":1}"#, "more:"),
        ])
    func broken(text: String, field: String) {
        let words = fault { try body(text) }
        #expect(words.hasPrefix(field), "\(text): \(words)")
    }

    @Test("an election is of a node")
    func elect() {
        #expect(fault { try ElectBody(Array(#"{"node":0}"#.utf8)) }.hasPrefix("node:"))
        #expect(fault { try ElectBody(Array(#"{"to":1}"#.utf8)) }.hasPrefix("to:"))
    }
}

@Suite("What nodes tell each other")
struct NodeInfoTests {
    @Test("is read back as it was told")
    func readBack() {
        for info in [
            NodeInfo(), NodeInfo(http: "127.0.0.1:8001"),
            NodeInfo(http: "[::1]:8001", routing: .init(router: "hash", groupCount: 8)),
            NodeInfo(routing: .init(router: "consistent-hash", groupCount: 10_000)),
        ] {
            #expect(NodeInfo(info.text) == info)
        }
    }

    @Test("takes what it understands, and nothing that could not be part of a URL")
    func lenient() {
        let known = NodeInfo("later=1;http=a:1;;x;groups=8;router=hash")
        #expect(known == NodeInfo(http: "a:1", routing: .init(router: "hash", groupCount: 8)))
        for text in ["", "127.0.0.1:8001", "http=a", "http=:1", "http=a:0", "http=a/b:1"] {
            #expect(NodeInfo(text) == NodeInfo(), "\(text)")
        }
        #expect(NodeInfo("router=hash").routing == nil)
    }

    @Test("fits into a handshake")
    func bounded() {
        let long = String(repeating: "x", count: 300) + ":1"
        let info = NodeInfo(http: long, routing: .init(router: "hash", groupCount: 8))
        #expect(info.text == "router=hash;groups=8")
    }
}
