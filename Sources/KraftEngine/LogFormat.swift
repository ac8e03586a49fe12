import CXXHash
import KraftRouting
import RaftCore

/// The bytes of the write-ahead log, as `docs/disk-format.md` describes them. All numbers are
/// little-endian; every checksum is 64-bit XXH3.
enum LogFormat {
    /// A segment starts with one block of header; batches start at multiples of a block.
    static let blockSize = 4_096
    static let segmentMagic: UInt64 = 0x474F_4C54_4641_524B  // "KRAFTLOG"
    static let version: UInt32 = 2
    static let batchMagic: UInt32 = 0x5441_424B  // "KBAT"
    static let batchHeaderSize = 64
    static let recordHeaderSize = 48
    /// Bytes of an entry before its payload: length and kind.
    static let entryHeaderSize = 5

    static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        XXH3_64bits_withSeed(bytes.baseAddress, bytes.count, seed)
    }

    static func roundUp(_ count: Int, to multiple: Int) -> Int {
        (count + multiple - 1) / multiple * multiple
    }

    /// What a record takes in a batch: header and payload, padded to 8 bytes.
    static func recordSize(payload: Int) -> Int { roundUp(recordHeaderSize + payload, to: 8) }
}

/// What an entry of a group's log carries.
enum EntryKind: UInt8 {
    /// The entry that a new leader makes to commit those before it.
    case noOp = 0
    /// A command for the state machine.
    case command = 1
    /// A command chosen by a router: 8 bytes of epoch, then the command.
    case routedCommand = 2
    /// The group's new epoch: 8 bytes.
    case descriptor = 3
    /// The group's members from here on.
    case membership = 4
    /// A `SessionChange`: see `SessionEntry`.
    case session = 5
    /// A command of a session: see `SessionEntry`.
    case sessionCommand = 6
    /// A witness keeps this in the place of an entry whose bytes it isn't given. Empty.
    case withheld = 7

    /// Whether it begins with a stamp of the group's clock.
    @inline(__always)
    var isOfSession: Bool { self == .session || self == .sessionCommand }
}

enum RecordKind: UInt8 {
    case entries = 1
    case hardState = 2
    case groupCreated = 3
    case groupRemoved = 4
    /// One life of this node began.
    case boot = 5
    /// What the cluster knows of a node: its address, or that it left.
    case roster = 6
    /// What this node knows of another's data folder.
    case identity = 7
    /// A group's whole state but for its newest entries: see `Checkpoint`.
    case checkpoint = 8
    /// Entries that stood in an older segment, once more: they take nothing back.
    case rewritten = 9
    /// The log begins with the segment of this number (`index`); older ones are leftovers.
    case logStart = 10
    /// What the log says of the node itself, once more: see `NodeLists`.
    case nodeLists = 11
}

/// A place in a node's whole log: segment number and offset, in one ordered number.
struct LogPosition: Hashable, Comparable {
    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(segment: UInt64, offset: Int) { rawValue = segment << 32 | UInt64(offset) }

    var segment: UInt64 { rawValue >> 32 }
    var offset: Int { Int(rawValue & 0xFFFF_FFFF) }

    static func < (a: LogPosition, b: LogPosition) -> Bool { a.rawValue < b.rawValue }
    static func + (a: LogPosition, bytes: Int) -> LogPosition {
        LogPosition(rawValue: a.rawValue + UInt64(bytes))
    }
    static func - (a: LogPosition, b: LogPosition) -> Int { Int(a.rawValue - b.rawValue) }
}

/// The first block of a segment file: whose it is, and which life of the file.
struct SegmentHeader: Hashable {
    var number: UInt64
    /// Random for each life of a segment: it seeds all checksums inside, so that nothing written
    /// in an earlier life is ever believed.
    var nonce: UInt64
    var sizeBytes: UInt64
    var node: NodeID
    /// Of the data folder: random, made with it.
    var store: UInt64
    var clusterID: String

