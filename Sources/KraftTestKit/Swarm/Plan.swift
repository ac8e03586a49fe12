import KraftEngine
import RaftCore

/// What one seed means: the size of the cluster, its settings, its faults and its load.
///
/// Swarm testing (Groce et al., 2012): each seed switches a random subset of the faults on and
/// turns the knobs anew, so that rare combinations come up and common faults don't hide others.
/// Three seeds of four are clusters of 5 nodes and 16 groups; the others have another shape.
public struct Plan: Sendable {
    public var seed: UInt64
    public var nodes = 5
    public var groups = 16
    /// Of 1,000 groups, how many have three voters only.
    public var smallGroupPermille = 0
    public var options = SimulationOptions()
    /// What happens when, in order.
    public var faults: [PlannedFault] = []
    /// The longest that a fault lasts, in nanoseconds.
    public var repairTime: UInt64 = 2_000_000_000
    /// Of 1,000 starts, how many lose power while they recover.
    public var bootCrashPermille = 0
    /// Whose disk may rot.
    public var decayingNode = NodeID(1)
    /// How long faults and load go on, before the calm.
    public var duration = Nanoseconds.seconds(5)
    public var load = Load()
    /// What was taken away from what the seed stands for.
    public internal(set) var cuts: [PlanCut] = []

    /// One fault of a plan. What it hits is drawn from the seed and its number, so that taking one
    /// away leaves the others as they are.
    public struct PlannedFault: Sendable, Hashable {
        public var number: Int
        /// Nanoseconds since the start.
        public var time: UInt64
        public var fault: Fault
    }

    public struct Load: Sendable {
        public var clients = 4
        /// Nanoseconds from an answer to the client's next request.
        public var thinkTime: ClosedRange<UInt64> = 1_000_000...50_000_000
        /// What a client waits besides when it was refused.
        public var backOff: ClosedRange<UInt64> = 5_000_000...50_000_000
        public var readPermille = 300
        /// Of 1,000 reads, how many use the lease, and how many may be somewhat old.
        public var leaseReadPermille = 0
        public var boundedReadPermille = 0
        /// A client makes up to this many writes at once, and waits for one of them.
        public var burst = 1
        /// Of 1,000 writes, how many carry a big command.
        public var bigPermille = 20
        /// Of 1,000 writes, how many carry an epoch that is the group's own; as many a wrong one.
        public var routePermille = 30
        /// Of 1,000 requests, how many go to the first group.
        public var hotPermille = 0
        /// Clients beside the others that use sessions.
        public var sessionClients = 0
        /// Of 1,000 sessions, how many live for `shortSessionMilliseconds` only.
        public var shortSessionPermille = 0
        public var shortSessionMilliseconds: UInt64 = 300
        /// So many commands of a session at once.
        public var sessionBurst = 4
        /// Of 1,000 steps within a session, how many try something again.
        public var sessionRetryPermille = 300
        public var timeout: ClosedRange<UInt64> = 50_000_000...4_000_000_000
        public init() {}
    }

    public init(seed: UInt64) { self.seed = seed }

    public var groupNames: [String] { (0..<groups).map { "group-\($0)" } }

    /// The nodes that a group is created on.
    func voters(of group: Int) -> [NodeID] {
        var all = (1...nodes).map { NodeID(UInt32($0)) }
        var random = SeededRandom(seed: seed, stream: 500 + UInt64(group))
        guard nodes > 3, random.chance(smallGroupPermille) else { return all }
        random.shuffle(&all)
        return all.prefix(3).sorted()
    }
}

// MARK: Drawing

extension Plan {
    /// The plan that this seed stands for.
    public static func drawn(from seed: UInt64) -> Plan {
        var random = SeededRandom(seed: seed, stream: 9)
        var plan = Plan(seed: seed)
        plan.options.checks.commandsAreUnique = true
        plan.drawShape(&random)
        plan.drawTiming(&random)
        plan.drawWorld(&random)
        plan.drawLimits(&random)
        plan.drawLoad(&random)
        plan.drawFaults(&random)
        plan.drawSessions()
        plan.drawSnapshots()
        plan.drawDecay()
        plan.drawPacing()
        return plan
    }

    /// Whether a seed stands for a cluster of 5 nodes and 16 groups.
    public static func isStandardShape(_ seed: UInt64) -> Bool { seed % 4 != 0 }

