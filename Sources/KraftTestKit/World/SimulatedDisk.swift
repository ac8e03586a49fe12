import KraftEngine

/// One node's log folder: what is in the page cache, what is durable, and what lies between.
///
/// A write is in the cache when the operating system has taken it, and durable when its sync has
/// ended. A killed process loses nothing of the cache; a power cut may lose any part of what was
/// not synced, sector by sector.
final class SimulatedDisk: LogDirectory {
    static let sectorSize = 512

    struct Write {
        var offset: Int
        var bytes: [UInt8]
        var range: Range<Int> { offset..<offset + bytes.count }
    }

    struct Segment {
        var number: UInt64
        /// What a process reads.
        var cached: [UInt8]
        /// What surely survives a power cut.
        var durable: [UInt8]
        /// In the cache, in order, not yet durable.
        var unsynced: [Write] = []
        /// Whether its directory entry survives a power cut.
        var isEntryDurable = true
    }

    /// Ascending by number.
    private(set) var segments: [Segment] = []
    /// Operations of a starting node after which the power fails.
    var operationsUntilCrash: Int?
    private(set) var didCrash = false
    var coverage = Coverage()
    private var random: SeededRandom

    init(random: SeededRandom) { self.random = random }

    private func position(of number: UInt64) -> Int? {
        segments.firstIndex { $0.number == number }
    }

    func size(of number: UInt64) -> Int? { position(of: number).map { segments[$0].cached.count } }

    // MARK: While the node runs

    /// The operating system has taken a write. Nil when it doesn't fit the segment.
    func cache(_ write: Write, segment number: UInt64) -> Bool {
        guard let position = position(of: number), write.offset >= 0,
            write.range.upperBound <= segments[position].cached.count
        else { return false }
        segments[position].cached.replaceSubrange(write.range, with: write.bytes)
        segments[position].unsynced.append(write)
        return true
    }

    /// A data sync of the segment has ended well.
    func sync(segment number: UInt64) {
        guard let position = position(of: number) else { return }
        for write in segments[position].unsynced {
            segments[position].durable.replaceSubrange(write.range, with: write.bytes)
        }
        segments[position].unsynced.removeAll()
    }

    /// A sync has failed: what it was to make durable is there in part, and nobody knows which.
    func failSync(segment number: UInt64) {
        guard let position = position(of: number) else { return }
        losePower(segment: position)
    }

    func read(segment number: UInt64, offset: Int, count: Int) -> [UInt8]? {
        guard let position = position(of: number), offset >= 0 else { return nil }
        let bytes = segments[position].cached
        guard offset <= bytes.count else { return nil }
        return Array(bytes[offset..<min(bytes.count, offset + count)])
    }

    /// A segment file appears, whole. False when there is one of this number.
    func add(_ segment: SegmentPreparation, isEntryDurable: Bool) -> Bool {
        guard position(of: segment.number) == nil else { return false }
        var bytes = segment.header
        bytes.append(
            contentsOf: repeatElement(0, count: max(0, segment.sizeBytes - bytes.count)))
        let place = segments.firstIndex { $0.number > segment.number } ?? segments.count
        segments.insert(
            Segment(
                number: segment.number, cached: bytes, durable: bytes,
                isEntryDurable: isEntryDurable),
            at: place)
        return true
    }

    // MARK: Crashes

    /// The power fails: of what wasn't durable, any part may be gone.
    func losePower() {
        segments.removeAll { segment in
            let isLost = !segment.isEntryDurable && random.chance(500)
            if isLost { coverage.count(.preparationsLost) }
            return isLost
        }
        for position in segments.indices {
            segments[position].isEntryDurable = true
            losePower(segment: position)
        }
    }

    private func losePower(segment position: Int) {
        let writes = segments[position].unsynced
        segments[position].unsynced.removeAll()
        guard !writes.isEmpty else { return }
        let sectors = SimulatedDisk.sectors(of: writes)
        switch random.below(4) {
        case 0:
            coverage.count(.writesLostAtPowerCut)
        case 1:
            coverage.count(.writesKeptAtPowerCut)
            for write in writes {
                segments[position].durable.replaceSubrange(write.range, with: write.bytes)
            }
        case 2:
            coverage.count(.writesTornAtPowerCut)
            let end = sectors.lowerBound + random.below(sectors.count + 1)
            keep(sectors.lowerBound..<end, of: writes, segment: position) { $0 }
        default:
            coverage.count(.writesTornAtPowerCut)
            keep(sectors, of: writes, segment: position) { [self] in random.below($0 + 1) }
        }
        segments[position].cached = segments[position].durable
    }

    /// Makes the oldest `count(of how many)` writes to each of these sectors durable.
    private func keep(
        _ sectors: Range<Int>, of writes: [Write], segment position: Int, count: (Int) -> Int
    ) {
        for sector in sectors {
            let bounds =
                sector * SimulatedDisk.sectorSize..<(sector + 1) * SimulatedDisk.sectorSize
            let here = writes.filter { $0.range.overlaps(bounds) }
            guard !here.isEmpty else { continue }
            for write in here.prefix(count(here.count)) {
                let part = write.range.clamped(to: bounds)
                let bytes = write.bytes[
                    part.lowerBound - write.offset..<part.upperBound - write.offset]
                segments[position].durable.replaceSubrange(part, with: bytes)
            }
        }
    }

    private static func sectors(of writes: [Write]) -> Range<Int> {
        let first = writes.reduce(Int.max) { min($0, $1.range.lowerBound) } / sectorSize
        let last = (writes.reduce(0) { max($0, $1.range.upperBound) } + sectorSize - 1) / sectorSize
        return first..<max(first, last)
    }

    // MARK: LogDirectory, while a node starts

    private func operate() throws(KraftError) {
        guard let left = operationsUntilCrash else { return }
        guard left > 0 else {
            didCrash = true
            throw KraftError(.storage, "simulated power cut")
        }
        operationsUntilCrash = left - 1
    }

    func begin(operationsUntilCrash: Int?) {
        self.operationsUntilCrash = operationsUntilCrash
        didCrash = false
    }

    func segmentNumbers() throws(KraftError) -> [UInt64] {
        try operate()
        return segments.map(\.number)
    }

    func load(segment number: UInt64) throws(KraftError) -> Block {
        try operate()
        guard let position = position(of: number) else {
            throw KraftError(.storage, "no segment \(number)")
        }
        let bytes = segments[position].cached
        let block = Block(capacity: bytes.count)
        block.load { memory in
            memory.copyBytes(from: bytes)
            return bytes.count
        }
        return block
    }

    func prepare(_ segment: SegmentPreparation) throws(KraftError) {
        do throws(KraftError) {
            try operate()
        } catch {
            if random.chance(500) { _ = add(segment, isEntryDurable: false) }
            throw error
        }
        guard add(segment, isEntryDurable: true) else {
            throw KraftError(.storage, "segment \(segment.number) exists")
        }
    }

    func sync() throws(KraftError) {
        try operate()
        for position in segments.indices {
            sync(segment: segments[position].number)
            segments[position].isEntryDurable = true
        }
    }
}
