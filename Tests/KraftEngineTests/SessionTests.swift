import KraftEngine
import KraftRouting
import KraftTestKit
import RaftCore
import Testing

extension Cluster {
    /// Proposes within a session and waits for the outcome.
    fileprivate func write(
        _ id: UInt64, _ session: UInt64, _ sequence: UInt64, on node: NodeID, route: Epoch? = nil,
        timeout: Nanoseconds = .seconds(5)
    ) -> RequestOutcome<UInt64> {
        let request = propose(
            on: node, group: "g", AuditLog.Command(id: id),
            session: SessionTag(session: SessionID(session), sequence: sequence),
            timeout: timeout, route: route)
        _ = run(atMost: .seconds(20)) { isEnded(request) }
        return outcome(of: request)
    }

    @discardableResult
    fileprivate func change(
        _ change: SessionChange, on node: NodeID
    ) -> RequestOutcome<[UInt8]> {
        let request = changeSessions(on: node, group: "g", change)
        _ = run(atMost: .seconds(20)) { isEnded(request) }
        return sessionOutcome(of: request)
    }

    @discardableResult
    fileprivate func open(
        _ session: UInt64, ttl: UInt64 = 60_000, on node: NodeID
    ) -> RequestOutcome<[UInt8]> {
        change(.open(SessionID(session), ttlMilliseconds: ttl), on: node)
    }

    fileprivate func ids(on node: NodeID) -> [UInt64]? { machine(of: "g", on: node)?.ids }
}

extension RequestOutcome {
    fileprivate var index: LogIndex? { if case .done(let index, _) = self { index } else { nil } }
    fileprivate var refusal: Completion.Refusal? {
        if case .refused(let refusal) = self { refusal } else { nil }
    }
    fileprivate var isUnknown: Bool { if case .unknown = self { true } else { false } }
}

