import KraftRouting
import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

/// Damaged replicas and what becomes of them, on whole nodes with simulated disks.
@Suite("The repair of damaged replicas")
struct RepairTests {
    private func kind(_ cluster: Cluster, of node: NodeID, _ group: String = "g") -> MemberKind? {
        guard let leader = cluster.leader(of: group) else { return nil }
        return cluster.status(of: group, on: leader)?.members.first { $0.node == node }?.kind
    }

    private func decay(_ cluster: Cluster, _ node: NodeID) {
        let isDone = cluster.run(atMost: .seconds(10), lookingEvery: .milliseconds(3)) {
            cluster.decayLog(of: node, isSevere: true)
        }
        #expect(isDone && !cluster.isRunning(node), "nothing decayed; \(cluster.violations)")
    }

    private func expectHealed(
        _ cluster: Cluster, _ groups: [String] = ["g"], within span: Nanoseconds = .seconds(60)
    ) {
        let isHealed = cluster.run(atMost: span, lookingEvery: .milliseconds(10)) {
            cluster.isOpen
                && groups.allSatisfy {
                    cluster.isHealed($0) && !cluster.isChanging($0) && cluster.leader(of: $0) != nil
                        && cluster.strays(of: $0).isEmpty
                }
        }
        #expect(isHealed, "not healed; \(cluster.violations)")
    }

    @Test("A node whose log is damaged comes back as what it was, by itself", arguments: 1...12)
    func healed(seed: UInt64) {
        let cluster = makeCluster(seed: seed)
        let leader = cluster.elect()
        for id in UInt64(1)...40 { cluster.write(id, on: leader, padding: 400) }
        let node = seed % 2 == 0 ? leader : cluster.other(than: leader)
        decay(cluster, node)
        cluster.run(for: .seconds(3))
        for id in UInt64(41)...50 { cluster.write(id, on: cluster.other(than: node)) }
        cluster.restart(node)
        expectHealed(cluster)
        #expect(kind(cluster, of: node) == .voter)
        cluster.expectInStep()
        cluster.expectHolds(Array(1...50))
        #expect(cluster.coverage[.replacementsBegun] >= 1)
        #expect(cluster.coverage[.replacementsDone] >= 1)
        // It counts again: another may go.
        cluster.crash(cluster.other(than: node))
        cluster.elect()
        #expect(cluster.write(1_000, on: node, timeout: .seconds(10)).isDone)
        cluster.expectClean()
    }

    @Test("Learners and witnesses come back as learners and witnesses", arguments: 1...4)
    func otherKinds(seed: UInt64) {
        for kind in [MemberKind.learner, .witness] {
            let cluster = makeCluster(seed: seed, nodes: 4) { $0.firstVoters = 3 }
            let leader = cluster.elect()
            for id in UInt64(1)...10 { cluster.write(id, on: leader) }
            let change = MembershipChange(add: [.init(4, kind)])
            let request = cluster.changeMembers(of: "g", change, on: leader)
            _ = cluster.run(atMost: .seconds(20), lookingEvery: .milliseconds(10)) {
                cluster.isEnded(request) && self.kind(cluster, of: 4) == kind
                    && !cluster.isChanging("g")
            }
            decay(cluster, 4)
            cluster.restart(4)
            expectHealed(cluster)
            #expect(self.kind(cluster, of: 4) == kind)
            cluster.expectInStep()
            cluster.expectClean()
        }
    }

    @Test("A state that is lost with its snapshot is brought again", arguments: 1...4)
    func lostState(seed: UInt64) {
        let cluster = makeCluster(seed: seed) { options in
            options.snapshots.entryLimit = 10
            options.snapshots.tailEntries = 0
        }
        let leader = cluster.elect()
        for id in UInt64(1)...30 { cluster.write(id, on: leader) }
        let node = cluster.other(than: leader)
        #expect(cluster.decaySnapshot(of: node))
        cluster.restart(node)
        expectHealed(cluster)
        #expect(kind(cluster, of: node) == .voter)
        cluster.expectInStep()
        cluster.expectHolds(Array(1...30))
        #expect(cluster.coverage[.statesLost] == 1)
        cluster.expectClean()
    }

    @Test("Leaders that change and nodes that start again delay it, and no more", arguments: 1...12)
    func interrupted(seed: UInt64) {
        let cluster = makeCluster(seed: seed, nodes: 5)
        let leader = cluster.elect()
        for id in UInt64(1)...20 { cluster.write(id, on: leader) }
        let node = cluster.other(than: leader)
        decay(cluster, node)
        cluster.restart(node)
        for round in 0..<6 {
            cluster.run(for: .milliseconds(20 + 37 * UInt64(round) + seed * 7 % 60))
            switch round % 3 {
            case 0: cluster.crash(node)
            case 1: if let leader = cluster.leader(of: "g") { cluster.crash(leader) }
            default: if let leader = cluster.leader(of: "g") { cluster.stepDown("g", on: leader) }
            }
            cluster.run(for: .milliseconds(100 * (seed % 4)))
            for other in cluster.nodeIDs { cluster.restart(other) }
        }
        expectHealed(cluster)
        #expect(kind(cluster, of: node) == .voter)
        cluster.expectInStep()
        cluster.expectHolds(Array(1...20))
        cluster.expectClean()
    }

