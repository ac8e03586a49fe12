import RaftCore

/// The proposals of one turn, in the order of their coming and linked by group: each group's then
/// go into the log as one run.
struct StagingBuffer {
    struct Proposal {
        var next: Int32 = -1
        /// `command`, `session` or `sessionCommand`.
        var kind: EntryKind
        var offset: Int
        var count: Int
        /// 0: not chosen by a router.
        var route: UInt64
        var origin: Origin
        var deadline: Instant

        /// What it takes as an entry.
        var entrySize: Int {
            LogFormat.entryHeaderSize + count + (route == 0 ? 0 : 8)
        }
    }

    private(set) var proposals: [Proposal] = []
    private var bytes = Block(capacity: 64 << 10)
    var byteCount: Int { bytes.count }

    mutating func add(
        _ kind: EntryKind, _ command: UnsafeRawBufferPointer, route: UInt64, origin: Origin,
        deadline: Instant
    ) -> Int32 {
        let needed = bytes.count + command.count
        if needed > bytes.capacity {
            let larger = Block(capacity: max(needed, bytes.capacity * 2))
            larger.base.copyMemory(from: bytes.base, byteCount: bytes.count)
            larger.count = bytes.count
            bytes = larger
        }
        let offset = bytes.count
        if let source = command.baseAddress {
            (bytes.base + offset).copyMemory(from: source, byteCount: command.count)
        }
        bytes.count = needed
        proposals.append(
            Proposal(
                kind: kind, offset: offset, count: command.count, route: route, origin: origin,
                deadline: deadline))
        return Int32(proposals.count - 1)
    }

    mutating func link(_ place: Int32, to next: Int32) { proposals[Int(place)].next = next }

    func command(of proposal: Proposal) -> UnsafeRawBufferPointer {
        bytes.bytes(proposal.offset..<(proposal.offset + proposal.count))
    }

    /// Writes a proposal as an entry; returns where the next one goes. `stamp`: the time by the
    /// group's clock, for what concerns its sessions.
    @inline(__always)
    func write(
        _ proposal: Proposal, stamp: UInt64, to target: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        let payload = proposal.count + (proposal.route == 0 ? 0 : 8)
        target.storeBytes(of: UInt32(payload).littleEndian, as: UInt32.self)
        let kind = proposal.route == 0 ? proposal.kind : .routedCommand
        target.storeBytes(of: kind.rawValue, toByteOffset: 4, as: UInt8.self)
        var place = target + LogFormat.entryHeaderSize
        if proposal.route != 0 {
            place.storeBytes(of: proposal.route.littleEndian, as: UInt64.self)
            place += 8
        }
        place.copyMemory(from: bytes.base + proposal.offset, byteCount: proposal.count)
        if kind.isOfSession { place.storeBytes(of: stamp.littleEndian, as: UInt64.self) }
        return place + proposal.count
    }

    /// Empties it for the next turn; memory beyond the ordinary is given back.
    mutating func removeAll() {
        guard !proposals.isEmpty else { return }
        proposals.removeAll(keepingCapacity: true)
        if bytes.capacity > 4 << 20 { bytes = Block(capacity: 64 << 10) }
        bytes.count = 0
    }
}
