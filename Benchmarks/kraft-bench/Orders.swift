/// What a node's process is started with: JSON, its only argument.
struct NodeSetup: Codable, Sendable {
    var node: UInt32
    /// Removed by the node when its parent is gone.
    var dataDirectory: String
    var listen: String
    var peers: [UInt32: String]
}

/// What the parent tells a node: one line of JSON on standard input, one answer to each.
enum Order: Codable, Sendable {
    /// Creates these groups, or opens them where they are; each has so much state beside its count.
    /// Answer: `done`.
    case create(groups: [String], stateBytes: Int)
    /// Waits until all of its groups have a leader. Answer: `leading`.
    case awaitLeaders
    /// Takes over these groups' leadership. Answer: `done`.
    case lead(groups: [String])
    /// Starts clients, which propose until `drain`. Answer: `done`.
    case begin(Workload)
    /// Answer: `mark`. With `isStart` the latencies are counted from here.
    case mark(isStart: Bool)
    /// Lets the clients end. Answer: `drained`.
    case drain
    /// Answer: `replicas`.
    case look(groups: [String])
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
    case failed(String)
}

/// What the clients of one process do.
struct Workload: Codable, Sendable {
    var groups: [String]
    /// Proposals under way in each group.
    var inFlight: Int
    var payloadSizeBytes: Int
    var clients: ClientKind
    /// Commands in one call of async clients.
    var batch: Int
}

/// What clients saw of one group from begin to end.
struct ClientTally: Codable, Sendable {
    var group: String
    var acknowledged = Checksum()
    /// Neither acknowledged nor refused: each of these may have been applied, once.
    var unknownCount: UInt64 = 0
    var refusedCount: UInt64 = 0

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
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
