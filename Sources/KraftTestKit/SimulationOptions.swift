import KraftEngine
import RaftCore

/// What the simulated world is like, and the settings of the nodes in it.
///
/// The defaults are a quiet data centre: small delays, clocks that agree in rate, a healthy disk.
public struct SimulationOptions: Sendable {
    public var network = Network()
    public var disk = Disk()
    public var clock = Clock()
    public var turns = Turns()
    public var checks = Checks()
    /// Settings of every node's engine.
    public var timing = EngineConfiguration.Timing()
    public var log = EngineConfiguration.LogLimits()
    public var limits = EngineConfiguration.Limits()
    public var snapshots = EngineConfiguration.Snapshots()

    /// How many of the nodes are the groups' first voters, from node 1 on; nil is all. The others
    /// wait until a group takes them in.
    public var firstVoters: Int?

    public init() {
        // Segments live in memory here: small ones suffice, and make rotation an everyday event.
        log.segmentSizeBytes = 256 << 10
        log.cacheSizeBytes = 128 << 10
        log.batchSizeBytes = 64 << 10
        limits.commandSizeBytes = 32 << 10
        limits.appendSizeBytes = 16 << 10
        snapshots.chunkSizeBytes = 4 << 10
    }

    public struct Network: Sendable {
        /// One way, drawn for each portion of bytes; a stream still stays in order.
        public var delay: ClosedRange<UInt64> = 50_000...500_000
        /// Of 1,000 portions, how many take ten to a hundred times as long.
        public var spikePermille = 0
        /// Of 1,000 dialled connections, how many are refused.
        public var refusePermille = 0
        /// Bytes that a connection holds in one direction before the sender must wait.
        public var socketBufferBytes = 256 << 10
        /// How a block is cut into the portions that the receiver sees.
        public var portions = Portions.mixed
        /// How long a dialled connection may hang before the dialler is told that it failed.
        public var connectTimeout = Nanoseconds.seconds(2)

        public enum Portions: Sendable, CaseIterable { case whole, mixed, tiny }
        public init() {}
    }

    public struct Disk: Sendable {
        /// From the order to write until the bytes are in the page cache.
        public var writeDelay: ClosedRange<UInt64> = 5_000...50_000
        /// From there until the sync has ended.
        public var syncDelay: ClosedRange<UInt64> = 100_000...2_000_000
        public var readDelay: ClosedRange<UInt64> = 10_000...500_000
        public var prepareDelay: ClosedRange<UInt64> = 200_000...20_000_000
        /// How long it takes to write a snapshot, and to restore one.
        public var snapshotDelay: ClosedRange<UInt64> = 500_000...20_000_000
        /// Of 1,000 syncs, how many take 100 to 500 ms.
        public var stallPermille = 0
        /// Of 1,000,000 writes, how many fail.
        public var failurePerMillion = 0
        public init() {}
    }

    public struct Clock: Sendable {
        /// A node's clock runs up to this much too fast or too slow; at most 10.
        public var skewPercent = 0
        /// How late a tick may come.
        public var tickLateness: ClosedRange<UInt64> = 0...1_000_000
        public init() {}
    }

    public struct Turns: Sendable {
        /// Of 1,000 turns, how many stay open for more events than the one that began them.
        public var sharePermille = 500
        /// How long such a turn stays open.
        public var span: ClosedRange<UInt64> = 1_000...200_000
        public init() {}
    }

    public struct Checks: Sendable {
        /// No two proposals have equal commands, so an effect can be traced to its proposal: a
        /// refused command must never be applied, and none twice.
        public var commandsAreUnique = false
        /// The durable disks of all nodes are read and checked once in so many turns, and after
        /// each power cut.
        public var turnsPerInspection = 256
        /// The logs of each pair of nodes are compared once in so many turns.
        public var turnsPerLogMatch = 64
        public init() {}
    }
}
