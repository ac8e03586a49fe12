import Foundation
import Synchronization

/// Spoils folders of nodes that are down, starts the nodes on them, and sees what they answer: a node
/// comes back by itself, or refuses with a clear word and comes back when its folder has been emptied
/// and it has joined again. One disk at a time (two that are swapped), and the next one only when all
/// nodes are well: so a majority of the disks is always whole.
final class DiskNemesis: Nemesis {
    /// How a node took it.
    private enum Answer {
        case cameBack
        /// It ended by itself, with this code and word.
        case refused(Int32, String)
        /// It runs, but the others don't let it in; their word, or its own.
        case keptOut(String)
        /// It runs, and keeps out of groups that its log may have lost something of.
        case stoodAside(String)
        /// None of these.
        case wrong(String)
    }

    private struct State {
        var counts: [String: Int] = [:]
        var total = 0
        var trouble: String?
    }

    private let cluster: ChaosCluster
    private let seed: UInt64
    private let state = Mutex(State())

    /// A node that comes back does so within this time.
    private static let patience = Duration.seconds(25)

    init(cluster: ChaosCluster, seed: UInt64) {
        self.cluster = cluster
        self.seed = seed
    }

    var total: Int { state.withLock { $0.total } }
    var trouble: String? { state.withLock { $0.trouble } }
    var summary: String {
        state.withLock { state in
            state.counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
                .joined(separator: ", ")
        }
    }

    func run(
        until end: ContinuousClock.Instant, whileTrue isWanted: @Sendable () -> Bool
    ) async {
        var random = SeededGenerator(seed: seed)
        // Every kind comes, in an order of the seed's own.
        var kinds: [DiskFault] = []
        while ContinuousClock.now < end, isWanted(), trouble == nil {
            await pause(Int.random(in: 100...600, using: &random))
            if kinds.isEmpty { kinds = DiskFault.allCases.shuffled(using: &random) }
            let victim = Int.random(in: 1...cluster.count, using: &random)
            do {
                try await commit(kinds.removeLast(), victim, &random)
                try await cluster.waitUntilWell(within: .seconds(60))
            } catch {
                state.withLock { $0.trouble = "\(error)" }
            }
        }
    }

    private func pause(_ milliseconds: Int) async {
        try? await Task.sleep(for: .milliseconds(milliseconds))
    }

    private func count(_ fault: DiskFault, _ answer: String) {
        state.withLock {
            $0.counts["\(fault.rawValue): \(answer)", default: 0] += 1
            $0.total += 1
        }
    }

    // MARK: One fault

    private func commit(
        _ fault: DiskFault, _ victim: Int, _ random: inout SeededGenerator
    ) async throws {
        if fault == .swap { return try await swap(victim, &random) }
        if fault == .olderCopy { try await copy(victim) }
        await end(victim, &random)
        var what: String
        let folder = cluster.dataFolder(victim)
        switch fault {
        case .olderCopy:
            try FileManager.default.removeItem(at: folder)
            try FileManager.default.moveItem(at: copyFolder(victim), to: folder)
            what = "put an older copy of its folder back"
        case .wipe:
            try FileManager.default.removeItem(at: folder)
            what = "took its folder away"
        default:
            guard let done = try fault.spoil(folder, &random) else {
                await cluster.restart(victim)
                return
            }
            what = done
        }
        what = "node \(victim): \(what)"
        let begin = (1...cluster.count).map { cluster.logLength($0) }
        await cluster.restart(victim)
        try await see(fault, victim, what, logsFrom: begin)
    }

    private func end(_ node: Int, _ random: inout SeededGenerator) async {
        if Bool.random(using: &random) {
            cluster.kill(node)
        } else {
            await cluster.terminate(node)
        }
    }

    private func copyFolder(_ node: Int) -> URL {
        cluster.scratchFolder.appendingPathComponent("copy-\(node)")
    }

    /// Copies a node's folder while it is down; then the node lives on for a while.
    private func copy(_ node: Int) async throws {
        cluster.kill(node)
        try FileManager.default.copyItem(at: cluster.dataFolder(node), to: copyFolder(node))
        await cluster.restart(node)
        try await cluster.waitUntilWell(within: .seconds(30))
        await pause(300)
    }

