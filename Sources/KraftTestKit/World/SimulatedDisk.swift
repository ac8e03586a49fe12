import KraftEngine

/// One node's log folder: what is in the page cache, what is durable, and what lies between.
///
/// A write is in the cache when the operating system has taken it, and durable when its sync has
/// ended. A killed process loses nothing of the cache; a power cut may lose any part of what was
/// not synced, sector by sector. A sync that fails may leave its bytes in the cache for everybody to
/// read, and yet no later sync writes them: the kernel takes them for clean.
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
        /// The cache holds bytes that no sync will ever make durable.
        var isStale = false
        /// Whether its directory entry survives a power cut.
        var isEntryDurable = true
        var isHeaderSound = true
    }

    /// What can happen to a log while nobody writes it.
    enum Decay: CaseIterable {
        case flippedBit, zeroedSectors, cutSegment, blankSegment, lostSegment
    }

    /// A snapshot's file. Its bytes are synced before it gets its name.
    struct Snapshot {
        var name: SnapshotName
        var bytes: [UInt8]
        /// Whether its directory entry survives a power cut.
        var isEntryDurable = false
        /// A bit was changed on purpose.
        var isRotten = false
    }

    private(set) var snapshots: [Snapshot] = []
    /// Files that have no name yet: whoever starts removes them.
    private(set) var unfinished: [Snapshot] = []

    /// Ascending by number.
    private(set) var segments: [Segment] = []
    /// Files that lost their names, as long as the folder wasn't synced: after a power cut they may be
    /// there again.
    private var ghosts: [Segment] = []
    /// The first segment that nobody has given back. Those before it may be there all the same: a power
    /// cut can bring their names back.
    private(set) var firstNeeded: UInt64 = 1
    /// Operations of a starting node after which the power fails.
    private var operationsUntilCrash: Int?
    private(set) var didCrash = false
    var coverage = Coverage()
    private var random: SeededRandom
    private var follower = LogFollower()
    /// The log has decayed, and no node has started on it since: it can't be followed meanwhile.
    private(set) var isDecayed = false
    /// Where the log went on after it had decayed; what stands before isn't read again.
    private var mark: LogMark?
    var hasDecayed: Bool { mark != nil }
    /// The last write that was synced.
    private var lastSync: (segment: UInt64, offset: Int) = (0, 0)

    init(random: SeededRandom) { self.random = random }

    /// The same disk at this moment, which may have another future.
    func copy(random: SeededRandom) -> SimulatedDisk {
        let copy = SimulatedDisk(random: random)
        copy.snapshots = snapshots
        copy.unfinished = unfinished
        copy.segments = segments
        copy.ghosts = ghosts
        copy.firstNeeded = firstNeeded
        (copy.isDecayed, copy.mark, copy.lastSync) = (isDecayed, mark, lastSync)
        return copy
    }

    private func position(of number: UInt64) -> Int? {
        guard let last = segments.last, number <= last.number else { return nil }
        // Numbers are dense but for what a crash has taken.
        let guess = segments.count - 1 - Int(last.number - number)
        if segments.indices.contains(guess), segments[guess].number == number { return guess }
        return segments.firstIndex { $0.number == number }
    }

    func size(of number: UInt64) -> Int? { position(of: number).map { segments[$0].cached.count } }

    // MARK: While the node runs

    /// The operating system has taken a write. False when it doesn't fit the segment.
    func cache(_ write: Write, segment number: UInt64) -> Bool {
        guard let position = position(of: number), write.offset >= 0,
            write.range.upperBound <= segments[position].cached.count
        else { return false }
        SimulatedDisk.copy(write.bytes[...], to: &segments[position].cached, at: write.offset)
        segments[position].unsynced.append(write)
        return true
    }

    private static func copy(_ bytes: ArraySlice<UInt8>, to target: inout [UInt8], at offset: Int) {
        target.withUnsafeMutableBytes { target in
            bytes.withUnsafeBytes { bytes in
                guard let source = bytes.baseAddress else { return }
                (target.baseAddress! + offset).copyMemory(from: source, byteCount: bytes.count)
            }
        }
    }

    /// A data sync of the segment has ended well.
    func sync(segment number: UInt64) {
        guard let position = position(of: number) else { return }
        if let first = segments[position].unsynced.map(\.offset).min() {
            lastSync = (number, first)
        }
        for write in segments[position].unsynced {
            SimulatedDisk.copy(write.bytes[...], to: &segments[position].durable, at: write.offset)
        }
        segments[position].unsynced.removeAll()
    }

    /// A sync has failed: what it was to make durable is there in part, and nobody knows which.
    ///
    /// - `bytesStay`: the cache goes on to show the bytes as if they had been written.
    func failSync(segment number: UInt64, bytesStay: Bool) {
        guard let position = position(of: number) else { return }
        let cached = segments[position].cached
        losePower(segment: position)
        guard bytesStay else { return }
        coverage.count(.failedSyncsKeptReadable)
        segments[position].cached = cached
        segments[position].isStale = true
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
        if let old = segment.recycles {
            remove(old)
            // Zeros have gone there, how far nobody knows.
            if let place = ghosts.firstIndex(where: { $0.number == old }) {
                let size = ghosts[place].durable.count
                let end = random.below(size + 1)
                ghosts[place].durable.replaceSubrange(
                    0..<end, with: repeatElement(0, count: end))
                ghosts[place].cached = ghosts[place].durable
            }
        }
        var bytes = [UInt8](repeating: 0, count: max(segment.sizeBytes, segment.header.count))
        SimulatedDisk.copy(segment.header[...], to: &bytes, at: 0)
        let place = segments.firstIndex { $0.number > segment.number } ?? segments.count
        segments.insert(
            Segment(
                number: segment.number, cached: bytes, durable: bytes,
                isEntryDurable: isEntryDurable),
            at: place)
        return true
    }

    /// Nobody needs a segment any more, nor those before it.
    func remove(_ number: UInt64) {
        firstNeeded = max(firstNeeded, number + 1)
        guard let position = position(of: number) else { return }
        let segment = segments.remove(at: position)
        if segment.isEntryDurable { ghosts.append(segment) }
    }

    /// The folder was synced, so the segment's name survives a power cut.
    func syncEntry(segment number: UInt64) {
        ghosts = []
        guard let position = position(of: number) else { return }
        segments[position].isEntryDurable = true
    }

    // MARK: Snapshots

    /// The next bytes of a snapshot that has no name yet. False when they don't fit behind those
    /// before.
    func write(_ bytes: [UInt8], of name: SnapshotName, at offset: Int) -> Bool {
        if offset == 0 {
            unfinished.removeAll { $0.name == name }
            unfinished.append(Snapshot(name: name, bytes: []))
        }
        guard let place = unfinished.firstIndex(where: { $0.name == name }),
            unfinished[place].bytes.count == offset
        else { return false }
        unfinished[place].bytes += bytes
        return true
    }

    /// An unfinished snapshot, synced, gets its name.
    func nameSnapshot(_ name: SnapshotName) {
        guard let place = unfinished.firstIndex(where: { $0.name == name }) else { return }
        snapshots.removeAll { $0.name == name }
        snapshots.append(unfinished.remove(at: place))
    }

    /// The folder of the snapshots was synced.
    func syncSnapshotEntries() {
        for place in snapshots.indices { snapshots[place].isEntryDurable = true }
    }

    func snapshot(_ name: SnapshotName) -> Snapshot? { snapshots.first { $0.name == name } }

    func removeSnapshot(_ name: SnapshotName) {
        snapshots.removeAll { $0.name == name }
        unfinished.removeAll { $0.name == name }
    }

    /// A bit of a snapshot rots. Says whether it is there.
    func rot(_ name: SnapshotName, bit: Int) -> Bool {
        guard let place = snapshots.firstIndex(where: { $0.name == name }),
            !snapshots[place].bytes.isEmpty
        else { return false }
        let bit = bit % (snapshots[place].bytes.count * 8)
        snapshots[place].bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        snapshots[place].isRotten = true
        return true
    }

    func snapshotNames() throws(KraftError) -> [SnapshotName] {
        try operate()
        unfinished.removeAll()
        return snapshots.map(\.name)
    }

    /// A name that no sync of the folder has made durable may be gone.
    private func loseSnapshotNames(_ cut: PowerCut) {
        unfinished.removeAll()
        snapshots.removeAll { snapshot in
            let isLost = !snapshot.isEntryDurable && losesName(cut)
            if isLost { coverage.count(.snapshotNamesLost) }
            return isLost
        }
        syncSnapshotEntries()
    }

    // MARK: Looking

    /// Hands out the records that have become durable since the last call.
    func follow(_ onRecord: (LogFollower.Record) -> Void) throws(KraftError) {
        for segment in segments
        where segment.number >= max(follower.segment, firstNeeded) && segment.isEntryDurable {
            var failure: KraftError?
            segment.durable.withUnsafeBytes { bytes in
                do throws(KraftError) {
                    _ = try follower.read(segment.number, bytes, onRecord: onRecord)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
        }
    }

    /// The next `follow` begins at the first record.
    ///
    /// Says whether that is the first one since the log went on after it had decayed.
    func followAgain() -> Bool {
        if let mark, mark.segment >= firstNeeded {
            follower = LogFollower(behind: mark)
            return true
        }
        mark = nil
        let first = segments.first { $0.number >= firstNeeded }
        follower = LogFollower(firstSegment: first?.number ?? 1)
        return false
    }

    // MARK: Decay

    /// Whether all that was written is durable.
    var isSettled: Bool { segments.allSatisfy { $0.unsynced.isEmpty && !$0.isStale } }

    /// Something happens to the log while nobody writes it. Only what can be told from a write that a
    /// power cut tore: so no zeros in the last write. Says whether there was anything to decay.
    func decay(_ kind: Decay) -> Bool {
        let used = segments.indices.filter { place in
            segments[place].number >= firstNeeded && usedSectors(place).contains { $0 >= 8 }
        }
        guard let last = used.last else { return false }
        let place = used[random.below(used.count)]
        // The folder's identity stands in each segment's header; one of them is left.
        let isAlone = !segments.indices.contains {
            $0 != place && segments[$0].number >= firstNeeded && segments[$0].isHeaderSound
        }
        let first = isAlone ? 8 : 0
        switch kind {
        case .flippedBit:
            let sectors = usedSectors(place).filter { $0 >= first }
            guard let sector = random.element(sectors) else { return false }
            if sector < 8 { segments[place].isHeaderSound = false }
            let bit = random.below(SimulatedDisk.sectorSize * 8)
            segments[place].durable[sector * SimulatedDisk.sectorSize + bit / 8] ^=
                1 << UInt8(bit % 8)
            segments[place].cached = segments[place].durable
        case .zeroedSectors:
            var sectors = usedSectors(place).filter { $0 >= first }
            if place == last {
                guard lastSync.segment == segments[place].number else { return false }
                sectors.removeAll { ($0 + 8) * SimulatedDisk.sectorSize > lastSync.offset }
            }
            guard let sector = random.element(sectors) else { return false }
            if sector < 8 { segments[place].isHeaderSound = false }
            let start = sector * SimulatedDisk.sectorSize
            let count = SimulatedDisk.sectorSize * (1 + random.below(8))
            let end = min(start + count, segments[place].durable.count)
            segments[place].durable.replaceSubrange(
                start..<end, with: repeatElement(0, count: end - start))
            segments[place].cached = segments[place].durable
        case .cutSegment:
            let sectors = segments[place].durable.count / SimulatedDisk.sectorSize
            let count = first + random.below(sectors - first)
            if count < 8 { segments[place].isHeaderSound = false }
            segments[place].durable.removeSubrange((count * SimulatedDisk.sectorSize)...)
            segments[place].cached = segments[place].durable
        case .blankSegment:
            guard !isAlone else { return false }
            segments[place].isHeaderSound = false
            segments[place].durable = [UInt8](repeating: 0, count: segments[place].durable.count)
            segments[place].cached = segments[place].durable
        case .lostSegment:
            guard !isAlone, place != last else { return false }
            segments.remove(at: place)
        }
        isDecayed = true
        return true
    }

    private func usedSectors(_ place: Int) -> [Int] {
        let bytes = segments[place].durable
        return (0..<bytes.count / SimulatedDisk.sectorSize).filter { sector in
            let start = sector * SimulatedDisk.sectorSize
            return bytes[start..<start + SimulatedDisk.sectorSize].contains { $0 != 0 }
        }
    }

    /// A node has started on the log, and goes on with it there.
    func wentOn(at mark: LogMark) {
        isDecayed = false
        self.mark = mark
        follower = LogFollower(behind: mark)
    }

    // MARK: Crashes

    /// What becomes of that which wasn't durable.
    enum PowerCut: CaseIterable {
        /// Whatever the dice say.
        case any
        case lost, kept
        /// The end of what was written is gone; something in its middle; the newer of several
        /// writes to a sector.
        case torn, hole, mixed
    }

    private func losesName(_ cut: PowerCut) -> Bool {
        switch cut {
        case .lost: true
        case .kept: false
        default: random.chance(500)
        }
    }

    /// The power fails: of what wasn't durable, any part may be gone.
    func losePower(_ cut: PowerCut = .any) {
        loseSnapshotNames(cut)
        segments.removeAll { segment in
            let isLost = !segment.isEntryDurable && losesName(cut)
            if isLost { coverage.count(.preparationsLost) }
            return isLost
        }
        for position in segments.indices {
            segments[position].isEntryDurable = true
            losePower(segment: position, cut)
        }
        for ghost in ghosts where losesName(cut) {
            let place = segments.firstIndex { $0.number > ghost.number } ?? segments.count
            segments.insert(ghost, at: place)
        }
        ghosts = []
    }

    private func losePower(segment position: Int, _ cut: PowerCut = .any) {
        if segments[position].isStale {
            segments[position].isStale = false
            coverage.count(.staleCachesLost)
            segments[position].cached = segments[position].durable
        }
        let writes = segments[position].unsynced
        segments[position].unsynced.removeAll()
        guard !writes.isEmpty else { return }
        let sectors = SimulatedDisk.sectors(of: writes)
        switch cut == .any ? PowerCut.allCases[1 + random.below(5)] : cut {
        case .lost:
            coverage.count(.writesLostAtPowerCut)
        case .kept:
            coverage.count(.writesKeptAtPowerCut)
            keep(sectors, of: writes, segment: position) { $0 }
        case .torn:
            coverage.count(.writesTornAtPowerCut)
            let end = sectors.lowerBound + random.below(sectors.count + 1)
            keep(sectors.lowerBound..<end, of: writes, segment: position) { $0 }
        case .hole:
            // A hole: sectors go to the disk in any order, so later ones may be there alone.
            coverage.count(.holesAtPowerCut)
            let start = sectors.lowerBound + random.below(min(sectors.count, 9))
            let end = min(sectors.upperBound, start + 1 + random.below(9))
            keep(sectors.lowerBound..<start, of: writes, segment: position) { $0 }
            keep(end..<sectors.upperBound, of: writes, segment: position) { $0 }
        case .any, .mixed:
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
                SimulatedDisk.copy(
                    bytes, to: &segments[position].durable, at: part.lowerBound)
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

    func rewrite(
        segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(KraftError) {
        try operate()
        guard cache(Write(offset: offset, bytes: Array(bytes)), segment: number) else {
            throw KraftError(.storage, "no room in segment \(number)")
        }
    }

    func sync() throws(KraftError) {
        try operate()
        ghosts = []
        for position in segments.indices {
            sync(segment: segments[position].number)
            segments[position].isEntryDurable = true
        }
        syncSnapshotEntries()
    }
}
