import KraftTestKit
import RaftCore
import Testing

@testable import KraftEngine

/// Entries that another leader's take the place of, while something still waits for them.
@Suite("Overwritten entries")
struct OverwrittenTests {
    /// Five nodes, the first of which leads; nothing is under way.
    private func led() throws -> ByteCluster {
        let cluster = try ByteCluster(5)
        // Nobody else can be heard by enough others.
        cluster.isCut = { from, to in from != 1 && to != 1 }
        try #require(cluster.run(atMost: .seconds(20)) { cluster.leader == 0 })
        cluster.isCut = nil
        cluster.run(.seconds(1))
        try #require(cluster.leader == 0)
        return cluster
    }

    @Test("a write that ends after its entries were overwritten makes nothing in their place durable")
    func lateWrite() throws {
        let cluster = try led()
        let before = try #require(cluster.glance(1)?.durableIndex)
        cluster.nodes[1].isDiskHeld = true
        // 1 and 2 are apart from the others, who will elect anew.
        var apart: Set<NodeID> = [1, 2]
        cluster.isCut = { apart.contains($0) != apart.contains($1) }
        _ = cluster.propose(1, on: 0)
        cluster.run(.milliseconds(10))
        _ = cluster.propose(2, on: 0)
        cluster.run(.milliseconds(10))
        #expect(cluster.nodes[1].heldWrites.count == 1, "the second entry waits for the first")
        // Now 2 is with the others. It hears of their term, but nothing else of their leader.
        apart = [1]
        let term = try #require(cluster.glance(1)?.term)
        cluster.isCut = { from, to in
            apart.contains(from) != apart.contains(to)
                || to == 2 && cluster.nodes[Int(from.rawValue) - 1].isLeading
        }
        #expect(
            cluster.run(atMost: .seconds(20)) {
                cluster.leader(besides: 0) != nil && (cluster.glance(1)?.term ?? term) > term
            })
        // The first write ends; the one with the second entry and the new term begins. Then the
        // new leader's entries come, and take the place of both.
        cluster.releaseWrite(of: 1)
        cluster.run(.milliseconds(1))
        func dump(_ w: String) { for i in 0..<5 { let g = cluster.glance(i)!; print(w, i + 1, cluster.now, g.role, g.term, g.leader, g.lastIndex, g.durableIndex, g.commitIndex, cluster.nodes[i].heldWrites.count) } }
        dump("A")
        defer { dump("B") }
        cluster.isCut = { apart.contains($0) != apart.contains($1) }
        #expect(
            cluster.run(atMost: .seconds(5)) {
                cluster.glance(1)?.leader == cluster.leader(besides: 0).map { cluster.nodes[$0].id }
                    && (cluster.glance(1)?.durableIndex ?? .zero) == before
            })
        cluster.releaseWrite(of: 1)
        cluster.run(.milliseconds(1))
        #expect(cluster.glance(1)?.durableIndex == before)
    }

    @Test("a command that was overwritten here isn't called refused while it lives elsewhere")
    func livesElsewhere() throws {
        let cluster = try led()
        // The command reaches 2 alone.
        cluster.isCut = { from, to in ![1, 2].contains(from) || ![1, 2].contains(to) }
        let token = cluster.propose(7, on: 0)
        cluster.run(.milliseconds(10))
        // One of the others leads, and reaches 1 alone.
        cluster.isCut = { from, to in
            guard from != 2, to != 2 else { return true }
            let isFromNew = from != 1 && cluster.nodes[Int(from.rawValue) - 1].isLeading
            return isFromNew ? to != 1 : from == 1
        }
        func dump(_ w: String) { for i in 0..<5 { let g = cluster.glance(i)!; print(w, i + 1, cluster.now, g.role, g.term, g.leader, g.lastIndex, g.durableIndex, g.commitIndex, cluster.nodes[i].heldWrites.count) } }
        dump("C")
        defer { dump("D") }
        let overwritten = cluster.run(atMost: .seconds(30)) {
            guard let new = cluster.leader(besides: 0), let leader = cluster.glance(0)?.leader
            else { return false }
            return leader == cluster.nodes[new].id
                && cluster.glance(0)?.lastIndex == cluster.glance(new)?.lastIndex
        }
        try #require(overwritten)
        let lost = try #require(cluster.glance(0)?.leader)
        expectNotRefused(cluster, token)
        // That one is gone, and 2 leads those that have heard of neither.
        cluster.isCut = { from, to in [lost, 1].contains(from) || [lost, 1].contains(to) }
        try #require(cluster.run(atMost: .seconds(60)) { cluster.nodes[1].isLeading })
        #expect(cluster.run(atMost: .seconds(5)) { cluster.nodes[1].machine.ids == [7] })
        // 1 hears of it: the command took effect.
        cluster.isCut = { from, to in from == lost || to == lost }
        #expect(cluster.run(atMost: .seconds(10)) { cluster.nodes[0].machine.ids == [7] })
        expectNotRefused(cluster, token)
    }

    private func expectNotRefused(_ cluster: ByteCluster, _ token: RequestToken) {
        if case .refused? = cluster.nodes[0].done[token] {
            Issue.record("a command that may still take effect was called refused")
        }
    }
}

extension ByteCluster.Node {
    fileprivate var isLeading: Bool {
        slot.map { engine.glance(at: $0).role == .leader } ?? false
    }
}

extension ByteCluster {
    fileprivate func leader(besides place: Int) -> Int? {
        nodes.indices.first { $0 != place && nodes[$0].isLeading }
    }
}
