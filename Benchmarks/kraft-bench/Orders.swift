/// What a node's process is started with: JSON, its only argument.
struct NodeSetup: Codable, Sendable {
    var node: UInt32
    /// Removed by the node when its parent is gone.
    var dataDirectory: String
    var listen: String
    var peers: [UInt32: String]
    var adapters: [AdapterSetup] = []
    /// 0: leases are off, as they are by default.
    var leaseMilliseconds = 0
    /// How long proposals may gather; 0: not beyond the log's own pace, as by default.
    var gatherMicroseconds = 0
}

/// A loop of its own for some groups.
struct AdapterSetup: Codable, Sendable {
    var name: String
    var listen: String
    var peers: [UInt32: String]
}

/// What a group's state machine has beside its count.
struct MachineSetup: Codable, Sendable {
    var stateBytes = 0
    /// What each command costs it: rounds of a hash, of about 2 ns.
    var workRounds = 0
}

/// What the parent tells a node: one line of JSON on standard input, one answer to each.
enum Order: Codable, Sendable {
    /// Creates these groups, or opens them where they are: on an adapter, or on the node's shared loop.
    /// Answer: `done`.
    case create(groups: [String], machine: MachineSetup = .init(), adapter: String? = nil)
    /// Waits until all of its groups have a leader. Answer: `leading`.
    case awaitLeaders
    /// Takes over these groups' leadership. Answer: `done`.
    case lead(groups: [String])
    /// Starts clients, which are at work until `drain`; several may be. Answer: `done`.
    case begin(Workload)
    /// Answer: `mark`. With `isStart` the latencies are counted from here.
    case mark(isStart: Bool)
    /// Lets the clients end. Answer: `drained`.
    case drain
    /// Answer: `replicas`.
    case look(groups: [String])
    /// Notes from now on when this node becomes the leader of each of these groups. Answer: `done`.
    case watch(groups: [String])
    /// Answer: `leading`, with the number of watched groups that this node has come to lead.
    case ledCount
    /// Answer: `clocks`, when it came to lead each of those.
    case ledClocks
    /// Ends the process. No answer.
    case quit
}

/// What a node answers: one line of JSON on standard output.
enum Answer: Codable, Sendable {
    /// Once, unasked: it listens.
    case ready
    case done
    case leading(groups: Int)
    case mark(Mark)
    case drained([ClientTally])
    case replicas([ReplicaTally])
    /// On the monotonic clock, which is one for all processes of a machine.
    case clocks([UInt64])
    case failed(String)
}

/// What the clients of one process do.
struct Workload: Codable, Sendable {
    var groups: [String]
    /// Requests under way in each group, in the groups' order; empty in an open loop.
    var inFlight: [Int]
    var payloadSizeBytes: Int
    var clients: ClientKind
    /// Commands in one call of async clients.
    var batch: Int
    /// An open loop instead of closed ones.
    var offer: Offer?
    /// Reads instead of writes.
    var reads: Reads?
    /// False for a load that only disturbs: its latencies aren't counted.
    var isMeasured = true

    /// What an open loop offers on this node, whether or not it can be served.
    struct Offer: Codable, Sendable {
        var perSecond: Double
        /// Of the groups, in their order.
        var weights: [Double]
    }

    struct Reads: Codable, Sendable {
        var level: ReadLevel
        /// The writes that each group had acknowledged before; a read that sees fewer is stale.
        var minimumCounts: [UInt64]
    }

    init(
        groups: [String], inFlight: [Int], payloadSizeBytes: Int, clients: ClientKind,
        batch: Int = 1, offer: Offer? = nil, reads: Reads? = nil
    ) {
        self.groups = groups
        self.inFlight = inFlight
        self.payloadSizeBytes = payloadSizeBytes
        self.clients = clients
        self.batch = batch
        self.offer = offer
        self.reads = reads
    }

    /// What it comes to for some of its groups.
    func part(_ places: [Int]) -> Workload {
        var part = self
        part.groups = places.map { groups[$0] }
        if !inFlight.isEmpty { part.inFlight = places.map { inFlight[$0] } }
        if let offer {
            let weights = places.map { offer.weights[$0] }
            let share =
                weights.reduce(0, +) / max(offer.weights.reduce(0, +), .leastNonzeroMagnitude)
            part.offer = Offer(perSecond: offer.perSecond * share, weights: weights)
        }
        if let reads { part.reads?.minimumCounts = places.map { reads.minimumCounts[$0] } }
        return part
    }

    /// Closed loops of writes on the node's loop, alike in all groups.
    init(groups: [String], inFlight: Int, payloadSizeBytes: Int) {
        self.init(
            groups: groups, inFlight: groups.map { _ in inFlight },
            payloadSizeBytes: payloadSizeBytes, clients: .loop)
    }
}

/// What clients saw of one group from begin to end.
struct ClientTally: Codable, Sendable {
    var group: String
    var acknowledged = Checksum()
    /// Neither acknowledged nor refused: each of these may have been applied, once.
    var unknownCount: UInt64 = 0
    var refusedCount: UInt64 = 0
    /// Reads that were answered, and those of them that missed a write which was acknowledged before.
    var readCount: UInt64 = 0
    var staleCount: UInt64 = 0

    init(group: String) { self.group = group }
}

/// What one replica of a group holds.
struct ReplicaTally: Codable, Sendable {
    var group: String
    var applied: Checksum
    /// Commands whose bytes weren't those that a client proposed.
    var damagedCount: UInt64
    var digest: UInt64
    var appliedIndex: UInt64
    /// Why it can't be asked at the moment; then the other fields say nothing.
    var obstacle: String?

    /// A replica that can't be asked now.
    init(group: String, obstacle: String) {
        self.group = group
        self.obstacle = obstacle
        applied = Checksum()
        (damagedCount, digest, appliedIndex) = (0, 0, 0)
    }

    init(
        group: String, applied: Checksum, damagedCount: UInt64, digest: UInt64,
        appliedIndex: UInt64
    ) {
        self.group = group
        self.applied = applied
        self.damagedCount = damagedCount
        self.digest = digest
        self.appliedIndex = appliedIndex
    }
}

/// A set of commands, to be compared with another whatever the order.
struct Checksum: Codable, Sendable, Hashable {
    var count: UInt64 = 0
    var sum: UInt64 = 0

    @inline(__always)
    mutating func add(_ sequence: UInt64) {
        count &+= 1
        sum &+= Checksum.mix(sequence)
    }

    static func += (a: inout Checksum, b: Checksum) {
        a.count &+= b.count
        a.sum &+= b.sum
    }

    /// The finaliser of splitmix64: neighbours end up far apart.
    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
