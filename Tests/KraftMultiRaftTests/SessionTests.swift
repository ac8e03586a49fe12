import Testing

@testable import KraftMultiRaft

@Suite(.timeLimit(.minutes(2)))
struct SessionTests {
    private func makeGroups(_ cluster: TestCluster) async throws -> [Group<Counter>] {
        var groups: [Group<Counter>] = []
        for node in try await cluster.startAll() {
            groups.append(try await node.createGroup("g") { Counter() })
        }
        return groups
    }

    @Test func `commands of a session number themselves and are carried out in turn`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let groups = try await makeGroups(cluster)
            let session = try await groups[0].openSession()
            for number in 1...20 as ClosedRange<Int64> {
                // The handle may be used on any node's group.
                let group = groups[Int(number) % 3]
                #expect(try await group.propose(1, session: session) == number)
            }
            try await session.touch()
            try await session.close()
            let error = await #expect(throws: KraftError.self) {
                try await groups[0].propose(1, session: session)
            }
            #expect(error?.code == .sessionExpired)
            #expect(try await groups[1].read(.sum) == 20)
        }
    }

    @Test func `the same sequence through every node answers the same, also after a restart`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            var groups = try await makeGroups(cluster)
            let id = SessionID.random()
            try await groups[1].openSession(id, ttl: .seconds(60))
            try await groups[2].openSession(id, ttl: .seconds(60))
            let first = try await groups[0].proposeIndexed(5, session: id, sequence: 1)
            #expect(first.reply == 5)
            _ = try await groups[0].propose(100)
            for group in groups {
                let again = try await group.proposeIndexed(5, session: id, sequence: 1)
                #expect(again == first)
            }
            await cluster.stopAll()
            groups = try await makeGroups(cluster)
            for group in groups {
                let again = try await group.proposeIndexed(5, session: id, sequence: 1)
                #expect(again == first)
            }
            #expect(try await groups[0].read(.sum) == 105)
            let other = await #expect(throws: KraftError.self) {
                try await groups[0].openSession(id, ttl: .seconds(59))
            }
            #expect(other?.code == .conflict)
            try await groups[0].closeSession(id)
            #expect(try await groups[1].touchSessions([id, SessionID(7)]) == [id, SessionID(7)])
            let closed = await #expect(throws: KraftError.self) {
                try await groups[2].proposeIndexed(5, session: id, sequence: 2)
            }
            #expect(closed?.code == .sessionExpired)
        }
    }

    @Test func `losing leaders costs a session neither an answer nor a doubled command`()
        async throws
    {
        try await TestCluster.with(nodes: 3) { cluster in
            let nodes = try await cluster.startAll()
            for node in nodes { _ = try await node.createGroup("g") { Counter() } }
            // The asker stays, the leaders go.
            try await nodes[1].transferLeadership(of: "g", to: 2)
            let group = try nodes[0].group("g", of: Counter.self)
            let session = try await group.openSession()
            let sums = try await withThrowingTaskGroup(of: [Int64].self) { tasks in
                for _ in 0..<8 {
                    tasks.addTask {
                        var sums: [Int64] = []
                        for _ in 0..<100 {
                            sums.append(try await group.propose(1, session: session))
                        }
                        return sums
                    }
                }
                tasks.addTask {
                    for _ in 0..<2 {
                        await cluster.stop(2)
                        let back = try await cluster.start(2)
                        _ = try await back.createGroup("g") { Counter() }
                        try? await nodes[0].transferLeadership(
                            of: "g", to: 2, timeout: .seconds(5))
                    }
                    return []
                }
                return try await tasks.reduce(into: []) { $0 += $1 }
            }
            #expect(sums.sorted() == Array(1...800))
            #expect(try await group.read(.sum) == 800)
        }
    }

    @Test func `at most 256 commands of a session are under way, and all are carried out once`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            let groups = try await makeGroups(cluster)
            let group = groups[0]
            let session = try await group.openSession()
            let sums = try await withThrowingTaskGroup(of: Int64.self) { tasks in
                for _ in 0..<1_000 {
                    tasks.addTask { try await group.propose(1, session: session) }
                }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(sums.sorted() == Array(1...1_000))
        }
    }

    @Test func `an idle session is kept alive by its handle, and expires when nobody does`()
        async throws
    {
        try await TestCluster.with(nodes: 1) { cluster in
            let groups = try await makeGroups(cluster)
            let session = try await groups[0].openSession(ttl: .seconds(2))
            let loose = SessionID.random()
            try await groups[0].openSession(loose, ttl: .seconds(1))
            try await Task.sleep(for: .milliseconds(4_500))
            #expect(try await groups[0].propose(1, session: session) == 1)
            let error = await #expect(throws: KraftError.self) {
                try await groups[0].proposeIndexed(1, session: loose, sequence: 1)
            }
            #expect(error?.code == .sessionExpired)
        }
    }

    @Test func `what can't be is refused before anything is proposed`() async throws {
        try await TestCluster.with(nodes: 1) { cluster in
            let nodes = try await cluster.startAll()
            let group = try await nodes[0].createGroup("g") { Counter() }
            let other = try await nodes[0].createGroup("other") { Counter() }
            for ttl in [Duration.milliseconds(999), .seconds(86_401), .zero, .seconds(-5)] {
                let error = await #expect(throws: KraftError.self) {
                    try await group.openSession(ttl: ttl)
                }
                #expect(error?.code == .badRequest)
            }
            let session = try await group.openSession(ttl: .seconds(86_400))
            let foreign = await #expect(throws: KraftError.self) {
                try await other.propose(1, session: session)
            }
            #expect(foreign?.code == .conflict)
            for (id, sequence) in [(SessionID(0), UInt64(1)), (session.id, 0), (session.id, .max)] {
                let error = await #expect(throws: KraftError.self) {
                    try await group.proposeIndexed(1, session: id, sequence: sequence)
                }
                #expect(error?.code == .badRequest)
            }
        }
    }

    @Test func `without a quorum a command of a session ends by its deadline`() async throws {
        try await TestCluster.with(nodes: 3) { cluster in
            let node = try await cluster.start(1)
            let group = try await node.createGroup("g") { Counter() }
            let error = await #expect(throws: KraftError.self) {
                try await group.proposeIndexed(
                    1, session: SessionID(5), sequence: 1, timeout: .milliseconds(300))
            }
            #expect(error?.code == .unavailable)
            let opening = await #expect(throws: KraftError.self) {
                try await group.openSession(timeout: .milliseconds(300))
            }
            #expect(opening?.code == .unavailable)
        }
    }
}