    /// Both must refuse, as the logs are somebody else's; then each gets its own back.
    private func swap(_ first: Int, _ random: inout SeededGenerator) async throws {
        let second = first % cluster.count + 1
        let nodes = [first, second]
        for node in nodes { await end(node, &random) }
        try exchange(first, second)
        for node in nodes { await cluster.restart(node) }
        for node in nodes {
            guard let code = await cluster.waitForExit(node, within: .seconds(20)) else {
                throw ChaosCluster.Trouble(
                    description: "node \(node) runs on the log of another node")
            }
            let word = cluster.lastWord(node)
            say(
                "  nodes \(first), \(second): swapped logs; "
                    + "node \(node) refused (\(code)): \(word)")
            guard code == 64 || code == 74 else {
                throw ChaosCluster.Trouble(description: "node \(node) ended with \(code): \(word)")
            }
            cluster.kill(node)
        }
        try exchange(first, second)
        for node in nodes { await cluster.restart(node) }
        count(.swap, "refused")
    }

    private func exchange(_ first: Int, _ second: Int) throws {
        let logs = [first, second].map { cluster.dataFolder($0).appendingPathComponent("wal") }
        let aside = cluster.scratchFolder.appendingPathComponent("aside")
        try FileManager.default.moveItem(at: logs[0], to: aside)
        try FileManager.default.moveItem(at: logs[1], to: logs[0])
        try FileManager.default.moveItem(at: aside, to: logs[1])
    }

    // MARK: Its answer

    private func see(
        _ fault: DiskFault, _ node: Int, _ what: String, logsFrom begin: [UInt64]
    ) async throws {
        switch await answer(of: node, logsFrom: begin) {
        case .cameBack:
            let words =
                cluster.words(of: node, from: begin[node - 1]).first
                .map { ": \($0)" } ?? ""
            say("  \(what); it came back by itself\(words)")
            count(fault, "came back")
        case .refused(let code, let word):
            say("  \(what); it refused (\(code)): \(word)")
            count(fault, "refused")
            try await cluster.replaceFolder(of: node)
        case .keptOut(let word):
            say("  \(what); it was kept out: \(word)")
            count(fault, "kept out")
            try await cluster.replaceFolder(of: node)
        case .stoodAside(let word):
            say("  \(what); it stood aside: \(word)")
            count(fault, "stood aside")
            try await cluster.replaceFolder(of: node)
        case .wrong(let word):
            throw ChaosCluster.Trouble(description: "\(what); \(word)")
        }
    }

    private func answer(of node: Int, logsFrom begin: [UInt64]) async -> Answer {
        let deadline = ContinuousClock.now + DiskNemesis.patience
        var keptOutSince: ContinuousClock.Instant?
        var damagedSince: ContinuousClock.Instant?
        while ContinuousClock.now < deadline {
            if let code = cluster.exitCode(node) {
                let word = cluster.lastWord(node)
                guard code == 64 || code == 74, !word.isEmpty else {
                    return .wrong("it ended with \(code): \(word)")
                }
                return .refused(code, word)
            }
            if await cluster.areAllWell() { return .cameBack }
            if let word = word(on: node, logsFrom: begin) {
                // It says so at its first try already; whether that was all shows soon.
                let since = keptOutSince ?? ContinuousClock.now
                keptOutSince = since
                if ContinuousClock.now - since > .seconds(2) { return .keptOut(word) }
            }
            if let word = await cluster.damage(seenBy: node) {
                // If the others replace its replicas, they do so soon.
                let since = damagedSince ?? ContinuousClock.now
                damagedSince = since
                if ContinuousClock.now - since > .seconds(12) { return .stoodAside(word) }
            }
            await pause(50)
        }
        return .wrong(
            "it neither came back nor said why: "
                + "\(cluster.words(of: node, from: begin[node - 1]))")
    }

    /// Why a node isn't let in: whoever refuses the other one says so.
    private func word(on node: Int, logsFrom begin: [UInt64]) -> String? {
        let others = (1...cluster.count).filter { $0 != node }
        for speaker in [node] + others {
            let word = cluster.words(of: speaker, from: begin[speaker - 1]).first { line in
                ["older copy", "lost its data folder", "another data folder"].contains {
                    line.contains($0)
                }
            }
            if let word { return "node \(speaker) says: \(word)" }
        }
        return nil
    }
}