@Suite("Sessions: a command takes effect once")
struct SessionTests {
    @Test("The same sequence through every node takes effect once and answers the same")
    func everyNode() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        #expect(cluster.open(9, on: cluster.other(than: leader)).isDone)
        cluster.write(1, on: leader)
        let first = cluster.write(2, 9, 1, on: cluster.other(than: leader))
        #expect(first.value == 2)
        cluster.write(3, on: leader)
        for node in cluster.nodeIDs + cluster.nodeIDs {
            let again = cluster.write(2, 9, 1, on: node)
            #expect(again.index == first.index && again.value == 2)
        }
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.ids(on: node) == [1, 2, 3]) }
        cluster.expectClean()
    }

    @Test("A repetition in the same turn waits for the first one's reply")
    func sameTurn() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.open(9, on: leader)
        let tag = SessionTag(session: SessionID(9), sequence: 1)
        let close = SessionChange.close(SessionID(9))
        let requests = (0..<5).map { _ in
            cluster.propose(on: leader, group: "g", AuditLog.Command(id: 7), session: tag)
        }
        let closed = cluster.changeSessions(on: leader, group: "g", close)
        let late = cluster.propose(on: leader, group: "g", AuditLog.Command(id: 7), session: tag)
        let plain = cluster.propose(on: leader, group: "g", AuditLog.Command(id: 8))
        _ = cluster.run(atMost: .seconds(5)) { cluster.pendingRequests == 0 }
        let outcomes = requests.map { cluster.outcome(of: $0) }
        #expect(outcomes.allSatisfy { $0.value == 1 && $0.index == outcomes[0].index })
        #expect(cluster.sessionOutcome(of: closed).isDone)
        #expect(cluster.outcome(of: late).refusal == .sessionExpired)
        #expect(cluster.outcome(of: plain).value == 2)
        cluster.expectInStep()
        #expect(cluster.ids(on: leader) == [7, 8])
        cluster.expectClean()
    }

    @Test("A new leader answers what the old one carried out", arguments: UInt64(1)...5)
    func leaderChange(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let old = cluster.elect()
        cluster.open(9, on: old)
        let first = cluster.write(1, 9, 1, on: old)
        #expect(first.isDone)
        cluster.crash(old)
        let new = cluster.elect(except: old)
        let again = cluster.write(1, 9, 1, on: new)
        #expect(again.index == first.index && again.value == first.value)
        #expect(cluster.write(2, 9, 2, on: new).value == 2)
        cluster.restart(old)
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.ids(on: node) == [1, 2]) }
        cluster.expectClean()
    }

    @Test(
        "What was unknown is settled by a retry, and takes effect once", arguments: UInt64(1)...10)
    func unknown(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 5)
        let old = cluster.elect()
        cluster.open(9, on: old)
        // Cut off somewhere between the proposal and its answer.
        let lost = cluster.propose(
            on: old, group: "g", AuditLog.Command(id: 1),
            session: SessionTag(session: SessionID(9), sequence: 1), timeout: .seconds(2))
        cluster.run(for: .microseconds(seed * 300))
        cluster.partition([old])
        let new = cluster.elect(except: old)
        let again = cluster.write(1, 9, 1, on: new)
        #expect(again.value == 1)
        cluster.run(for: .seconds(3))
        #expect(cluster.isEnded(lost) && !cluster.outcome(of: lost).isRefused)
        cluster.heal()
        let third = cluster.write(1, 9, 1, on: old)
        #expect(third.index == again.index)
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.ids(on: node) == [1]) }
        cluster.expectClean()
    }

    @Test("Sessions and replies survive the restart of all nodes")
    func restart() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.open(9, on: leader)
        let first = cluster.write(1, 9, 1, on: leader)
        let second = cluster.write(2, 9, 5, on: leader)
        for node in cluster.nodeIDs { cluster.crash(node) }
        cluster.run(for: .seconds(200))
        for node in cluster.nodeIDs { cluster.restart(node) }
        let new = cluster.elect()
        // No leader, no time: the session has not expired.
        #expect(cluster.write(2, 9, 5, on: cluster.other(than: new)).index == second.index)
        #expect(cluster.write(1, 9, 1, on: new).index == first.index)
        #expect(cluster.write(3, 9, 3, on: new).value == 3)
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.ids(on: node) == [1, 2, 3]) }
        cluster.expectClean()
    }

    @Test("A session that is used lives on; one that isn't expires, on all replicas alike")
    func expiry() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.open(8, ttl: 10_000, on: leader)
        cluster.open(9, ttl: 10_000, on: leader)
        for sequence in UInt64(1)...5 {
            cluster.run(for: .seconds(4))
            #expect(cluster.write(sequence, 9, sequence, on: leader).isDone)
        }
        cluster.run(for: .milliseconds(9_900))
        #expect(cluster.change(.touch([SessionID(8), SessionID(9)]), on: leader).value?.count == 8)
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.sessionCount(of: "g", on: node) == 1) }
        cluster.run(for: .milliseconds(10_100))
        #expect(cluster.write(9, 9, 5, on: leader).refusal == .sessionExpired)
        #expect(cluster.write(9, 9, 6, on: leader).refusal == .sessionExpired)
        #expect(cluster.open(9, ttl: 10_000, on: leader).refusal == .sessionExpired)
        #expect(cluster.write(9, 9, 5, on: leader).refusal == .sessionExpired)
        cluster.expectInStep()
        for node in cluster.nodeIDs {
            #expect(cluster.sessionCount(of: "g", on: node) == 0)
            #expect(cluster.ids(on: node) == [1, 2, 3, 4, 5])
        }
        cluster.expectClean()
    }

    @Test("The group's clock goes on over a change of leaders")
    func clockOverLeaders() {
        let cluster = makeCluster()
        let old = cluster.elect()
        cluster.open(8, ttl: 10_000, on: old)
        cluster.open(9, ttl: 30_000, on: old)
        cluster.run(for: .seconds(6))
        cluster.crash(old)
        let new = cluster.elect(except: old)
        cluster.run(for: .seconds(6))
        #expect(cluster.write(1, 8, 1, on: new).refusal == .sessionExpired)
        #expect(cluster.write(1, 9, 1, on: new).isDone)
        cluster.expectClean()
    }

    @Test("The clock goes on however many entries are under way")
    func clockUnderLoad() {
        let cluster = makeCluster { $0.disk.syncDelay = 4_000_000...5_000_000 }
        let leader = cluster.elect()
        cluster.open(8, ttl: 2_000, on: leader)
        cluster.open(9, ttl: 60_000, on: leader)
        let end = cluster.now.rawValue + 2_500_000_000
        var sequence: UInt64 = 0
        while cluster.now.rawValue < end {
            sequence += 1
            #expect(cluster.write(sequence, 9, sequence, on: leader).isDone)
        }
        #expect(cluster.write(0, 8, 1, on: leader).refusal == .sessionExpired)
        cluster.expectClean()
    }

    @Test("256 commands may be under way in any order, and each is answered again")
    func outOfOrder() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.open(9, on: leader)
        var order = Array(UInt64(1)...256)
        var dice = Dice(seed: 8)
        for place in order.indices { order.swapAt(place, Int(dice.next() % 256)) }
        func propose() -> [LogIndex?] {
            let requests = order.enumerated().map { place, sequence in
                cluster.propose(
                    on: cluster.nodeIDs[place % 3], group: "g", AuditLog.Command(id: sequence),
                    session: SessionTag(session: SessionID(9), sequence: sequence))
            }
            _ = cluster.run(atMost: .seconds(5)) { cluster.pendingRequests == 0 }
            return requests.map { cluster.outcome(of: $0).index }
        }
        let first = propose()
        #expect(first.allSatisfy { $0 != nil })
        #expect(propose() == first)
        #expect(cluster.write(257, 9, 257, on: leader).isDone)
        #expect(cluster.write(1, 9, 1, on: leader).isUnknown)
        #expect(cluster.write(2, 9, 2, on: leader).isDone)
        cluster.expectInStep()
        #expect(cluster.ids(on: leader)?.count == 257)
        cluster.expectClean()
    }

    @Test("A stale route is refused and not remembered: the sequence may be used again")
    func staleRoute() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        cluster.open(9, on: leader)
        let stale = Epoch(rawValue: 9)
        #expect(cluster.write(1, 9, 1, on: leader, route: stale).refusal == .staleRoute)
        let right = cluster.write(1, 9, 1, on: leader, route: .first)
        #expect(right.isDone)
        // What was carried out is answered, whatever route the retry came by.
        #expect(cluster.write(1, 9, 1, on: leader, route: stale).index == right.index)
        cluster.expectInStep()
        #expect(cluster.ids(on: leader) == [1])
        cluster.expectClean()
    }

    @Test("A full table refuses more sessions until some have expired, and replicas agree")
    func full() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        for id in UInt64(1)...4_096 {
            cluster.changeSessions(
                on: leader, group: "g", .open(SessionID(id), ttlMilliseconds: 5_000))
        }
        _ = cluster.run(atMost: .seconds(5)) { cluster.pendingRequests == 0 }
        #expect(cluster.sessionCount(of: "g", on: leader) == 4_096)
        #expect(cluster.open(5_000, on: leader).refusal == .overloaded)
        #expect(cluster.write(1, 4_096, 1, on: leader).isDone)
        cluster.run(for: .seconds(6))
        #expect(cluster.open(5_000, on: leader).isDone)
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.sessionCount(of: "g", on: node) == 1) }
        cluster.expectClean()
    }

    @Test("An opening that is repeated answers the same, one with another time to live is refused")
    func opening() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        let first = cluster.open(9, on: leader)
        #expect(first.index != nil)
        #expect(cluster.open(9, on: cluster.other(than: leader)).index == first.index)
        #expect(cluster.open(9, ttl: 1_000, on: leader).refusal == .sessionTaken)
        #expect(cluster.open(0, on: leader).refusal == .malformed)
        #expect(cluster.write(1, 7, 1, on: leader).refusal == .sessionExpired)
        #expect(cluster.write(1, 9, 0, on: leader).refusal == .malformed)
        cluster.expectClean()
    }

    @Test("A member that comes later knows what was carried out before", arguments: 1...3)
    func newMember(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 4) { $0.firstVoters = 3 }
        cluster.elect()
        cluster.open(9, on: 1)
        let first = cluster.write(1, 9, 1, on: 1)
        let gone = cluster.leader(of: "g") ?? 1
        let change = MembershipChange(add: [.init(4, .voter)], remove: [gone])
        let request = cluster.changeMembers(of: "g", change, on: gone)
        let isChanged = cluster.run(atMost: .seconds(20)) {
            cluster.isEnded(request) && cluster.status(of: "g", on: 4)?.leader.isNone == false
                && cluster.sessionCount(of: "g", on: 4) == 1
        }
        #expect(isChanged)
        cluster.run(for: .seconds(1))
        let again = cluster.write(1, 9, 1, on: 4)
        #expect(again.index == first.index && again.value == first.value)
        #expect(cluster.write(2, 9, 2, on: 4).value == 2)
        cluster.run(for: .seconds(1))
        #expect(cluster.ids(on: 4) == [1, 2])
        cluster.expectClean()
    }

    @Test("With a witness, the other voter answers what the lost leader carried out")
    func witness() {
        let cluster = makeCluster(nodes: 3) { $0.firstVoters = 2 }
        let old = cluster.elect()
        let change = MembershipChange(add: [.init(3, .witness)], remove: [])
        let request = cluster.changeMembers(of: "g", change, on: old)
        _ = cluster.run(atMost: .seconds(10)) { cluster.isEnded(request) }
        cluster.run(for: .seconds(2))
        cluster.open(9, on: old)
        let first = cluster.write(1, 9, 1, on: old)
        #expect(first.isDone)
        cluster.run(for: .seconds(1))
        #expect(cluster.sessionCount(of: "g", on: 3) == 0)
        cluster.crash(old)
        let new = cluster.elect(except: old)
        #expect(cluster.write(1, 9, 1, on: new).index == first.index)
        #expect(cluster.write(1, 9, 1, on: 3).index == first.index, "the witness forwards")
        #expect(cluster.ids(on: new) == [1])
        cluster.expectClean()
    }

    @Test("Under crashes and cuts every command of a session takes effect once", arguments: 1...6)
    func chaos(seed: Int) {
        let cluster = makeCluster(seed: UInt64(seed), nodes: 3) { options in
            options.clock.skewPercent = 10
            options.network.spikePermille = 20
        }
        cluster.elect()
        #expect(cluster.open(9, ttl: 60_000, on: 1).isDone)
        var dice = Dice(seed: UInt64(seed))
        var answers: [(index: LogIndex, value: UInt64)] = []
        for sequence in UInt64(1)...60 {
            var answer: (LogIndex, UInt64)?
            var tries = 0
            while answer == nil, cluster.violations.isEmpty, tries < 200 {
                tries += 1
                let node = NodeID(UInt32(1 + dice.next() % 3))
                if dice.next() % 3 == 0 {
                    cluster.crash(node)
                    cluster.after(.milliseconds(dice.next() % 2_000)) { cluster.restart(node) }
                } else if dice.next() % 5 == 0 {
                    cluster.partition([node])
                    cluster.after(.milliseconds(dice.next() % 2_000)) { cluster.heal() }
                }
                let outcome = cluster.write(
                    sequence, 9, sequence, on: NodeID(UInt32(1 + dice.next() % 3)),
                    timeout: .milliseconds(50 + dice.next() % 1_500))
                if case .done(let index, let value) = outcome { answer = (index, value) }
                cluster.run(for: .milliseconds(dice.next() % 500))
            }
            if let answer { answers.append(answer) }
        }
        cluster.heal()
        cluster.run(for: .seconds(3))
        let leader = cluster.elect()
        for (place, answer) in answers.enumerated() {
            #expect(answer.value == UInt64(place + 1))
            let again = cluster.write(UInt64(place + 1), 9, UInt64(place + 1), on: leader)
            #expect(again.index == answer.index && again.value == answer.value)
        }
        cluster.expectInStep()
        for node in cluster.nodeIDs { #expect(cluster.ids(on: node) == Array(1...60)) }
        cluster.expectClean()
    }
}

