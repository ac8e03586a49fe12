import RaftCore

/// What one node is told about itself, its peers and its limits. Immutable while the node runs.
public struct EngineConfiguration: Sendable {
    public var node: NodeID
    /// Nodes of another cluster are refused at the handshake. 1 to 128 bytes.
    public var clusterID: String
    /// The other nodes, and the addresses at which this node dials them. Opaque to the engine.
    public var peers: [Peer]
    /// Where other nodes reach this one: what it tells those that it meets.
    public var address = ""
    /// Addresses of nodes of the cluster to join, asked in turn while this node knows no peers: an
    /// engine with `peers`, or with a log that knows some, doesn't ask.
    public var seeds: [String] = []
    /// Told to every peer that connects, and shown in its `PeerStatus`; at most 256 bytes. A server
    /// may put there what its peers should know: the address of another port, say.
    public var info = ""
    public var timing = Timing()
    public var log = LogLimits()
    public var limits = Limits()
    public var snapshots = Snapshots()

    public struct Peer: Sendable, Hashable {
        public var node: NodeID
        public var address: String
        public init(node: NodeID, address: String) {
            self.node = node
            self.address = address
        }
    }

    public init(node: NodeID, clusterID: String, peers: [Peer]) {
        self.node = node
        self.clusterID = clusterID
        self.peers = peers
    }

    public struct Timing: Sendable {
        /// How often each pair of nodes exchanges a beat.
        public var beatInterval = Nanoseconds.milliseconds(100)
        /// A node that wasn't heard for this long is taken for dead by its peers; a leader that
        /// can't hear a quorum for this long steps down.
        public var electionTimeout = Nanoseconds.milliseconds(750)
        /// Campaigns are spread at random over this much time after a leader is lost.
        public var electionSpread = Nanoseconds.milliseconds(300)
        /// How long a node's beat binds it to the receiver's leaderships: it neither campaigns nor
        /// votes against them meanwhile, so that their leader may answer `lease` reads without
        /// asking. Zero: no promises, and `lease` reads are answered as linearizable ones. A dead
        /// leader is missed for at least this long. Leases work between nodes that have them on.
        public var leaseDuration = Nanoseconds.zero
        /// How much faster or slower than real time a node's monotonic clock may run, in parts of a
        /// thousand. Leases are shortened by it; beyond it they aren't safe.
        public var clockDriftPerMille: UInt64 = 100
        /// A write of the log that takes longer is taken for a hanging disk: the node leads no more
        /// until it ends.
        public var diskStallTimeout = Nanoseconds.milliseconds(1_500)
        /// When several writes of the log in a row take longer than this, the disk counts as slow:
        /// the node hands its leaderships to nodes that fare better, if there are any.
        public var diskSlowTimeout = Nanoseconds.milliseconds(400)
        /// How long to wait before something is tried again for which the disk had no space.
        public var diskFullPause = Nanoseconds.milliseconds(1_000)
        /// How long new members may take to catch up before the change is given up.
        public var catchUpTimeout = Nanoseconds.seconds(60)
        /// A connection that has not completed its handshake by then is closed.
        public var handshakeTimeout = Nanoseconds.seconds(5)
        /// First and greatest pause before a peer is dialled again; doubles, with jitter.
        public var reconnectMinimum = Nanoseconds.milliseconds(20)
        public var reconnectMaximum = Nanoseconds.milliseconds(1_000)
        /// How long proposals may gather before they are taken into the log together, while many of
        /// them come: less processor time a write, for so much more latency. A lone writer doesn't
        /// wait. Below the beat interval; zero: no longer than the log's last write takes.
        public var gatherInterval = Nanoseconds.zero
        public init() {}
    }

    public struct LogLimits: Sendable {
        /// Size of a segment file; at least 64 KiB and four times the largest command.
        public var segmentSizeBytes = 32 << 20
        /// When the log takes more than this, its oldest segments are given back: what still counts
        /// there is written again, or snapshotted. Never less than four segments. The log stays under
        /// twice as much, unless more than that can't be given up.
        public var budgetSizeBytes = 512 << 20
        /// Recent log bytes kept in memory; older entries are read back from the disk.
        public var cacheSizeBytes = 32 << 20
        /// A batch is written at the latest when it holds this much.
        public var batchSizeBytes = 4 << 20
        public init() {}

