import KraftRouting
import RaftCore

@testable import KraftEngine
@testable import KraftTestKit

/// Cuts the first node's power at each step of its disk, in copies of the cluster: what it promised
/// must be there, and all must live on.
final class CrashProof {
    private typealias Cut = SimulatedDisk.PowerCut

    private(set) var points = 0
    /// Power cuts, those in recoveries and in lives after one too.
    private(set) var cuts = 0
    private(set) var cutsInRecovery = 0
    private(set) var livesAfterTwo = 0
    private(set) var clustersLivedOn = 0
    private(set) var stepsReached = [Int](repeating: 0, count: LifeStep.allCases.count)
    /// By what was written when the power failed in between.
    private(set) var recordsReached: [RecordKind: Int] = [:]
    /// Operations of a starting node after which the power failed: the most.
    private(set) var operationsReached = 0
    private(set) var tornTails: UInt64 = 0
    private var seed: UInt64

    init(seed: UInt64) { self.seed = seed }

    private func nextSeed() -> UInt64 {
        seed += 1
        return seed
    }

    /// Ends a copy's life where another one begins.
    private struct Abandoned: Error {}

    /// Every step is such a point: all three ways of losing what wasn't durable are tried.
    func crash(_ life: CrashableCluster, at step: LifeStep) throws {
        points += 1
        stepsReached[step.rawValue] += 1
        if step == .syncWrite || step == .tellWrite {
            for kind in life.nodes[CrashableCluster.victim].recordsUnderWay {
                recordsReached[kind, default: 0] += 1
            }
        }
        let partly: [Cut] = [.torn, .hole, .mixed]
        let kinds: [Cut] = [.lost, .kept, partly[points % 3]]
        for (place, cut) in kinds.enumerated() {
            do {
                let after = CrashableCluster(after: life, cut, seed: nextSeed())
                cuts += 1
                let isTwice = points % 3 == place
                let isStarted = try isTwice && startsDespiteCut(after, points / 3 % 12)
                if !isStarted { _ = try after.startVictim(cut) }
                try check(after, against: life)
                // The whole cluster goes on after one of the three.
                guard (points + place) % 3 == 1 else { continue }
                try liveOn(after, isCutAgain: points % 4 == 0)
            } catch {
                throw LifeFinding("point \(points), before \(step), \(cut): \(error)")
            }
        }
    }

    /// The power fails again while the node recovers, if it does so many operations.
    private func startsDespiteCut(_ after: CrashableCluster, _ operations: Int) throws -> Bool {
        let cut = Cut.allCases[points % Cut.allCases.count]
        if try after.startVictim(operationsUntilCrash: operations, cut) { return true }
        cuts += 1
        cutsInRecovery += 1
        operationsReached = max(operationsReached, operations)
        return false
    }

    // MARK: What a start finds

    /// What the node had promised before the power failed is there.
    private func check(_ after: CrashableCluster, against life: CrashableCluster) throws {
        let (dead, node) = (life.nodes[CrashableCluster.victim], after.nodes[0])
        tornTails += node.engine.rare.tornTailsDropped
        guard node.engine.rare.damagesFound == 0 else {
            throw LifeFinding("damage: \(node.engine.effects.notices)")
        }
        guard node.engine.bootRecord.store == dead.engine.bootRecord.store else {
            throw LifeFinding("another store")
        }
        for (group, nodes) in life.ledger.removed
        where nodes.contains(1) && node.engine.slot(of: group) != nil {
            throw LifeFinding("group \(group) is back")
        }
        for slot in dead.engine.slots {
            let id = dead.engine.id(of: slot)
            guard let place = node.engine.slot(of: id) else {
                if life.ledger.opened[id]?.contains(1) == true {
                    throw LifeFinding("group \(id) is gone")
                }
                continue
            }
            try check(
                node.engine.groups[place.rawValue], on: node.disk,
                against: dead.engine.groups[slot.rawValue])
            try checkPromises(of: node.engine.groups[place.rawValue], life)
        }
    }

    /// What the dead process took for durable was.
    private func check(
        _ group: borrowing Group, on disk: SimulatedDisk, against dead: borrowing Group
    ) throws {
        let (raft, before) = (group.raft, dead.raft)
        if group.isDamaged { throw LifeFinding("\(group.name) is damaged") }
        guard raft.log.base.index <= before.log.base.index else {
            throw LifeFinding("\(group.name) begins behind \(raft.log.base.index)")
        }
        try compare(group, before.log, upTo: before.durableIndex, "it was durable")
        if let snapshot = group.snapshot {
            let file = disk.snapshot(snapshot.name)
            guard let file, UInt64(file.bytes.count) == snapshot.byteCount,
                SnapshotFile.isSound(file.bytes, snapshot.name)
            else { throw LifeFinding("\(group.name)'s snapshot isn't there") }
        }
    }

    private func compare(
        _ group: borrowing Group, _ log: LogTerms, upTo last: LogIndex, _ why: String
    ) throws {
        guard group.raft.log.lastIndex >= last else {
            throw LifeFinding(
                "\(group.name) ends with \(group.raft.log.lastIndex), not \(last): \(why)")
        }
        var index = max(group.raft.log.base.index, log.base.index)
        while index < last {
            index = index.next
            guard group.raft.log.term(at: index) == log.term(at: index) else {
                throw LifeFinding("\(group.name) has another entry \(index): \(why)")
            }
        }
    }

