import Foundation
import Testing

@testable import kraft_node

extension ProcessTests {
    @Suite("Real nodes that come and go")
    struct MembershipProcessTests {
        @Test(
            "every node of a cluster is replaced under load, the leaders too, and nothing is lost")
        func replaceAll() async throws {
            try await TestCluster.with(nodes: 6, founders: 3) { cluster in
                let load = try await Load.with(cluster, writers: 8) { load in
                    try await replace(3, by: 4, in: cluster) {
                        // Step by step: a learner, a voter, and then the old one goes.
                        try await cluster.changeAll(
                            #"{"add":[{"node":4,"kind":"learner"}]}"#, on: 4)
                        try await cluster.changeAll(#"{"add":[{"node":4}]}"#, on: 2)
                        try await cluster.changeAll(#"{"remove":[3]}"#, on: 3)
                    }
                    try await replace(2, by: 5, in: cluster) {
                        // At once; the plans are asked of the node that goes.
                        try await cluster.changeAll(#"{"add":[{"node":5}],"remove":[2]}"#, on: 2)
                    }
                    try await replace(1, by: 6, in: cluster) {
                        try await cluster.changeAll(#"{"add":[{"node":6}]}"#, on: 6)
                    }
                }
                print("replaced all: \(load.summary)")
                for node in 4...6 {
                    for number in 0..<cluster.groups {
                        #expect(
                            try await cluster.members(of: "kv-\(number)", seenFrom: node)
                                == ["4:voter", "5:voter", "6:voter"])
                    }
                    for old in 1...3 {
                        #expect(try await cluster.status(of: old, seenFrom: node) == "left")
                    }
                }
                try await cluster.waitUntilHealthy()
                try await cluster.waitForEqualDigests()
                try await load.readBack(from: [4, 5, 6])
                #expect(load.complaints == [])
                #expect(load.acknowledged > 100)
                #expect(load.longestStretch < .seconds(3))
                try await comesBackInVain(1, cluster)
            }
        }

        /// Starts `new`, lets it join, has `body` bring it into the groups, and lets `old` leave,
        /// which leads at least one group then.
        private func replace(
            _ old: Int, by new: Int, in cluster: TestCluster, _ body: () async throws -> Void
        ) async throws {
            try await cluster.start(new)
            try await cluster.waitUntilReady([new])
            let transfer = try await cluster.post(
                "/v1/groups/kv-0/transfer", #"{"to":\#(old)}"#, to: new)
            #expect(transfer.status == 200, "\(transfer.text)")
            try await body()
            let left = try await cluster.leave(old, askedOf: old == 1 ? 1 : new)
            #expect(left.status == 200, "\(left.text)")
            #expect(try await cluster.leave(old, askedOf: new).status == 200)
            // Who has left serves nothing, and says so as soon as the news has reached it.
            _ = try await eventually("node \(old) to hear that it has left") {
                try await cluster.send(.GET, "/readyz", to: old).status == 503 ? true : nil
            }
            #expect(try await cluster.terminate(old) == 0)
        }

        /// A node that has left is started on its old folder: nobody takes notice.
        private func comesBackInVain(_ node: Int, _ cluster: TestCluster) async throws {
            func terms() async throws -> [String?] {
                var terms: [String?] = []
                for number in 0..<cluster.groups {
                    terms.append(try await cluster.group("kv-\(number)", on: 4)["term"])
                }
                return terms
            }
            let before = try await terms()
            try await cluster.start(node)
            try await Task.sleep(for: .seconds(1.5))
            #expect(try await terms() == before)
            #expect(try await cluster.put("k", "v", to: 4).status == 200)
            #expect(try await cluster.send(.GET, "/v1/groups", to: node).text == "[]")
            let read = try await cluster.get("k", from: node, query: "?timeout_ms=500")
            #expect(read.status == 503, "\(read.text)")
            try cluster.kill9(node)
        }

        @Test("a node that joined passes requests on, once, and comes back without its flags")
        func passesOn() async throws {
            try await TestCluster.with(nodes: 4, founders: 3) { cluster in
                try await cluster.start(4)
                try await cluster.waitUntilReady([4])
                #expect(try await cluster.put("k", "one", to: 4).status == 200)
                let read = try await cluster.get("k", from: 4)
                #expect(read.text == "one")
                #expect(read.headers.first(name: "Kraft-Node") == "4")
                #expect(read.headers.first(name: "Kraft-Forwarded") != nil)
                #expect(read.headers.first(name: "Kraft-Version") != nil)
                #expect(try await cluster.get("none", from: 4).status == 404)
                #expect(
                    try await cluster.put("k", "x", to: 4, query: "?if_version=0").status == 409)
                #expect(try await cluster.group("kv-1", on: 4)["name"] == "kv-1")
                #expect(try await cluster.group("nope", on: 4).status == 404)
                for path in ["/v1/kv/k", "/v1/groups/kv-1"] {
                    let again = try await cluster.send(
                        .GET, path, to: 4, headers: [("Kraft-Forwarded", "1")])
                    #expect(again.status == 503, "\(again.text)")
                    #expect(again.headers.first(name: "Kraft-Elsewhere") == "true")
                }
                // It is a member by what its folder says.
                #expect(try await cluster.terminate(4) == 0)
                try await cluster.start(4, arguments: cluster.base(4))
                try await cluster.waitUntilReady([4])
                #expect(try await cluster.get("k", from: 4).text == "one")
                try await cluster.change("kv-0", #"{"add":[{"node":4}]}"#, on: 4)
                try cluster.kill9(4)
                try await cluster.start(4)
                try await cluster.waitUntilReady([4])
                _ = try await eventually("node 4 to follow") {
                    try await cluster.group("kv-0", on: 4)["role"] == "follower" ? true : nil
                }
                // Nobody is left who holds the other groups.
                for id in 1...3 { try cluster.kill9(id) }
                let lost = try await cluster.group("kv-1", on: 4)
                #expect(lost.status == 503, "\(lost.text)")
            }
        }

        @Test("a node with an empty folder is refused under its old id, until it left and joined")
        func wiped() async throws {
            try await TestCluster.with(nodes: 3) { cluster in
                #expect(try await cluster.put("k", "v", to: 1).status == 200)
                try cluster.kill9(3)
                try FileManager.default.removeItem(atPath: "\(cluster.directory)/3")
                try await cluster.start(3)
                try await cluster.waitForLog("lost its data folder", of: 1)
                #expect(try await cluster.send(.GET, "/readyz", to: 3).status == 503)
                let address = "127.0.0.1:\(cluster.ports[2])"
                let left = try await cluster.leave(3, askedOf: 1)
                #expect(left.status == 200, "\(left.text)")
                #expect(
                    try await cluster.members(of: "kv-0", seenFrom: 1) == ["1:voter", "2:voter"])
                let joined = try await cluster.post(
                    "/v1/cluster/join", #"{"node_id":3,"addr":"\#(address)"}"#, to: 2)
                #expect(joined.status == 200, "\(joined.text)")
                _ = try await eventually("node 3 to be heard") {
                    try await cluster.status(of: 3, seenFrom: 1) == "alive" ? true : nil
                }
                // The same again changes nothing; another address would be another node.
                #expect(
                    try await cluster.post(
                        "/v1/cluster/join", #"{"node_id":3,"addr":"\#(address)"}"#, to: 1
                    ).status == 200)
                #expect(
                    try await cluster.post(
                        "/v1/cluster/join", #"{"node_id":3,"addr":"127.0.0.1:1"}"#, to: 1
                    ).status == 409)
                try await cluster.changeAll(#"{"add":[{"node":3}]}"#, on: 1)
                try await cluster.waitUntilHealthy()
                try await cluster.waitForEqualDigests()
                #expect(
                    try await cluster.get("k", from: 3, query: "?consistency=local").text == "v")
            }
        }

        @Test("a dead node is removed; a dead newcomer is given up; two changes at once are one")
        func deadMembers() async throws {
            let flags = ["--catch-up-ms", "1500", "--lease-ms", "400"]
            try await TestCluster.with(nodes: 4, founders: 3, flags: flags) { cluster in
                try await cluster.start(4)
                try await cluster.waitUntilReady([4])
                #expect(try await cluster.put("k", "v", to: 1).status == 200)
                for query in [
                    "?consistency=lease", "?consistency=bounded&max_staleness_ms=500",
                    "?consistency=local",
                ] {
                    _ = try await eventually("a read with \(query)") {
                        let read = try await cluster.get("k", from: 1, query: query)
                        return read.status == 200 && read.text == "v" ? true : nil
                    }
                }
                try cluster.kill9(4)
                let change = try await cluster.changeMembers(
                    "kv-0", #"{"add":[{"node":4}]}"#, on: 1)
                #expect(change.status == 202, "\(change.text)")
                let plan = try #require(change["plan"])
                let running = try await cluster.send(.GET, "/v1/plans/\(plan)", to: 1)
                #expect(running["state"] == "running", "\(running.text)")
                #expect(running["step"] == "staging")
                let second = try await cluster.changeMembers(
                    "kv-0", #"{"remove":[3]}"#, on: 2)
                #expect(second.status == 409, "\(second.text)")
                let ended = try await cluster.planEnd(plan, on: 1)
                #expect(ended["state"] == "failed")
                #expect(ended["error"]?.contains("catch up") == true)
                #expect(try await cluster.planEnd(plan, on: 2)["state"] == "failed")
                #expect(try await cluster.send(.GET, "/v1/plans", to: 3).text.contains(plan))
                #expect(
                    try await cluster.members(of: "kv-0", seenFrom: 1)
                        == ["1:voter", "2:voter", "3:voter"])
                try cluster.kill9(3)
                try await cluster.changeAll(#"{"remove":[3]}"#, on: 2)
                // A member of groups that nobody can be asked of any more: here it is the last but
                // one, and the last may not go.
                let left = try await cluster.leave(3, askedOf: 2)
                #expect(left.status == 200, "\(left.text)")
                #expect(try await cluster.leave(2, askedOf: 1).status == 200)
                let last = try await cluster.leave(1, askedOf: 1)
                #expect(last.status == 409, "\(last.text)")
                #expect(try await cluster.get("k", from: 1).text == "v")
            }
        }

        @Test("leaders step down and are elected on request")
        func elections() async throws {
            try await TestCluster.with(groups: 1) { cluster in
                let leader = try await cluster.leader(of: "kv-0", seenFrom: 1)
                let other = leader == 1 ? 2 : 1
                let asked = try await cluster.post("/v1/groups/kv-0/step-down", "", to: other)
                #expect(asked.status == 200, "\(asked.text)")
                #expect(asked["node"] == "\(leader)")
                try await cluster.waitUntilReady()
                for target in 1...3 {
                    let leader = try await cluster.leader(of: "kv-0", seenFrom: 1)
                    guard leader != target else { continue }
                    // A node that is a moment behind can't win yet.
                    _ = try await eventually("node \(target) to lead") {
                        let asked = try await cluster.post(
                            "/v1/groups/kv-0/elect", #"{"node":\#(target)}"#, to: leader)
                        #expect(asked.status == 200, "\(asked.text)")
                        try await Task.sleep(for: .milliseconds(200))
                        return try await cluster.group("kv-0", on: 1)["leader"] == "\(target)"
                            ? true : nil
                    }
                }
                let witness = try await cluster.post(
                    "/v1/groups/kv-0/elect", #"{"node":9}"#, to: 1)
                #expect(witness.status == 503, "\(witness.text)")
            }
        }

        @Test("the command line brings a node in and takes one out")
        func commandLine() async throws {
            try await TestCluster.with(nodes: 4, founders: 3, groups: 2) { cluster in
                try await cluster.start(4)
                try await cluster.waitUntilReady([4])
                let url = try cluster.url(4)
                func call(_ arguments: String...) async throws -> (status: Int32, output: String) {
                    let process = try NodeProcess(
                        arguments + ["--url", url, "--timeout", "15000"])
                    let status = try await process.waitForExit(.seconds(20))
                    // The reader may be a moment behind the exit.
                    try await Task.sleep(for: .milliseconds(50))
                    return (status, process.output + process.errors)
                }
                let added = try await call(
                    "group", "members", "kv-0", "--add", "4:learner", "--wait")
                #expect(added.status == 0 && added.output.hasPrefix("kv-0@"), "\(added)")
                #expect(try await call("group", "members", "kv-0").output.contains("4  learner"))
                #expect(try await call("member", "add", "4").output == "kv-0: done\nkv-1: done\n")
                #expect(try await call("member", "remove", "3", "--group", "kv-1").status == 0)
                #expect(try await call("member", "leave", "3").status == 0)
                let list = try await call("member", "list").output
                #expect(list.contains("left"), "\(list)")
                #expect(try await call("group", "members", "kv-1").output.contains("4  voter"))
                #expect(try await call("group", "members", "kv-0", "--remove", "9").status == 64)
                #expect(try await call("member", "join", "4", "--addr", "127.0.0.1:1").status == 70)
                #expect(try await call("group", "step-down", "kv-0").status == 0)
            }
        }
    }
}
