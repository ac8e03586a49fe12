import KraftMultiRaft
import Testing

/// Waits until a change has ended, in the eyes of one node; how.
private func end(
    of change: ChangeID, seenFrom node: KraftMultiRaft
) async throws -> ChangeState {
    var state = ChangeState.running
    try await eventually("\(change) ends") {
        state = try await node.state(of: change)
        return state != .running
    }
    return state
}

private func members(of name: String, on node: KraftMultiRaft) async throws -> [NodeID] {
    try await node.status(of: name).members.map(\.node)
}

private func code(_ body: () async throws(KraftError) -> Void) async -> KraftError.Code? {
    do throws(KraftError) {
        try await body()
        return nil
    } catch { return error.code }
}

extension TestCluster {
    /// Starts a node that knows only the addresses of the others, and makes counters for groups
    /// that take it in.
    fileprivate func startJoining(_ node: NodeID) async throws -> KraftMultiRaft {
        try await start(node) { configuration in
            configuration.join = addresses.filter { $0.key != node }.values.sorted()
            configuration.peers = [:]
            configuration.machines = MachineProvider { _ in Counter() }
        }
    }

    /// The first so many nodes, which know only each other, with a group of all of them.
    fileprivate func startFounders(
        _ count: Int, _ change: (inout KraftConfiguration) -> Void = { _ in }
    ) async throws -> [KraftMultiRaft] {
        let founders = addresses.filter { $0.key.rawValue <= count }
        var nodes: [KraftMultiRaft] = []
        for node in founders.keys.sorted() {
            nodes.append(
                try await start(node) { configuration in
                    configuration.peers = founders
                    change(&configuration)
                })
        }
        for node in nodes { _ = try await node.createGroup("g") { Counter() } }
        _ = try await leader(of: "g", among: nodes)
        return nodes
    }
}

@Suite(.timeLimit(.minutes(2)))
struct MembershipTests {
    @Test func `the name of a change is text and back`() {
        let texts = ["g@1.2", "a@b@3.4", "g", "g@", "g@1", "g@1.2.3", "g@-1.2", "@1.2", ".@1.2"]
        let found = texts.map { ChangeID($0)?.description }
        #expect(found == ["g@1.2", nil, nil, nil, nil, nil, nil, nil, nil])
        let name = GroupName("x:y.z")!
        let change = ChangeID(
            group: name, position: .init(index: LogIndex(7), term: Term(3)))
        #expect(change.description == "x:y.z@3.7")
        #expect(ChangeID(change.description) == change)
    }

    @Test func `a node joins, is taken into a group, and serves it; the first leader leaves`()
        async throws
    {
        try await TestCluster.with(nodes: 4) { cluster in
            var nodes = try await cluster.startFounders(3)
            let group = try nodes[0].group("g", of: Counter.self)
            for number in 1...10 as ClosedRange<Int64> { _ = try await group.propose(number) }
            let new = try await cluster.startJoining(4)
            nodes.append(new)
            try await eventually("all hear each other") {
                for node in nodes {
                    guard await node.peers().filter(\.isAlive).count == 3 else { return false }
                }
                return true
            }
            // Any node that has the group may be asked.
            let first = try await leader(of: "g", among: Array(nodes.prefix(3)))
            let follower = first === nodes[0] ? nodes[1] : nodes[0]
            let added = try await follower.changeMembers(
                of: "g", add: [.init(4, .learner)])
            #expect(try await end(of: added, seenFrom: follower) == .done)
            try await eventually("the learner has all") {
                guard let group = try? new.group("g", of: Counter.self) else { return false }
                return try await group.read(.sum, .local) == 55
            }
            #expect(try await new.status(of: "g").role == .learner)
            let promoted = try await new.changeMembers(of: "g", add: [.init(4, .voter)])
            #expect(try await end(of: promoted, seenFrom: nodes[0]) == .done)
            #expect(try await new.group("g", of: Counter.self).propose(5) == 60)

            let old = try await leader(of: "g", among: nodes)
            let removed = try await old.changeMembers(of: "g", remove: [old.node])
            try await eventually("the old leader has gone") {
                await old.status().groups.isEmpty
            }
            // It saw the end itself, since it led until then.
            #expect(try await old.status(of: removed).state == .done)
            #expect(try await old.status(of: removed).step == .final)
            let others = nodes.filter { $0 !== old }
            for node in others {
                #expect(try await end(of: removed, seenFrom: node) == .done)
                #expect(try await members(of: "g", on: node) == others.map(\.node).sorted())
                #expect(await node.changes().contains { $0.id == removed && $0.state == .done })
            }
            #expect(throws: KraftError.self) { try old.group("g", of: Counter.self) }
            #expect(try await others[0].group("g", of: Counter.self).propose(1) == 61)
        }
    }