    @Test("Only a few groups at once are brought in again", arguments: 1...2)
    func fewAtOnce(seed: UInt64) {
        let names = (1...12).map { "g\($0)" }
        let cluster = makeCluster(seed: seed, groups: names) { $0.limits.repairsAtOnce = 1 }
        for name in names { cluster.elect(name) }
        for name in names { cluster.write(1, on: 1, group: name) }
        decay(cluster, 3)
        cluster.restart(3)
        expectHealed(cluster, names)
        #expect(cluster.coverage[.repairsHeldBack] > 0)
        #expect(cluster.coverage[.replacementsDone] >= 12)
        cluster.expectClean()
    }

    @Test("Where no majority is sound nothing happens by itself, and the status says why")
    func noQuorum() {
        let cluster = makeCluster(nodes: 2)
        cluster.elect()
        for id in UInt64(1)...10 { cluster.write(id, on: 1) }
        cluster.run(for: .seconds(1))
        #expect(!cluster.decayLog(of: 2), "the group can't do without it")
        #expect(cluster.decayLog(of: 2, isSevere: true, evenIfNeeded: true))
        cluster.restart(2)
        cluster.run(for: .seconds(30))
        #expect(cluster.status(of: "g", on: 2)?.state == .damaged)
        #expect(cluster.leader(of: "g") == nil)
        #expect(cluster.coverage[.replacementsBegun] == 0)
        let states = cluster.status(of: "g", on: 1)?.replicas.map(\.state)
        #expect(states?.last == "damaged")
        #expect(cluster.status(of: "g", on: 2)?.members.count == 2)
        cluster.expectClean()
    }

    @Test("A change that would need a damaged member waits until it is replaced")
    func changeWaits() {
        let cluster = makeCluster()
        let leader = cluster.elect()
        for id in UInt64(1)...10 { cluster.write(id, on: leader) }
        let others = cluster.others(than: leader)
        decay(cluster, others[0])
        cluster.restart(others[0])
        // Until it is told of the damage the leader knows nothing of it.
        _ = cluster.run(atMost: .seconds(10)) { cluster.coverage[.damagesTold] > 0 }
        let request = cluster.changeMembers(
            of: "g", MembershipChange(remove: [others[1]]), on: leader)
        _ = cluster.run(atMost: .seconds(20)) { cluster.isEnded(request) }
        expectHealed(cluster)
        cluster.expectInStep()
        cluster.expectClean()
    }
}

/// What is said about damage, and what configurations say of those who come back.
@Suite("Repair in bytes")
struct RepairCodingTests {
    private let id = ReplicaID(added: .init(index: LogIndex(40), term: Term(3)))

    @Test("a membership with members that return comes back, and others are written as ever")
    func membership() throws {
        for returning in [MemberSet(), MemberSet(mask: 0b100)] {
            let membership = try #require(
                Membership(
                    members: [Replica(1), Replica(2), Replica(3, id)], voters: MemberSet(mask: 3),
                    outgoing: MemberSet(), witnesses: MemberSet(), returning: returning, goal: nil,
                    finished: nil))
            let bytes = membership.encoded
            #expect(bytes[0] == (returning.isEmpty ? 1 : 2))
            #expect(try bytes.withUnsafeBytes { try Membership.decode($0) } == membership)
        }
    }

    @Test("the word of a damaged replica and an invitation come back as they were sent")
    func messages() throws {
        var told = [UInt8](repeating: 0, count: NodeMessage.UnknownReplica.size)
        told.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var out = FieldWriter(base, .damagedReplica)
            out.put(UInt64(9))
            out.put(id)
        }
        #expect(told[0] == 34)
        try told.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard case .damagedReplica(let found) = try WireMessage.read(from: &reader) else {
                Issue.record("another message")
                return
            }
            #expect(found.group == GroupID(9) && found.replica == id && reader.remaining == 0)
        }
        let record = GroupRecord(
            name: try #require(GroupName("g")), incarnation: 2, replica: id,
            base: try #require(Membership(voters: [1, 2])), isDamaged: true)
        var writer = ByteWriter()
        writer.write(MessageTag.invitation.rawValue)
        writer.write(UInt64(9))
        writer.write(UInt64(77))
        writer.write(raw: record.encoded)
        try writer.bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            guard case .invitation(let found) = try WireMessage.read(from: &reader) else {
                Issue.record("another message")
                return
            }
            #expect(found.boot == 77 && found.record == record && reader.remaining == 0)
        }
    }
}