        /// Smaller segments and a smaller budget for a disk that is small: a 32nd and a quarter of it at
        /// most, as far as commands of the size given allow.
        package func fitted(diskSizeBytes: Int, commandSizeBytes: Int) -> LogLimits {
            let need = LogFormat.roundUp(4 * commandSizeBytes, to: LogFormat.blockSize)
            let share = diskSizeBytes / 32 / LogFormat.blockSize * LogFormat.blockSize
            var fitted = self
            fitted.segmentSizeBytes = min(segmentSizeBytes, max(need, share, 64 << 10))
            fitted.budgetSizeBytes = min(budgetSizeBytes, diskSizeBytes / 4)
            return fitted
        }
    }

    /// When a group's log gives way to a snapshot of its state, and how snapshots move.
    public struct Snapshots: Sendable {
        /// A snapshot is due when so many entries, or bytes of them, came since the last one.
        public var entryLimit = 100_000
        public var sizeLimitBytes = 64 << 20
        /// And when so much time has passed since, if anything came; zero: never for that.
        public var interval = Nanoseconds.zero
        /// What stays in the log before a snapshot, for followers that are a little behind.
        public var tailEntries = 10_000
        public var tailSizeBytes = 8 << 20
        /// What stays in the log for followers that are catching up, at most.
        public var graceEntries = 1_000_000
        public var graceSizeBytes = 256 << 20
        /// Snapshots that are being made, fetched and sent at once on this node.
        public var captureLimit = 2
        public var installLimit = 2
        public var serveLimit = 4
        /// What this node sends of snapshots in a second, in bytes.
        public var bytesPerSecond = 16 << 20
        /// How much of a snapshot is asked for at once.
        public var chunkSizeBytes = 128 << 10
        /// How long an older snapshot is kept for those that are still fetching it.
        public var retention = Nanoseconds.seconds(600)
        public init() {}
    }

    public struct Limits: Sendable {
        /// The largest command in bytes; more is refused with `too_large`.
        public var commandSizeBytes = (1 << 20) + (64 << 10)
        /// Proposals of one group that wait for commit, in number and bytes; more is `overloaded`.
        public var pendingProposalsPerGroup = 65_536
        public var pendingBytesPerGroup = 64 << 20
        /// Proposals, reads and transfers of the whole node that wait; more is `overloaded`.
        public var pendingRequests = 1_000_000
        /// Entries in flight to one follower of one group.
        public var appendWindowEntries = 16_384
        /// Entry bytes in flight to one follower of one group.
        public var appendWindowBytes = 8 << 20
        /// Entry bytes in one append message (at least one entry goes); never more than a quarter
        /// of a segment.
        public var appendSizeBytes = 256 << 10
        /// Bytes queued to one peer's socket, above which no more entries are queued for it. What a
        /// follower that catches up gets at once it writes at once: much more than this makes whoever
        /// shares its disk wait, and faster it isn't.
        public var peerQueueBytes = 256 << 10
        /// Log bytes that wait for the disk, above which proposals are `overloaded` and followers
        /// leave entries to be sent again.
        public var logQueueBytes = 64 << 20
        /// Inbound connections that have not completed their handshake.
        public var pendingHandshakes = 64
        /// Groups in which this node, as the leader, brings in new replicas for damaged ones at once.
        public var repairsAtOnce = 4
        public init() {}
    }
}

extension EngineConfiguration.LogLimits {
    var budgetSegments: Int {
        max(4, (budgetSizeBytes + segmentSizeBytes - 1) / segmentSizeBytes)
    }
}

extension EngineConfiguration {
    var leaseMilliseconds: UInt32 {
        UInt32(clamping: timing.leaseDuration.rawValue / 1_000_000)
    }

    /// How long a promise of `milliseconds` holds on this node's clock, counted from before it was
    /// made, whichever way both clocks run.
    func leaseUse(of milliseconds: UInt32) -> Nanoseconds {
        let drift = timing.clockDriftPerMille
        return Nanoseconds(UInt64(milliseconds) * 1_000_000 / (1_000 + drift) * (1_000 - drift))
    }
}