    @Test func `a change that can't be is refused, and one at a time is begun`() async throws {
        try await TestCluster.with(nodes: 4) { cluster in
            let nodes = try await cluster.startFounders(3) {
                $0.timing.catchUpTimeout = .seconds(2)
            }
            let node = nodes[0]
            // A group whose leader has committed nothing yet isn't changed.
            #expect(try await node.group("g", of: Counter.self).propose(1) == 1)
            for change in [
                MembershipChange(add: [.init(9, .voter)]), .init(add: [.init(1, .voter)]),
                .init(remove: [4]), .init(remove: [1, 2, 3]), .init(),
            ] {
                let code = await code { () throws(KraftError) in
                    _ = try await node.changeMembers(
                        of: "g", add: change.add, remove: change.remove)
                }
                #expect(code == .badRequest, "\(change)")
            }
            let unknown = await code { () throws(KraftError) in
                _ = try await node.changeMembers(of: "h", remove: [1])
            }
            #expect(unknown == .notFound)
            // A member of the cluster that never comes: the change is given up.
            try await node.join(4, address: cluster.addresses[4] ?? "")
            let change = try await node.changeMembers(of: "g", add: [.init(4, .voter)])
            #expect(try await node.status(of: change).step == .staging)
            let second = await code { () throws(KraftError) in
                _ = try await nodes[1].changeMembers(of: "g", remove: [3])
            }
            #expect(second == .conflict)
            #expect(try await end(of: change, seenFrom: nodes[2]) == .abandoned)
            #expect(try await members(of: "g", on: node) == [1, 2, 3])
            let after = try await nodes[1].changeMembers(of: "g", remove: [3])
            #expect(try await end(of: after, seenFrom: nodes[0]) == .done)
            // The change that was given up isn't taken for done because a later one was.
            #expect(try await node.state(of: change) == .abandoned)
        }
    }

