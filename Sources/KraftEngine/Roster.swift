import RaftCore

/// What the cluster knows of one node. The entry with the greater generation wins; nodes tell each
/// other, and in the end all know the same. It decides who is dialled, never who leads or votes.
struct RosterEntry: Hashable, BinaryCodable {
    static let addressLimit = 256
    /// Nodes in one message.
    static let countLimit = 1_024
    /// No cluster changes so often; a greater one from outside would leave no room to rise.
    static let generationLimit: UInt64 = 1 << 48

    var node: NodeID
    var address: String
    /// Rises with each joining and leaving; 0: as configured at the start.
    var generation: UInt64
    var hasLeft = false

    /// Whether `self` is news to who knows `other`. Between two that arose at once some order must
    /// decide, the same everywhere.
    func isNews(to other: RosterEntry) -> Bool {
        if generation != other.generation { return generation > other.generation }
        if hasLeft != other.hasLeft { return hasLeft }
        return address > other.address
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(node.rawValue)
        writer.write(generation)
        writer.write(UInt8(hasLeft ? 1 : 0))
        writer.writeString(address)
    }

    init(node: NodeID, address: String, generation: UInt64, hasLeft: Bool = false) {
        self.node = node
        self.address = address
        self.generation = generation
        self.hasLeft = hasLeft
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        node = NodeID(try reader.read(UInt32.self))
        generation = try reader.readNumber()
        hasLeft = try reader.readFlag()
        address = try reader.readString(limit: RosterEntry.addressLimit)
        guard !node.isNone, generation <= RosterEntry.generationLimit else {
            throw ByteReader.Malformed()
        }
    }

    static func readAll(
        from reader: inout ByteReader
    ) throws(ByteReader.Malformed) -> [RosterEntry] {
        let count = Int(try reader.read(UInt16.self))
        guard count <= countLimit else { throw ByteReader.Malformed() }
        var entries: [RosterEntry] = []
        for _ in 0..<count { entries.append(try RosterEntry(from: &reader)) }
        return entries
    }

    static func writeAll(_ entries: [RosterEntry], into writer: inout ByteWriter) {
        writer.write(UInt16(clamping: entries.count))
        for entry in entries.prefix(countLimit) { entry.encode(into: &writer) }
    }
}

/// By what a node's data folder is known again. A node that comes back with another folder, or
/// with an older copy of it, may have forgotten a vote or an acknowledgement, and isn't talked to.
struct PeerIdentity: Hashable, BinaryCodable {
    /// 0: nothing is known (any more).
    var store: UInt64 = 0
    var lives: UInt64 = 0
    var boot: UInt64 = 0

    /// Why a node that says `hello` isn't the one that was known here; nil if it may be.
    func objection(_ hello: Hello) -> String? {
        guard store != 0 else { return nil }
        if hello.store != store {
            return
                "node \(hello.node) has lost its data folder, or has another one; remove it from "
                + "its groups and let it leave the cluster, then join again as a new one"
        }
        if hello.lives < lives || (hello.lives == lives && hello.boot != boot) {
            return PeerIdentity.olderCopy(hello.node)
        }
        return nil
    }

    static func olderCopy(_ node: NodeID) -> String {
        "node \(node) runs on an older copy of its data folder; remove it from its groups and let it "
            + "leave the cluster, empty the folder, and let it join again"
    }

    /// Whether a node that has had these lives on this folder can be the one that is remembered
    /// so: a copy of its folder knows nothing of the lives after it was made, or had others.
    ///
    /// - `oldest`: lives before it aren't known one by one any more.
    /// - `newest`: the present life. Lives before it that are left out were lost by damage.
    func isOurs(
        store: UInt64, lives: [UInt64: UInt64],  // ordered: looked up only
        oldest: UInt64, newest: UInt64
    ) -> Bool {
        if self.store != store || self.lives < max(1, oldest) { return true }
        return lives[self.lives].map { $0 == boot } ?? (self.lives < newest)
    }

    func encode(into writer: inout ByteWriter) {
        writer.write(store)
        writer.write(lives)
        writer.write(boot)
    }

    init(store: UInt64 = 0, lives: UInt64 = 0, boot: UInt64 = 0) {
        self.store = store
        self.lives = lives
        self.boot = boot
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        store = try reader.read()
        lives = try reader.read()
        boot = try reader.read()
    }
}

/// Written at the start of each life of a node.
struct BootRecord: Hashable, BinaryCodable {
    var store: UInt64
    var lives: UInt64
    /// What this life promises with each beat; the next one waits until the last promise is over.
    var leaseMilliseconds: UInt32
    /// What the life before it had promised: a second start may come before that has run out.
    var earlierLeaseMilliseconds: UInt32
    /// Random; in the handshake.
    var boot: UInt64

    var holdMilliseconds: UInt32 { max(leaseMilliseconds, earlierLeaseMilliseconds) }

    func encode(into writer: inout ByteWriter) {
        writer.write(store)
        writer.write(lives)
        writer.write(leaseMilliseconds)
        writer.write(earlierLeaseMilliseconds)
        writer.write(boot)
    }

    init(
        store: UInt64, lives: UInt64, leaseMilliseconds: UInt32, earlierLeaseMilliseconds: UInt32,
        boot: UInt64
    ) {
        self.store = store
        self.lives = lives
        self.leaseMilliseconds = leaseMilliseconds
        self.earlierLeaseMilliseconds = earlierLeaseMilliseconds
        self.boot = boot
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        store = try reader.read()
        lives = try reader.read()
        leaseMilliseconds = try reader.read()
        earlierLeaseMilliseconds = try reader.read()
        boot = try reader.read()
    }
}