    private mutating func drawPacing() {
        var random = SeededRandom(seed: seed, stream: 14)
        options.timing.gatherInterval = .milliseconds(random.pick(0, 0, 2, 10))
        options.timing.gatherLeast = random.pick(1, 2, 4)
    }

    private mutating func drawShape(_ random: inout SeededRandom) {
        smallGroupPermille = random.pick(0, 0, 300, 1_000)
        guard !Plan.isStandardShape(seed) else { return }
        nodes = random.pick(1, 2, 3, 3, 3, 3, 4, 7)
        groups = random.pick(1, 1, 2, 3, 4, 6)
        if random.chance(60) {
            nodes = 3
            groups = random.number(in: 100...300)
        }
    }

    private mutating func drawTiming(_ random: inout SeededRandom) {
        let timeout = random.pick(UInt64(150), 300, 300, 750)
        options.timing.electionTimeout = .milliseconds(timeout)
        options.timing.electionSpread = .milliseconds(timeout * 2 / 5)
        options.timing.beatInterval = .milliseconds(
            timeout / random.number(in: UInt64(5)...8))
        options.timing.handshakeTimeout = .milliseconds(1_000)
        options.timing.leaseDuration = .milliseconds(random.pick(0, timeout / 2, timeout, timeout))
        options.timing.diskStallTimeout = .milliseconds(random.pick(200, 500, 1_500))
        options.timing.catchUpTimeout = .milliseconds(random.pick(500, 2_000, 5_000))
        options.clock.skewPercent = random.pick(0, 0, 1, 10)
        options.turns.sharePermille = random.pick(0, 200, 500, 900)
        duration = .milliseconds(
            UInt64(random.number(in: 3_000...8_000)) + timeout * UInt64(random.number(in: 0...12)))
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
        bootCrashPermille = random.pick(0, 0, 200, 500)
    }

    private mutating func drawLimits(_ random: inout SeededRandom) {
        options.log.segmentSizeBytes = random.pick(64, 64, 128, 256) << 10
        options.log.cacheSizeBytes = random.pick(4, 16, 64, 512) << 10
        options.log.batchSizeBytes = random.pick(4, 16, 64) << 10
        options.limits.commandSizeBytes = 12 << 10
        options.limits.appendWindowEntries = random.pick(1, 4, 64, 16_384)
        options.limits.appendWindowBytes = random.pick(1 << 10, 64 << 10, 8 << 20)
        options.limits.appendSizeBytes = random.pick(64, 1 << 10, 4 << 10, 16 << 10)
        options.limits.pendingProposalsPerGroup = random.pick(2, 64, 65_536)
        options.limits.peerQueueBytes = random.pick(4, 64, 16_384) << 10
        options.limits.logQueueBytes = random.pick(16, 1_024, 65_536) << 10
        options.limits.pendingHandshakes = random.pick(2, 64)
    }

    private mutating func drawLoad(_ random: inout SeededRandom) {
        load.clients = random.number(in: 1...8)
        let paces: [ClosedRange<UInt64>] = [
            500_000...5_000_000, 1_000_000...50_000_000, 10_000_000...300_000_000,
        ]
        load.thinkTime = random.pick(paces)
        load.burst = random.pick(1, 1, 4, 30)
        load.readPermille = random.pick(100, 300, 700)
        load.bigPermille = random.pick(0, 10, 200)
        load.leaseReadPermille = random.pick(0, 300, 900)
        load.boundedReadPermille = random.pick(0, 300)
        load.hotPermille = random.pick(0, 0, 500, 900)
    }

    /// Dice of their own: what a seed meant before there were sessions, it means still.
    private mutating func drawSessions() {
        var random = SeededRandom(seed: seed, stream: 8)
        guard random.chance(400) else { return }
        load.sessionClients = random.number(in: 1...4)
        load.shortSessionPermille = random.pick(0, 300, 1_000)
        load.shortSessionMilliseconds = random.pick(50, 300, 1_500)
        load.sessionBurst = random.pick(1, 4, 16, 64)
        load.sessionRetryPermille = random.pick(100, 300, 600)
    }