    @Test func `a removed node keeps its past apart, also over a restart`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(3)
            let group = try nodes[2].group("g", of: Counter.self)
            _ = try await group.propose(7)
            let change = try await nodes[0].changeMembers(of: "g", remove: [3])
            #expect(try await end(of: change, seenFrom: nodes[1]) == .done)
            try await eventually("node 3 has no group") { await nodes[2].status().groups.isEmpty }
            let late = await code { () throws(KraftError) in _ = try await group.propose(1) }
            #expect(late == .notFound)
            // It was told that it was removed, not how the change ended: who is a member knows.
            let unknown = await code { () throws(KraftError) in
                _ = try await nodes[2].status(of: change)
            }
            #expect(unknown == nil || unknown == .notFound)
            var again = await code { () throws(KraftError) in
                _ = try await nodes[2].createGroup("g") { Counter() }
            }
            #expect(again == .conflict)
            await cluster.stop(3)
            let restarted = try await cluster.start(3) {
                $0.machines = MachineProvider { _ in Counter() }
            }
            again = await code { () throws(KraftError) in
                _ = try await restarted.createGroup("g") { Counter() }
            }
            #expect(again == .conflict)
            let back = try await nodes[0].changeMembers(of: "g", add: [.init(3, .voter)])
            #expect(try await end(of: back, seenFrom: nodes[1]) == .done)
            try await eventually("node 3 has the group again") {
                guard let group = try? restarted.group("g", of: Counter.self) else { return false }
                return try await group.read(.sum, .local) == 7
            }
        }
    }

    @Test func `requests that wait in a group that this node is removed from end truthfully`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(3)
            let group = try nodes[2].group("g", of: Counter.self)
            let total = Flag()
            let outcomes = await withTaskGroup(of: [Result<Int64, KraftError>].self) { tasks in
                for _ in 0..<4 {
                    tasks.addTask {
                        var all: [Result<Int64, KraftError>] = []
                        while !total.isSet, all.count < 100_000 {
                            let some = await group.propose([1, 1, 1], timeout: .seconds(5))
                            all += some
                            if case .failure? = some.last { break }
                        }
                        return all
                    }
                }
                let change = try? await nodes[0].changeMembers(of: "g", remove: [3])
                #expect(change != nil)
                if let change {
                    #expect((try? await end(of: change, seenFrom: nodes[0])) == .done)
                }
                try? await eventually("node 3 has no group") {
                    await nodes[2].status().groups.isEmpty
                }
                total.set()
                return await tasks.reduce(into: []) { $0 += $1 }
            }
            var done: Int64 = 0
            var open: Int64 = 0
            for outcome in outcomes {
                switch outcome {
                case .success: done += 1
                case .failure(let error) where error.code == .outcomeUnknown: open += 1
                case .failure(let error):
                    #expect([.unavailable, .notFound].contains(error.code), "\(error)")
                }
            }
            let sum = try await nodes[0].group("g", of: Counter.self).read(.sum)
            #expect((done...(done + open)).contains(sum), "\(done) \(open) \(sum)")
        }
    }

    @Test func `a witness votes and answers nothing of what it doesn't keep`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(2)
            let witness = try await cluster.startJoining(3)
            try await eventually("node 3 has joined") {
                await nodes[0].peers().contains { $0.node == 3 && $0.isAlive }
            }
            _ = try await nodes[0].group("g", of: Counter.self).propose(3)
            let change = try await nodes[0].changeMembers(of: "g", add: [.init(3, .witness)])
            #expect(try await end(of: change, seenFrom: nodes[0]) == .done)
            try await eventually("it knows") {
                (try? await witness.status(of: "g").role) == .witness
            }
            let group = try witness.group("g", of: Counter.self)
            for consistency in [
                ReadConsistency.local, .linearizable, .bounded(.seconds(9)), .lease,
            ] {
                let code = await code { () throws(KraftError) in
                    _ = try await group.read(.sum, consistency)
                }
                #expect(code == .unavailable, "\(consistency)")
            }
            let digest = await code { () throws(KraftError) in _ = try await witness.digest(of: "g")
            }
            #expect(digest == .notFound)
            // It takes writes to the leader like anybody.
            #expect(try await group.propose(4) == 7)
        }
    }

    @Test func `leases and bounds of staleness are kept, and fall back to asking`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(3) {
                $0.timing.leaseDuration = .milliseconds(500)
            }
            for node in nodes {
                let group = try node.group("g", of: Counter.self)
                let sum = try await group.propose(1)
                #expect(try await group.read(.sum, .lease) == sum)
                #expect(try await group.read(.sum, .bounded(.milliseconds(1))) == sum)
                #expect(try await group.read(.sum, .bounded(.seconds(60))) >= sum)
            }
        }
    }

    @Test func `nodes tell each other what they want known, and who has left`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(3)
            try await nodes[0].setInfo("http=h:1")
            try await eventually("the others know") {
                for node in nodes.dropFirst() {
                    let peer = await node.peers().first { $0.node == 1 }
                    guard peer?.info == "http=h:1" else { return false }
                }
                return true
            }
            let long = await code { () throws(KraftError) in
                try await nodes[0].setInfo(String(repeating: "x", count: 257))
            }
            #expect(long == .configuration)
            let change = try await nodes[0].changeMembers(of: "g", remove: [3])
            #expect(try await end(of: change, seenFrom: nodes[0]) == .done)
            try await nodes[2].leave(3)
            #expect(await nodes[2].status().hasLeft)
            try await eventually("the others know") {
                for node in nodes.prefix(2) {
                    guard await node.peers().first(where: { $0.node == 3 })?.hasLeft == true
                    else { return false }
                }
                return true
            }
            let gone = await code { () throws(KraftError) in try await nodes[0].leave(9) }
            #expect(gone == .notFound)
        }
    }

    @Test func `leaders step down and are elected when asked to`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startFounders(3)
            let old = try await leader(of: "g", among: nodes)
            try await old.stepDown("g")
            try await eventually("somebody leads again") {
                for node in nodes where try await node.status(of: "g").role == .leader {
                    return true
                }
                return false
            }
            for node in nodes {
                try await eventually("node \(node.node) leads") {
                    guard try await node.status(of: "g").role != .leader else { return true }
                    try await node.forceElection("g")
                    try await Task.sleep(for: .milliseconds(100))
                    return false
                }
            }
            #expect(try await nodes[0].group("g", of: Counter.self).propose(2) == 2)
        }
    }
}