/// Answers with as many bytes as it is told to; refuses commands that aren't whole.
struct Parrot: StateMachine, BinaryCodable {
    private(set) var count: UInt64 = 0

    init() {}
    init(from reader: inout ByteReader) throws(ByteReader.Malformed) { count = try reader.read() }
    func encode(into writer: inout ByteWriter) { writer.write(count) }

    mutating func apply(_ command: UInt64, at index: LogIndex) -> [UInt8] {
        count += 1
        return [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: Int(command))
    }
    func answer(_ query: Bool) -> UInt64 { count }
    func digest() -> UInt64 { count }
}

@Suite("Sessions: the bound on kept replies")
struct SessionReplyTests {
    @Test("A reply that had to go is unknown to a retry, which still changes nothing")
    func bound() {
        let cluster = Simulation(seed: 1, nodes: 3, groups: ["g"]) { _ in Parrot() }
        _ = cluster.run(atMost: .seconds(5)) { cluster.leader(of: "g") != nil }
        let node = cluster.leader(of: "g") ?? 1
        cluster.changeSessions(
            on: node, group: "g", .open(SessionID(9), ttlMilliseconds: 60_000))
        func propose(_ sequence: UInt64, size: UInt64) -> RequestOutcome<[UInt8]> {
            let request = cluster.propose(
                on: node, group: "g", size,
                session: SessionTag(session: SessionID(9), sequence: sequence))
            _ = cluster.run(atMost: .seconds(5)) { cluster.isEnded(request) }
            return cluster.outcome(of: request)
        }
        for sequence in UInt64(1)...3 {
            #expect(propose(sequence, size: 30_000).value?.first == UInt8(sequence))
        }
        #expect(propose(1, size: 30_000).isUnknown)
        #expect(propose(2, size: 30_000).value?.first == 2)
        #expect(propose(3, size: 30_000).value?.first == 3)
        _ = cluster.run(atMost: .seconds(5)) { cluster.isInStep("g") }
        #expect(cluster.isInStep("g"))
        #expect(cluster.machine(of: "g", on: node)?.count == 3)
        #expect(cluster.violations.isEmpty)
    }
}