    func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: LogFormat.blockSize)
        writer.write(LogFormat.segmentMagic)
        writer.write(LogFormat.version)
        writer.write(node.rawValue)
        writer.write(number)
        writer.write(nonce)
        writer.write(sizeBytes)
        writer.write(store)
        writer.writeString(clusterID)
        var bytes = writer.bytes
        let body = LogFormat.blockSize - 8
        bytes += [UInt8](repeating: 0, count: body - bytes.count)
        let checksum = bytes.withUnsafeBytes { LogFormat.checksum($0, seed: 0) }
        withUnsafeBytes(of: checksum.littleEndian) { bytes += $0 }
        return bytes
    }

    /// Nil for anything that `encoded` did not write.
    static func decode(_ bytes: UnsafeRawBufferPointer) -> SegmentHeader? {
        guard var reader = reader(bytes) else { return nil }
        do {
            guard try reader.read(UInt32.self) == LogFormat.version else { return nil }
            let node = NodeID(try reader.read(UInt32.self))
            return SegmentHeader(
                number: try reader.read(), nonce: try reader.read(),
                sizeBytes: try reader.read(), node: node, store: try reader.read(),
                clusterID: try reader.readString(limit: 128))
        } catch { return nil }
    }

    /// The version of the format that a sound header of any version names.
    static func version(_ bytes: UnsafeRawBufferPointer) -> UInt32? {
        guard var reader = reader(bytes) else { return nil }
        return try? reader.read(UInt32.self)
    }

    /// Behind the magic of a header that is whole.
    private static func reader(_ bytes: UnsafeRawBufferPointer) -> ByteReader? {
        guard bytes.count >= LogFormat.blockSize else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(LogFormat.blockSize - 8)])
        let checksum = bytes.loadUnaligned(fromByteOffset: body.count, as: UInt64.self)
        guard UInt64(littleEndian: checksum) == LogFormat.checksum(body, seed: 0) else {
            return nil
        }
        var reader = ByteReader(body)
        guard (try? reader.read(UInt64.self)) == LogFormat.segmentMagic else { return nil }
        return reader
    }
}

/// Starts each batch: what one write, or a part of one, put into the log.
struct BatchHeader: Hashable {
    var recordCount: UInt32
    /// Header and records, without the sums of their sectors and the padding to a whole block.
    var byteCount: UInt64
    /// Rises by one from batch to batch, over segments and restarts.
    var sequence: UInt64
    /// The sequence of the first batch that was written and synced together with this one. A batch
    /// of a later write proves that all of the earlier ones had been synced.
    var writeSequence: UInt64
    /// The newest segment that was prepared by then: if it is gone, so may be what stood there.
    var prepared: UInt64
    /// Which life of the node wrote it.
    var life: NodeLists.Life

    func encode(to target: UnsafeMutableRawPointer, nonce: UInt64, offset: Int) {
        target.storeBytes(of: LogFormat.batchMagic.littleEndian, toByteOffset: 8, as: UInt32.self)
        target.storeBytes(of: recordCount.littleEndian, toByteOffset: 12, as: UInt32.self)
        target.storeBytes(of: byteCount.littleEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: sequence.littleEndian, toByteOffset: 24, as: UInt64.self)
        target.storeBytes(of: writeSequence.littleEndian, toByteOffset: 32, as: UInt64.self)
        target.storeBytes(of: prepared.littleEndian, toByteOffset: 40, as: UInt64.self)
        target.storeBytes(of: life.number.littleEndian, toByteOffset: 48, as: UInt64.self)
        target.storeBytes(of: life.boot.littleEndian, toByteOffset: 56, as: UInt64.self)
        let body = UnsafeRawBufferPointer(
            start: target + 8, count: LogFormat.batchHeaderSize - 8)
        let checksum = LogFormat.checksum(body, seed: nonce ^ UInt64(offset))
        target.storeBytes(of: checksum.littleEndian, as: UInt64.self)
    }

