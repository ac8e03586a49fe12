import KraftEngine
import RaftCore

/// What one seed means: the size of the cluster, its settings, its faults and its load.
///
/// Swarm testing (Groce et al., 2012): each seed switches a random subset of the faults on and
/// turns the knobs anew, so that rare combinations come up and common faults don't hide others.
public struct Plan: Sendable, CustomStringConvertible {
    public var seed: UInt64
    public var nodes = 3
    public var groups = ["a"]
    public var options = SimulationOptions()
    public var faults: [Fault] = []
    /// Nanoseconds from one fault to the next.
    public var faultInterval: ClosedRange<UInt64> = 100_000_000...1_000_000_000
    /// The longest that a fault lasts, in nanoseconds.
    public var repairTime: UInt64 = 2_000_000_000
    /// Of 1,000 starts, how many lose power while they recover.
    public var bootCrashPermille = 0
    /// How long faults and load go on, before the calm.
    public var duration = Nanoseconds.seconds(10)
    public var load = Load()

    public struct Load: Sendable {
        public var clients = 4
        /// Nanoseconds from an answer to the client's next request.
        public var thinkTime: ClosedRange<UInt64> = 1_000_000...50_000_000
        public var readPermille = 300
        /// A client makes up to this many writes at once, and waits for one of them.
        public var burst = 1
        /// Of 1,000 writes, how many carry a big command.
        public var bigPermille = 20
        /// Of 1,000 writes, how many carry an epoch that is the group's own; as many a wrong one.
        public var routePermille = 30
        public var timeout: ClosedRange<UInt64> = 50_000_000...4_000_000_000
        public init() {}
    }

    public init(seed: UInt64) { self.seed = seed }

    /// The plan that this seed stands for.
    public static func drawn(from seed: UInt64) -> Plan {
        var random = SeededRandom(seed: seed, stream: 9)
        var plan = Plan(seed: seed)
        plan.nodes = random.pick(3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 4, 2, 1)
        plan.groups = (0..<random.number(in: 1...6)).map { "group-\($0)" }
        plan.options.checks.commandsAreUnique = true
        plan.drawTiming(&random)
        plan.drawWorld(&random)
        plan.drawLimits(&random)
        plan.drawLoad(&random)
        let likelihood = random.number(in: 50...600)
        plan.faults = Fault.allCases.filter { _ in random.chance(likelihood) }
        let paces: [UInt64] = [20_000_000, 100_000_000, 500_000_000, 2_000_000_000]
        plan.faultInterval = 1_000_000...random.pick(paces) * 2
        plan.repairTime = random.pick(100_000_000, 1_000_000_000, 4_000_000_000)
        plan.bootCrashPermille = random.pick(0, 0, 200, 500)
        plan.duration = .milliseconds(UInt64(random.number(in: 4_000...16_000)))
        return plan
    }

    private mutating func drawTiming(_ random: inout SeededRandom) {
        let timeout = random.pick(UInt64(150), 300, 750, 750)
        options.timing.electionTimeout = .milliseconds(timeout)
        options.timing.electionSpread = .milliseconds(timeout * 2 / 5)
        options.timing.beatInterval = .milliseconds(
            timeout / random.number(in: UInt64(5)...8))
        options.timing.handshakeTimeout = .milliseconds(1_000)
        options.clock.skewPercent = random.pick(0, 0, 1, 10)
        options.turns.sharePermille = random.pick(0, 200, 500, 900)
    }

    private mutating func drawWorld(_ random: inout SeededRandom) {
        let delays: [ClosedRange<UInt64>] = [
            10_000...100_000, 50_000...500_000, 500_000...5_000_000, 1_000_000...15_000_000,
        ]
        options.network.delay = random.pick(delays)
        options.network.spikePermille = random.pick(0, 0, 5, 50)
        options.network.refusePermille = random.pick(0, 0, 100, 500)
        options.network.socketBufferBytes = random.pick(1 << 10, 16 << 10, 256 << 10)
        options.network.portions = random.pick(.whole, .mixed, .mixed, .tiny)
        let syncs: [ClosedRange<UInt64>] = [
            50_000...200_000, 100_000...2_000_000, 1_000_000...30_000_000,
        ]
        options.disk.syncDelay = random.pick(syncs)
        options.disk.writeDelay = random.pick(5_000...50_000, 100_000...5_000_000)
        options.disk.stallPermille = random.pick(0, 0, 0, 10)
        options.disk.failurePerMillion = random.pick(0, 0, 0, 2_000)
    }

    private mutating func drawLimits(_ random: inout SeededRandom) {
        options.log.segmentSizeBytes = random.pick(64, 64, 128, 256) << 10
        options.log.cacheSizeBytes = random.pick(4, 16, 64, 512) << 10
        options.log.batchSizeBytes = random.pick(4, 16, 64) << 10
        options.limits.commandSizeBytes = 12 << 10
        options.limits.appendWindowEntries = random.pick(1, 4, 64, 16_384)
        options.limits.appendSizeBytes = random.pick(64, 1 << 10, 4 << 10, 16 << 10)
        options.limits.pendingProposalsPerGroup = random.pick(2, 64, 65_536)
        options.limits.peerQueueBytes = random.pick(4, 64, 16_384) << 10
    }

    private mutating func drawLoad(_ random: inout SeededRandom) {
        load.clients = random.number(in: 1...8)
        let paces: [ClosedRange<UInt64>] = [
            100_000...2_000_000, 1_000_000...50_000_000, 10_000_000...500_000_000,
        ]
        load.thinkTime = random.pick(paces)
        load.burst = random.pick(1, 1, 4, 30)
        load.readPermille = random.pick(100, 300, 700)
        load.bigPermille = random.pick(0, 10, 200)
    }

    public var description: String {
        """
        \(nodes) nodes, \(groups.count) groups, \(load.clients) clients, \
        \(duration.rawValue / 1_000_000) ms, election timeout \
        \(options.timing.electionTimeout.rawValue / 1_000_000) ms, \
        segments of \(options.log.segmentSizeBytes >> 10) KiB, cache \
        \(options.log.cacheSizeBytes >> 10) KiB, window \(options.limits.appendWindowEntries), \
        skew \(options.clock.skewPercent) %, faults: \
        \(faults.map { "\($0)" }.joined(separator: " "))
        """
    }
}
