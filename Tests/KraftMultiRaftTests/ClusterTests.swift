import KraftMultiRaft
import Testing

@Suite(.timeLimit(.minutes(2)))
struct ClusterTests {
    @Test func `a single node answers writes and reads and keeps them over a restart`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            var node = try await cluster.start(1)
            var group = try await node.createGroup("counters") { Counter() }
            for number in 1...10 as ClosedRange<Int64> { _ = try await group.propose(number) }
            #expect(try await group.read(.sum) == 55)
            #expect(try await group.read(.count, .local) == 10)
            let digest = try await node.digest(of: "counters")
            await cluster.stop(1)

            node = try await cluster.start(1)
            // Known from the log, but without a state machine it can't be used.
            #expect(await node.status().groups.map(\.name.string) == ["counters"])
            #expect(throws: KraftError.self) { try node.group("counters", of: Counter.self) }
            group = try await node.createGroup("counters") { Counter() }
            #expect(try await group.read(.sum) == 55)
            #expect(try await node.digest(of: "counters").digest == digest.digest)
            #expect(try await group.propose(1) == 56)
        }
    }

    @Test func `any of three nodes takes writes and reads`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [Group<Counter>] = []
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            #expect(Set(groups.map(\.id)).count == 1)
            var sum: Int64 = 0
            for round in 0..<10 {
                for group in groups {
                    sum += 1
                    #expect(try await group.propose(1) == sum)
                    let reader = groups[(round + Int(sum)) % 3]
                    #expect(try await reader.read(.sum) == sum)
                }
            }
            try await eventually("all have applied the same") {
                var digests: Set<UInt64> = []
                for node in nodes { digests.insert(try await node.digest(of: "g").digest) }
                return digests.count == 1
            }
        }
    }

    @Test func `a batch is proposed in order with one answer each`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [Group<Counter>] = []
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            var expected: Int64 = 0
            for group in groups {
                let results = await group.propose(Array(repeating: 1, count: 1_000))
                let sums = try results.map { try $0.get() }
                #expect(sums == (expected + 1...expected + 1_000).map { $0 })
                expected += 1_000
            }
            #expect(await groups[0].propose([]).isEmpty)
            let (index, reply) = try await groups[0].proposeIndexed(5)
            #expect(reply == 3_005)
            #expect(index > LogIndex(3_000))
            let read = try await groups[1].readIndexed(.sum)
            #expect(read.answer == 3_005)
            #expect(read.index >= index)
        }
    }

    @Test func `leadership goes where it is sent, and an unknown target is refused`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            for node in nodes { _ = try await node.createGroup("g") { Counter() } }
            let old = try await leader(of: "g", among: nodes)
            let target = try #require([1, 2, 3].first { $0 != old.node })
            try await nodes[0].transferLeadership(of: "g", to: target)
            try await eventually("the target leads") {
                try await nodes[Int(target.rawValue) - 1].status(of: "g").role == .leader
            }
            let error = await #expect(throws: KraftError.self) {
                try await nodes[0].transferLeadership(of: "g", to: 9)
            }
            #expect(error?.code == .unavailable)
        }
    }

    @Test func `when its leader's node goes, a group has another one and has lost nothing`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [NodeID: Group<Counter>] = [:]
            for node in nodes {
                groups[node.node] = try await node.createGroup("g") { Counter() }
            }
            let old = try await leader(of: "g", among: nodes)
            let survivor = try #require(nodes.first { $0 !== old })
            let group = try #require(groups[survivor.node])
            for _ in 0..<100 { _ = try await group.propose(1) }
            await cluster.stop(old.node)
            #expect(try await group.propose(1) == 101)
            #expect(try await group.read(.sum) == 101)

            let back = try await cluster.start(old.node)
            let returned = try await back.createGroup("g") { Counter() }
            #expect(try await returned.read(.sum) == 101)
        }
    }

    @Test func `without a quorum a write ends by its deadline and a read says unavailable`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            let write = await #expect(throws: KraftError.self) {
                try await group.propose(1, timeout: .milliseconds(300))
            }
            #expect(write?.code == .unavailable)
            #expect(write?.group?.string == "g")
            let read = await #expect(throws: KraftError.self) {
                try await group.read(.sum, timeout: .milliseconds(300))
            }
            #expect(read?.code == .unavailable)
            #expect(try await group.read(.sum, .local) == 0)
        }
    }

    @Test func `a cancelled proposal returns at once with an unknown outcome`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            let task = Task { () -> Result<Int64, KraftError> in
                do throws(KraftError) {
                    return .success(try await group.propose(1, timeout: .seconds(100)))
                } catch {
                    return .failure(error)
                }
            }
            // It waits for a leader that never comes; by now it has been made, or will be refused.
            try await Task.sleep(for: .milliseconds(50))
            task.cancel()
            guard case .failure(let error) = await task.value else {
                Issue.record("succeeded without a quorum")
                return
            }
            #expect(error.code == .outcomeUnknown || error.code == .unavailable)
        }
    }

    @Test func `tasks may live on the loop, and go on when it has ended`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            let executor = try #require(node.taskExecutor)
            let stopped = Flag()
            let tasks = (0..<4).map { _ in
                Task(executorPreference: executor) {
                    for _ in 0..<250 { _ = try await group.propose(1) }
                    while !stopped.isSet { await Task.yield() }
                    return await #expect(throws: KraftError.self) {
                        try await group.propose(1)
                    }?.code
                }
            }
            try await eventually("all are through") { try await group.read(.sum) == 1_000 }
            await cluster.stop(1)
            stopped.set()
            for task in tasks {
                #expect(try await task.value == .unavailable)
            }
        }
    }

    @Test func `many tasks at once get each its own answer`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            var groups: [Group<Counter>] = []
            for node in nodes { groups.append(try await node.createGroup("g") { Counter() }) }
            let sums = try await withThrowingTaskGroup(of: Int64.self) { [groups] tasks in
                for number in 0..<900 {
                    tasks.addTask { try await groups[number % 3].propose(1) }
                }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(sums) == Set(1...900))
        }
    }
}
