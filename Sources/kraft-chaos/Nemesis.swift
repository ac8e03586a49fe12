import Synchronization

/// Does harm to a cluster until it is enough.
protocol Nemesis: Sendable {
    /// How often it did.
    var total: Int { get }
    /// What it did, and how often.
    var summary: String { get }
    /// Why the run has failed whatever the history says.
    var trouble: String? { get }

    func run(until end: ContinuousClock.Instant, whileTrue isWanted: @Sendable () -> Bool) async
}

/// Kills, stops and cuts off nodes, one after the other, and undoes it.
final class NodeNemesis: Nemesis {
    private enum Fault: String, CaseIterable {
        case kill, stop, restart
        case isolate, pair, oneWay
        case reset, slow, killAll
    }

    private let cluster: ChaosCluster
    private let seed: UInt64
    private let counts = Mutex<[String: Int]>([:])

    init(cluster: ChaosCluster, seed: UInt64) {
        self.cluster = cluster
        self.seed = seed
    }

    var trouble: String? { nil }
    var total: Int { counts.withLock { $0.values.reduce(0, +) } }
    var summary: String {
        counts.withLock { counts in
            counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
                .joined(separator: ", ")
        }
    }

    func run(
        until end: ContinuousClock.Instant, whileTrue isWanted: @Sendable () -> Bool
    ) async {
        var random = SeededGenerator(seed: seed)
        while ContinuousClock.now < end, isWanted() {
            await pause(Int.random(in: 100...900, using: &random))
            guard let fault = Fault.allCases.randomElement(using: &random) else { continue }
            // Losing all nodes at once is for now and then.
            if fault == .killAll, Int.random(in: 0..<4, using: &random) > 0 { continue }
            counts.withLock { $0[fault.rawValue, default: 0] += 1 }
            await commit(fault, &random)
        }
        cluster.network.heal()
    }

    private func pause(_ milliseconds: Int) async {
        try? await Task.sleep(for: .milliseconds(milliseconds))
    }

    private func commit(_ fault: Fault, _ random: inout SeededGenerator) async {
        let victim = Int.random(in: 1...cluster.count, using: &random)
        let other =
            (victim + Int.random(in: 1..<cluster.count, using: &random) - 1) % cluster.count + 1
        let span = Int.random(in: 100...2_500, using: &random)
        switch fault {
        case .kill:
            cluster.kill(victim)
            await pause(span / 2)
            await cluster.restart(victim)
        case .killAll:
            for node in 1...cluster.count { cluster.kill(node) }
            await pause(span / 4)
            for node in 1...cluster.count { await cluster.restart(node) }
        case .stop:
            cluster.signal(victim, isStopped: true)
            await pause(span)
            cluster.signal(victim, isStopped: false)
        case .restart:
            await cluster.terminate(victim)
            await cluster.restart(victim)
        case .isolate:
            for node in 1...cluster.count where node != victim {
                cluster.network.cut(victim, node, isBothWays: true)
            }
            await pause(span)
            cluster.network.heal()
        case .pair:
            cluster.network.cut(victim, other, isBothWays: true)
            await pause(span)
            cluster.network.heal()
        case .oneWay:
            cluster.network.cut(victim, other, isBothWays: false)
            await pause(span)
            cluster.network.heal()
        case .reset:
            cluster.network.reset()
        case .slow:
            cluster.network.setDelay(milliseconds: Int.random(in: 5...150, using: &random))
            await pause(span)
            cluster.network.setDelay(milliseconds: 0)
        }
    }
}