    /// What others were told is so: entries that were acknowledged, and votes.
    private func checkPromises(of group: borrowing Group, _ life: CrashableCluster) throws {
        for place in 1..<life.nodes.count {
            let peer = life.nodes[place]
            guard let slot = peer.engine.slot(of: group.id) else { continue }
            let raft = peer.engine.groups[slot.rawValue].raft
            guard raft.isLeader, let own = raft.membership.position(of: 1) else { continue }
            let match = raft.progress[own].match
            let voters = raft.membership.members.count
            if match > .zero || voters == 2 {
                guard group.raft.term >= raft.term else {
                    throw LifeFinding("\(group.name) forgot term \(raft.term)")
                }
            }
            if voters == 2, group.raft.term == raft.term,
                group.raft.hardState.vote != NodeID(UInt32(place + 1))
            {
                throw LifeFinding("\(group.name) forgot its vote in term \(raft.term)")
            }
            // A later leader may have overwritten what this one was told.
            guard isCurrent(raft.term, group.id, life) else { continue }
            try compare(group, raft.log, upTo: match, "it was acknowledged")
        }
    }

    private func isCurrent(_ term: Term, _ group: GroupID, _ life: CrashableCluster) -> Bool {
        let dead = life.nodes[CrashableCluster.victim]
        guard let slot = dead.engine.slot(of: group) else { return false }
        return dead.engine.groups[slot.rawValue].raft.term == term
    }

    // MARK: Afterwards

    private func liveOn(_ after: CrashableCluster, isCutAgain: Bool) throws {
        if isCutAgain {
            var left = points / 4 % 24
            after.onStep = { [unowned self, unowned after] step in
                left -= 1
                guard left < 0 else { return }
                after.onStep = nil
                let again = CrashableCluster(
                    after: after, Cut.allCases[points % Cut.allCases.count], seed: nextSeed())
                cuts += 1
                _ = try again.startVictim(.any)
                try check(again, against: after)
                try liveOn(again, isCutAgain: false)
                livesAfterTwo += 1
                throw Abandoned()
            }
        }
        do {
            try after.startOthers()
            try CrashProof.expectLife(of: after)
            clustersLivedOn += 1
        } catch is Abandoned {}
    }

    /// Every group takes a write, and its replicas agree, on what was acknowledged above all.
    static func expectLife(of cluster: CrashableCluster) throws {
        let names = cluster.wishes.filter(\.isWanted).map(\.name)
        let isLed = try cluster.run(atMost: 20_000) {
            names.allSatisfy { cluster.leader(of: $0) != nil }
        }
        guard isLed else { throw LifeFinding("not all groups have leaders") }
        var waiting = names
        for _ in 0..<5 where !waiting.isEmpty {
            var tokens: [(GroupName, RequestToken)] = []
            for name in waiting {
                guard let place = cluster.leader(of: name),
                    let token = try cluster.propose(name, on: place, padding: 30)
                else { continue }
                tokens.append((name, token))
            }
            _ = try cluster.run(atMost: 5_000) { tokens.allSatisfy { cluster.isDone($0.1) } }
            let done = tokens.filter { cluster.isDone($0.1) }.map(\.0)
            waiting.removeAll { done.contains($0) }
        }
        guard waiting.isEmpty else { throw LifeFinding("\(waiting) take no writes") }
        for name in names { try expectAgreement(on: name, in: cluster) }
    }

    private static func expectAgreement(
        on name: GroupName, in cluster: CrashableCluster
    ) throws {
        guard let leader = cluster.leader(of: name), let slot = cluster.slot(name, leader) else {
            throw LifeFinding("nobody leads \(name) any more")
        }
        let node = cluster.nodes[leader]
        let (id, ids) = (node.engine.id(of: slot), node.ids(slot))
        let ledger = cluster.ledger
        guard Set(ids).count == ids.count, ledger.proposed[id]?.isSuperset(of: ids) == true else {
            throw LifeFinding("\(name) holds what nobody proposed, or something twice: \(ids)")
        }
        let lost = Set(ledger.acknowledged[id] ?? []).subtracting(ids)
        guard lost.isEmpty else { throw LifeFinding("\(name) lost \(lost.sorted())") }
        let sessions = node.engine.sessionCount(of: slot)
        guard sessions >= ledger.sessions[id] ?? 0 else {
            throw LifeFinding("\(name) has \(sessions) sessions")
        }
        let isEqual = try cluster.run(atMost: 10_000) {
            let membership = node.engine.groups[slot.rawValue].raft.membership
            return membership.members.allSatisfy { member in
                let place = Int(member.node.rawValue) - 1
                guard let slot = cluster.slot(name, place) else { return false }
                let raft = cluster.nodes[place].engine.groups[slot.rawValue].raft
                return raft.membership == membership && cluster.nodes[place].ids(slot) == ids
            }
        }
        guard isEqual else { throw LifeFinding("\(name)'s replicas differ") }
    }
}
