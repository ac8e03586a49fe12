import CXXHash
import RaftCore

/// Keys with values and versions in an open-addressing table: a look-up reads the key in place and
/// allocates nothing, a write of a known key allocates only when its value grows.
///
/// Linear probing at a load of at most 3/4; a removal closes the gap by moving later records back
/// (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R), so no tombstones
/// gather. A value: copies share memory until one changes. Records lie in pages, and pages in
/// chunks, so that a write while a snapshot is held copies a page and not the whole table.
struct RecordTable: Sendable {
    struct Hash { var rawValue: UInt64 }

    /// Where a key that exists lies. Valid until the table changes.
    struct Place {
        fileprivate var slot: Int
        fileprivate var record: Number
    }

    /// Which record; counted over all pages.
    fileprivate struct Number {
        var rawValue: UInt32
        var chunk: Int { Int(rawValue) >> (2 * RecordTable.pageBits) }
        var page: Int { Int(rawValue) >> RecordTable.pageBits & RecordTable.pageMask }
        var offset: Int { Int(rawValue) & RecordTable.pageMask }
    }

    /// A free one has no bytes.
    struct Record: Sendable {
        /// The key, then the value: one allocation for both, and one run of bytes to hash.
        var bytes: [UInt8]
        var keyCount: Int
        var version: LogIndex
        /// What the record adds to the digest.
        var share: UInt64
    }

    /// 0 for an empty slot; otherwise the low half is the record's number plus one and the high
    /// half 32 bits of the key's hash, whose low bits are the slot where the key would like to lie.
    private var slots: [UInt64]
    typealias Page = [Record]
    typealias Chunk = [Page]
    /// All pages and chunks but the last are full. What a snapshot shares; `slots` it doesn't need.
    private(set) var chunks: [Chunk] = []
    private var recordCount = 0
    private var freeRecords: [UInt32] = []
    let seed: UInt64
    private var sum: UInt64 = 0

    private(set) var count = 0
    private(set) var contentSizeBytes = 0

    /// Bounded by the 32 bits that number a record; more keys than that trap.
    static let recordLimit = Int(UInt32.max) - 1
    /// A page has 2^pageBits records, a chunk as many pages. The first write to a page that a
    /// snapshot shares copies it, and a chunk's list of pages and the list of chunks when they are
    /// shared still: docs/decisions/0020 has the measurements.
    private static let pageBits = 7
    private static let pageMask = 1 << pageBits - 1
    private static let initialSlotCount = 16

    init(seed: UInt64) {
        self.seed = seed
        slots = Array(repeating: 0, count: RecordTable.initialSlotCount)
    }

    /// The same for the same content, whatever the order of the writes: a sum over the records,
    /// mixed with their number.
    var digest: UInt64 {
        withUnsafeBytes(of: (sum.littleEndian, UInt64(count).littleEndian)) {
            XXH3_64bits($0.baseAddress, $0.count)
        }
    }

    func hash(of key: UnsafeRawBufferPointer) -> Hash {
        Hash(rawValue: XXH3_64bits_withSeed(key.baseAddress, key.count, seed))
    }

    // MARK: Looking up