@Suite struct SessionRetryTests {
    private func told(_ codes: [KraftError.Code]) -> (pauses: [Duration], error: KraftError?) {
        var retries = SessionRetries(group: .test)
        var pauses: [Duration] = []
        for code in codes {
            do throws(KraftError) {
                let error = KraftError(code, "because")
                pauses.append(try retries.pause(after: error, rest: .milliseconds(100)))
            } catch {
                return (pauses, error)
            }
        }
        return (pauses, nil)
    }

    @Test func `what is known is told at once`() {
        for code in [
            KraftError.Code.unavailable, .overloaded, .badRequest, .sessionExpired, .staleRoute,
            .tooLarge, .notFound,
        ] { #expect(told([code]).error?.code == code) }
    }

    @Test func `what is unknown is tried again, with longer and longer pauses`() {
        let (pauses, error) = told([
            .outcomeUnknown, .unavailable, .outcomeUnknown, .overloaded, .unavailable,
        ])
        #expect(
            pauses == [.milliseconds(10), .milliseconds(20), .milliseconds(40), .milliseconds(80)])
        #expect(error?.code == .outcomeUnknown)
    }

    @Test func `after an unknown try, a refusal doesn't say that nothing took effect`() {
        #expect(told([.outcomeUnknown, .sessionExpired]).error?.code == .outcomeUnknown)
        #expect(told([.outcomeUnknown, .notFound]).error?.code == .outcomeUnknown)
        #expect(told([.outcomeUnknown, .staleRoute]).error?.code == .staleRoute)
        #expect(told([.outcomeUnknown, .badRequest]).error?.code == .badRequest)
    }
}

@Suite(.timeLimit(.minutes(1))) struct SessionWindowTests {
    private var soon: ContinuousClock.Instant { .now + .seconds(30) }

    @Test func `a number is given out when the one 256 before it has been answered`() async throws {
        let window = SessionWindow(group: .test)
        for number in 1...256 as ClosedRange<UInt64> {
            #expect(try await window.take(deadline: soon) == number)
        }
        for number in 2...256 as ClosedRange<UInt64> { window.answered(number) }
        let full = await #expect(throws: KraftError.self) {
            try await window.take(deadline: .now + .milliseconds(20))
        }
        #expect(full?.code == .overloaded)
        let waiting = Task { try await window.take(deadline: soon) }
        let cancelled = Task { try await window.take(deadline: soon) }
        cancelled.cancel()
        await #expect(throws: KraftError.self) { try await cancelled.value }
        window.answered(1)
        #expect(try await waiting.value == 257)
        #expect(try await window.take(deadline: soon) == 258)
    }

    @Test func `when it is closed, nobody waits any more`() async throws {
        let window = SessionWindow(group: .test)
        for _ in 1...256 { _ = try await window.take(deadline: soon) }
        let waiting = (0..<5).map { _ in Task { try await window.take(deadline: soon) } }
        window.close(KraftError(.sessionExpired, "over"))
        for task in waiting {
            let error = await #expect(throws: KraftError.self) { try await task.value }
            #expect(error?.code == .sessionExpired)
        }
        #expect(window.isClosed)
    }
}

extension GroupName {
    fileprivate static let test: GroupName = {
        guard let name = GroupName("g") else { preconditionFailure("a legal name") }
        return name
    }()
}
