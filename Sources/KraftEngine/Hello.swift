import RaftCore

/// The first frame of each side of a connection: who speaks, and of which cluster.
struct Hello: Hashable {
    static let magic: UInt32 = 0x5446_524B  // "KRFT"
    /// Protocol versions that this node speaks.
    static let versions: ClosedRange<UInt16> = 1...1
    static let clusterIDLimit = 128
    static let infoLimit = 256

    var versions: ClosedRange<UInt16>
    var clusterID: String
    var node: NodeID
    /// Whom the speaker takes the other side for.
    var expected: NodeID
    /// Random for each life of a node's process.
    var boot: UInt64
    /// Of the speaker's data folder: random, made with it.
    var store: UInt64 = 0
    /// How many lives the speaker has had on that folder.
    var lives: UInt64 = 0
    /// What the speaker remembers of the other side.
    var known = PeerIdentity()
    /// Where others reach the speaker.
    var address = ""
    /// What the speaker wants its peers to know of it; opaque to the engine.
    var info = ""
    /// A second connection between two nodes that talk already, for snapshots.
    var isBulk = false

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.write(Hello.magic)
        writer.write(versions.lowerBound)
        writer.write(versions.upperBound)
        writer.write(node.rawValue)
        writer.write(expected.rawValue)
        writer.write(boot)
        writer.write(store)
        writer.write(lives)
        known.encode(into: &writer)
        writer.writeString(clusterID)
        writer.writeString(address)
        writer.writeString(info)
        writer.write(UInt8(isBulk ? 1 : 0))
        return writer.bytes
    }

    static func decode(_ body: UnsafeRawBufferPointer) -> Hello? {
        var reader = ByteReader(body)
        do {
            guard try reader.read(UInt32.self) == magic else { return nil }
            let low = try reader.read(UInt16.self)
            let high = try reader.read(UInt16.self)
            guard low <= high else { return nil }
            let node = NodeID(try reader.read(UInt32.self))
            let expected = NodeID(try reader.read(UInt32.self))
            guard !node.isNone else { return nil }
            let boot = try reader.read(UInt64.self)
            let store = try reader.read(UInt64.self)
            let lives = try reader.read(UInt64.self)
            let known = try PeerIdentity(from: &reader)
            let clusterID = try reader.readString(limit: clusterIDLimit)
            let address = try reader.readString(limit: RosterEntry.addressLimit)
            let info = try reader.readString(limit: infoLimit)
            let isBulk = try reader.readFlag()
            // What a later version adds stands behind this, and is passed over.
            return Hello(
                versions: low...high, clusterID: clusterID, node: node, expected: expected,
                boot: boot, store: store, lives: lives, known: known, address: address,
                info: info, isBulk: isBulk)
        } catch { return nil }
    }

    /// Why `self`, received by `node` of `clusterID`, is refused; nil if it is welcome.
    func objection(
        node: NodeID, clusterID: String, expected known: NodeID? = nil, isPeer: (NodeID) -> Bool
    ) -> String? {
        if !versions.overlaps(Hello.versions) {
            return "protocol versions \(versions) are not spoken here (\(Hello.versions))"
        }
        if self.clusterID != clusterID {
            return "it belongs to cluster '\(printable(self.clusterID))', not to '\(clusterID)'"
        }
        if self.node == node { return "it claims to be node \(node), which is this node" }
        if expected != (known ?? node) {
            return "it looks for node \(expected), but this is node \(node)"
        }
        if !isPeer(self.node) { return "node \(self.node) is not a member" }
        return nil
    }

    /// What strangers send may end in a log: plain ASCII, or a dot.
    private func printable(_ text: String) -> String {
        String(
            text.unicodeScalars.prefix(64).map { (" "..."~").contains($0) ? Character($0) : "." })
    }
}