    func find(_ key: UnsafeRawBufferPointer, hash: Hash) -> Place? {
        let tag = hash.rawValue >> 32
        let mask = slots.count - 1
        var slot = Int(tag) & mask
        while slots[slot] != 0 {
            if slots[slot] >> 32 == tag {
                let record = recordNumber(slots[slot])
                if hasKey(key, record) { return Place(slot: slot, record: record) }
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    func version(at place: Place) -> LogIndex {
        withRecord(place.record) { $0.version }
    }

    func valueCount(at place: Place) -> Int {
        withRecord(place.record) { $0.bytes.count - $0.keyCount }
    }

    @inline(__always)
    private func withRecord<R>(_ number: Number, _ body: (borrowing Record) -> R) -> R {
        body(chunks[number.chunk][number.page][number.offset])
    }

    func withValue<R>(at place: Place, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        withRecord(place.record) { record in
            record.bytes.withUnsafeBytes {
                body(UnsafeRawBufferPointer(rebasing: $0[record.keyCount...]))
            }
        }
    }

    private func hasKey(_ key: UnsafeRawBufferPointer, _ record: Number) -> Bool {
        withRecord(record) { record in
            record.keyCount == key.count
                && record.bytes.withUnsafeBytes { RecordTable.begins($0, with: key) }
        }
    }

    private static func begins(
        _ stored: UnsafeRawBufferPointer, with key: UnsafeRawBufferPointer
    ) -> Bool {
        // Eight bytes at a time: keys are short, and a look-up is on every command's way.
        var offset = 0
        while offset + 8 <= key.count {
            guard
                stored.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    == key.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            else { return false }
            offset += 8
        }
        while offset < key.count {
            guard stored[offset] == key[offset] else { return false }
            offset += 1
        }
        return true
    }

    private func recordNumber(_ slot: UInt64) -> Number {
        Number(rawValue: UInt32(truncatingIfNeeded: slot) - 1)
    }

    // MARK: Changing

    /// Adds a key that isn't there.
    mutating func insert(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, hash: Hash,
        version: LogIndex
    ) {
        if (count + 1) * 4 > slots.count * 3 { grow() }
        let bytes = [UInt8](unsafeUninitializedCapacity: key.count + value.count) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            raw.copyMemory(from: key)
            UnsafeMutableRawBufferPointer(rebasing: raw[key.count...]).copyMemory(from: value)
            count = key.count + value.count
        }
        var record = Record(bytes: bytes, keyCount: key.count, version: version, share: 0)
        record.share = RecordTable.share(of: record)
        sum &+= record.share
        contentSizeBytes += bytes.count
        count += 1

        occupy(tag: hash.rawValue >> 32, number: place(record))
    }

    /// Puts a record where one is free.
    private mutating func place(_ record: consuming Record) -> Number {
        if let free = freeRecords.popLast() {
            let number = Number(rawValue: free)
            chunks[number.chunk][number.page][number.offset] = record
            return number
        }
        precondition(recordCount < RecordTable.recordLimit, "more keys than a group can hold")
        let number = Number(rawValue: UInt32(recordCount))
        recordCount += 1
        if number.offset == 0 {
            if number.page == 0 { chunks.append([]) }
            var page: Page = []
            // The first one grows with its records: there are thousands of small stores.
            if number.rawValue > 0 { page.reserveCapacity(1 << RecordTable.pageBits) }
            chunks[number.chunk].append(page)
        }
        chunks[number.chunk][number.page].append(record)
        return number
    }

    mutating func replace(
        _ value: UnsafeRawBufferPointer, at place: Place, version: LogIndex
    ) {
        change(place, version: version) { record in
            let end = record.keyCount + value.count
            if record.bytes.count == end {
                record.bytes.withUnsafeMutableBytes {
                    UnsafeMutableRawBufferPointer(rebasing: $0[record.keyCount...])
                        .copyMemory(from: value)
                }
            } else {
                record.bytes.replaceSubrange(record.keyCount..., with: value)
            }
        }
    }

    mutating func append(_ value: UnsafeRawBufferPointer, at place: Place, version: LogIndex) {
        change(place, version: version) { $0.bytes.append(contentsOf: value) }
    }

    private mutating func change(
        _ place: Place, version: LogIndex, _ body: (inout Record) -> Void
    ) {
        let number = place.record
        // One check of whether the page is shared, however often it is used inside.
        let change = RecordTable.change(&chunks[number.chunk][number.page][number.offset]) {
            body(&$0)
            $0.version = version
        }
        sum &+= change.share
        contentSizeBytes += change.size
    }

    @inline(__always)
    private static func change(
        _ record: inout Record, _ body: (inout Record) -> Void
    ) -> (share: UInt64, size: Int) {
        let old = (share: record.share, size: record.bytes.count)
        body(&record)
        record.share = share(of: record)
        return (record.share &- old.share, record.bytes.count - old.size)
    }

    mutating func remove(at place: Place) {
        let change = RecordTable.change(
            &chunks[place.record.chunk][place.record.page][place.record.offset]
        ) {
            $0 = Record(bytes: [], keyCount: 0, version: .zero, share: 0)
        }
        sum &+= change.share
        contentSizeBytes += change.size
        count -= 1
        freeRecords.append(place.record.rawValue)
        closeGap(at: place.slot)
    }

    /// Moves every record of the run behind the gap that may lie there back into it.
    private mutating func closeGap(at start: Int) {
        let mask = slots.count - 1
        var gap = start
        var next = (gap + 1) & mask
        while slots[next] != 0 {
            let home = Int(slots[next] >> 32) & mask
            // A record may not move before the slot where its search begins.
            if (next - home) & mask >= (next - gap) & mask {
                slots[gap] = slots[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        slots[gap] = 0
    }

    private mutating func occupy(tag: UInt64, number: Number) {
        let mask = slots.count - 1
        var slot = Int(tag) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = tag << 32 | (UInt64(number.rawValue) + 1)
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: 0, count: old.count * 2)
        for slot in old where slot != 0 {
            occupy(tag: slot >> 32, number: recordNumber(slot))
        }
    }

    private static func share(of record: borrowing Record) -> UInt64 {
        if record.bytes.isEmpty { return 0 }
        // The seed binds the version and the border between key and value.
        let seed = record.version.rawValue &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(record.keyCount)
        return record.bytes.withUnsafeBytes {
            XXH3_64bits_withSeed($0.baseAddress, $0.count, seed)
        }
    }
}