    private mutating func drawFaults(_ random: inout SeededRandom) {
        let likelihood = random.number(in: 50...500)
        let kinds = Fault.allCases.filter {
            !$0.isOfSnapshots && !$0.isOfDecay && random.chance(likelihood)
        }
        let paces: [UInt64] = [20_000_000, 100_000_000, 300_000_000, 1_000_000_000]
        let pace = random.pick(paces)
        repairTime = random.pick(100_000_000, 1_000_000_000, 3_000_000_000)
        guard !kinds.isEmpty else { return }
        var time: UInt64 = 0
        while true {
            time += random.number(in: 1_000_000...pace * 2)
            guard time < duration.rawValue else { return }
            faults.append(
                PlannedFault(number: faults.count, time: time, fault: random.pick(kinds)))
        }
    }
}

// MARK: Snapshots

extension Plan {
    /// Of their own dice. Most seeds have small limits, so that logs give way all the time.
    private mutating func drawSnapshots() {
        var random = SeededRandom(seed: seed, stream: 12)
        guard random.chance(700) else { return }
        options.snapshots.entryLimit = random.pick(5, 20, 100, 1_000)
        options.snapshots.sizeLimitBytes = random.pick(1 << 10, 16 << 10, 64 << 20)
        options.snapshots.interval = random.pick(.zero, .zero, .milliseconds(500))
        options.snapshots.tailEntries = random.pick(0, 0, 5, 100)
        options.snapshots.tailSizeBytes = random.pick(0, 1 << 10, 8 << 20)
        options.snapshots.graceEntries = random.pick(0, 10, 1_000)
        options.snapshots.graceSizeBytes = random.pick(0, 8 << 10, 8 << 20)
        options.snapshots.captureLimit = random.pick(1, 2)
        options.snapshots.installLimit = random.pick(1, 2)
        options.snapshots.serveLimit = random.pick(1, 2, 4)
        options.snapshots.bytesPerSecond = random.pick(20_000, 1 << 20, 64 << 20)
        options.snapshots.chunkSizeBytes = random.pick(256, 1 << 10, 4 << 10)
        options.snapshots.retention = random.pick(
            .milliseconds(50), .milliseconds(1_000), .seconds(600))
        let delays: [ClosedRange<UInt64>] = [
            500_000...20_000_000, 10_000_000...300_000_000, 100_000...1_000_000,
        ]
        options.disk.snapshotDelay = random.pick(delays)
        drawSnapshotFaults(&random)
    }

    private mutating func drawSnapshotFaults(_ random: inout SeededRandom) {
        let kinds = Fault.allCases.filter { $0.isOfSnapshots && random.chance(500) }
        guard !kinds.isEmpty else { return }
        let pace = random.pick(UInt64(100_000_000), 500_000_000, 2_000_000_000)
        var time: UInt64 = 0
        while true {
            time += random.number(in: 1_000_000...pace * 2)
            guard time < duration.rawValue else { break }
            faults.append(
                PlannedFault(number: faults.count, time: time, fault: random.pick(kinds)))
        }
        faults.sort { ($0.time, $0.number) < ($1.time, $1.number) }
    }
}

// MARK: Decay

extension Plan {
    /// Of its own dice, too. Of one node, where the others can do without it.
    private mutating func drawDecay() {
        var random = SeededRandom(seed: seed, stream: 13)
        guard nodes > 2, random.chance(250) else { return }
        decayingNode = NodeID(UInt32(1 + random.below(nodes)))
        for _ in 0..<random.pick(1, 1, 2, 4) {
            let time = random.number(in: duration.rawValue / 10...duration.rawValue)
            faults.append(
                PlannedFault(
                    number: faults.count, time: time,
                    fault: random.pick(.logDecay, .logDecay, .snapshotDecay)))
        }
        faults.sort { ($0.time, $0.number) < ($1.time, $1.number) }
    }
}

extension Plan: CustomStringConvertible {
    public var description: String {
        var kinds: [Fault] = []
        for planned in faults where !kinds.contains(planned.fault) { kinds.append(planned.fault) }
        return """
            \(nodes) nodes, \(groups) groups, \(load.clients) clients, \
            \(load.sessionClients) with sessions, \
            \(duration.rawValue / 1_000_000) ms, election timeout \
            \(options.timing.electionTimeout.rawValue / 1_000_000) ms, \
            segments of \(options.log.segmentSizeBytes >> 10) KiB, cache \
            \(options.log.cacheSizeBytes >> 10) KiB, window \
            \(options.limits.appendWindowEntries), skew \(options.clock.skewPercent) %, \
            \(faults.count) faults: \(kinds.map { "\($0)" }.joined(separator: " "))
            """
    }
}