    /// Nil unless a batch of this life of the segment starts here.
    static func decode(
        _ segment: UnsafeRawBufferPointer, at offset: Int, nonce: UInt64
    ) -> BatchHeader? {
        guard offset >= 0, segment.count - offset >= LogFormat.batchHeaderSize else { return nil }
        let bytes = UnsafeRawBufferPointer(
            rebasing: segment[offset..<(offset + LogFormat.batchHeaderSize)])
        func load<T: FixedWidthInteger>(_ at: Int, as: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard load(8, as: UInt32.self) == LogFormat.batchMagic else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[8...])
        guard
            load(0, as: UInt64.self)
                == LogFormat.checksum(body, seed: nonce ^ UInt64(offset))
        else { return nil }
        let header = BatchHeader(
            recordCount: load(12, as: UInt32.self), byteCount: load(16, as: UInt64.self),
            sequence: load(24, as: UInt64.self), writeSequence: load(32, as: UInt64.self),
            prepared: load(40, as: UInt64.self),
            life: .init(number: load(48, as: UInt64.self), boot: load(56, as: UInt64.self)))
        guard header.byteCount >= UInt64(LogFormat.batchHeaderSize),
            header.byteCount <= UInt64(segment.count - offset),
            header.sequence > 0, header.sequence < ByteReader.numberLimit,
            header.life.number < ByteReader.numberLimit
        else { return nil }
        return header
    }
}

/// Starts each record of a batch.
struct RecordHeader: Hashable {
    var kind: RecordKind
    var payloadCount: Int
    var group: GroupID
    /// `entries`: the first one's index. `hardState`: unused.
    var index: LogIndex
    var term: Term
    /// `entries`: how many. `hardState`: the vote.
    var count: Int

    /// Writes the header before a payload that lies behind it already, and seals both.
    func encode(to target: UnsafeMutableRawPointer, nonce: UInt64, offset: Int) {
        target.storeBytes(
            of: UInt32(payloadCount).littleEndian, toByteOffset: 8, as: UInt32.self)
        target.storeBytes(of: UInt32(kind.rawValue), toByteOffset: 12, as: UInt32.self)
        target.storeBytes(of: group.rawValue.littleEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: index.rawValue.littleEndian, toByteOffset: 24, as: UInt64.self)
        target.storeBytes(of: term.rawValue.littleEndian, toByteOffset: 32, as: UInt64.self)
        target.storeBytes(of: UInt64(count).littleEndian, toByteOffset: 40, as: UInt64.self)
        let body = UnsafeRawBufferPointer(
            start: target + 8, count: LogFormat.recordHeaderSize - 8 + payloadCount)
        let checksum = LogFormat.checksum(body, seed: nonce ^ UInt64(offset))
        target.storeBytes(of: checksum.littleEndian, as: UInt64.self)
    }

    /// The record at `start` of `bytes`, which lies at `offset` of its segment; nil if it isn't
    /// whole, or not of this life and place.
    static func decode(
        _ bytes: UnsafeRawBufferPointer, at start: Int, nonce: UInt64, offset: Int
    ) -> (header: RecordHeader, payload: UnsafeRawBufferPointer)? {
        guard start >= 0, bytes.count - start >= LogFormat.recordHeaderSize else { return nil }
        func load<T: FixedWidthInteger>(_ at: Int, as: T.Type) -> T {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: start + at, as: T.self))
        }
        let payloadCount = Int(load(8, as: UInt32.self))
        let end = start + LogFormat.recordHeaderSize + payloadCount
        guard end <= bytes.count else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[(start + 8)..<end])
        guard
            load(0, as: UInt64.self)
                == LogFormat.checksum(body, seed: nonce ^ UInt64(offset)),
            let kind = RecordKind(rawValue: bytes[start + 12])
        else { return nil }
        let count = load(40, as: UInt64.self)
        // An entry takes more than a byte; a hard state keeps its vote here.
        let isRun = kind == .entries || kind == .rewritten
        let limit = isRun ? UInt64(payloadCount) : UInt64(UInt32.max)
        guard count <= limit else { return nil }
        let header = RecordHeader(
            kind: kind, payloadCount: payloadCount,
            group: GroupID(load(16, as: UInt64.self)), index: LogIndex(load(24, as: UInt64.self)),
            term: Term(load(32, as: UInt64.self)), count: Int(count))
        let payload = UnsafeRawBufferPointer(
            rebasing: bytes[(start + LogFormat.recordHeaderSize)..<end])
        return (header, payload)
    }
}

/// Entries as they lie in a record, a message and the cache: 4 bytes of payload length, 1 of kind,
/// the payload; one behind the other.
enum EntryRun {
    @inline(__always)
    static func payloadCount(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int {
        Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    /// Whether `bytes` are exactly `count` entries of known kinds. Everything from outside passes
    /// here once; nothing below checks again.
    static func isWellFormed(_ bytes: UnsafeRawBufferPointer, count: Int) -> Bool {
        check(bytes, count: count) != nil
    }

    /// Nil unless `bytes` are exactly `count` well-formed entries; else the memberships among
    /// them, with the offset of their entries.
    static func check(
        _ bytes: UnsafeRawBufferPointer, count: Int
    ) -> [(offset: Int, membership: Membership)]? {
        var memberships: [(offset: Int, membership: Membership)] = []
        var offset = 0
        for number in 0..<count {
            guard bytes.count - offset >= LogFormat.entryHeaderSize else { return nil }
            let size = payloadCount(bytes, at: offset)
            guard let kind = EntryKind(rawValue: bytes[offset + 4]) else { return nil }
            offset += LogFormat.entryHeaderSize
            guard bytes.count - offset >= size else { return nil }
            switch kind {
            case .command, .noOp, .withheld: break
            case .routedCommand, .descriptor:
                if size < 8 { return nil }
            case .membership:
                let payload = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + size)])
                guard let membership = try? Membership.decode(payload) else { return nil }
                memberships.append((number, membership))
            case .session, .sessionCommand:
                let payload = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + size)])
                guard SessionEntry.isSound(kind, payload) else { return nil }
            }
            offset += size
        }
        return offset == bytes.count ? memberships : nil
    }

    /// How many bytes the first `count` entries take.
    static func size(_ bytes: UnsafeRawBufferPointer, count: Int) -> Int {
        var offset = 0
        for _ in 0..<count {
            offset += LogFormat.entryHeaderSize + payloadCount(bytes, at: offset)
        }
        return offset
    }

    /// The entries as a witness gets them: without their bytes, but for memberships.
    static func withheld(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: count * LogFormat.entryHeaderSize)
        var offset = 0
        for _ in 0..<count {
            let size = LogFormat.entryHeaderSize + payloadCount(bytes, at: offset)
            let kind = EntryKind(rawValue: bytes[offset + 4])
            if kind == .membership || kind == .noOp {
                writer.write(raw: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + size)]))
            } else {
                writer.write(UInt32(0))
                writer.write(EntryKind.withheld.rawValue)
            }
            offset += size
        }
        return writer.bytes
    }

    /// The entries with no-ops in the place of memberships.
    static func withoutMemberships(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: bytes.count)
        var offset = 0
        for _ in 0..<count {
            let size = LogFormat.entryHeaderSize + payloadCount(bytes, at: offset)
            if EntryKind(rawValue: bytes[offset + 4]) == .membership {
                writer.write(UInt32(0))
                writer.write(EntryKind.noOp.rawValue)
            } else {
                writer.write(raw: UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + size)]))
            }
            offset += size
        }
        return writer.bytes
    }

    /// How many of `most` entries fit into `limit` bytes, and their size. At least one goes.
    static func fitting(
        _ bytes: UnsafeRawBufferPointer, most: Int, limit: Int
    ) -> (count: Int, size: Int) {
        var offset = 0
        var count = 0
        while count < most {
            let next = offset + LogFormat.entryHeaderSize + payloadCount(bytes, at: offset)
            if count > 0, next > limit { break }
            offset = next
            count += 1
        }
        return (count, offset)
    }
}
