import KraftEngine
import RaftCore

// The bytes of a store's snapshot, little-endian. The first piece is
//
//     offset  size
//     0       1     version of this layout: 1
//     1       8     number of keys
//     9       8     size of all keys and values
//     17      8     the store's digest
//
// Then one record after another, in no particular order:
//
//     0       2     key length, 1...4,096
//     2       4     value length, at most 1 MiB
//     6       8     version, above 0
//     14      …     the key, then the value
//
// A record's 14 bytes and its key stand in one piece; its value may go on in the next ones.

/// A store's content as it was at one index. Shares the store's memory, and keeps the pages that
/// the store changes meanwhile.
public struct StoreSnapshot: StateSnapshot {
    static let layoutVersion: UInt8 = 1
    static let recordHeaderSize = 14
    /// A piece ends when it is at least that long, or within a longer value.
    static let pieceSizeBytes = 64 << 10

    /// Those that are written are let go: the store needn't copy them any more.
    private var chunks: [RecordTable.Chunk]
    private let keyCount: Int
    private let contentSizeBytes: Int
    private let digest: UInt64

    private var hasBegun = false
    private var chunk = 0
    private var page = 0
    private var offset = 0
    /// Of the record's bytes, how many are written.
    private var written = 0

    init(_ table: RecordTable) {
        chunks = table.chunks
        keyCount = table.count
        contentSizeBytes = table.contentSizeBytes
        digest = table.digest
    }

    public mutating func writePiece(into writer: inout ByteWriter) -> Bool {
        guard hasBegun else {
            hasBegun = true
            writer.write(StoreSnapshot.layoutVersion)
            writer.write(UInt64(keyCount))
            writer.write(UInt64(contentSizeBytes))
            writer.write(digest)
            return true
        }
        while writer.count < StoreSnapshot.pieceSizeBytes, chunk < chunks.count {
            guard writeRecord(chunks[chunk][page][offset], into: &writer) else { break }
            goOn()
        }
        return writer.count > 0
    }

    private mutating func goOn() {
        offset += 1
        guard offset == chunks[chunk][page].count else { return }
        chunks[chunk][page] = []
        (page, offset) = (page + 1, 0)
        guard page == chunks[chunk].count else { return }
        chunks[chunk] = []
        (chunk, page) = (chunk + 1, 0)
    }

    /// Writes the record, or as much of what is left of it as the piece has room for: then false.
    private mutating func writeRecord(
        _ record: RecordTable.Record, into writer: inout ByteWriter
    ) -> Bool {
        let size = record.bytes.count
        guard size > 0 else { return true }
        if written == 0 {
            writer.write(UInt16(record.keyCount))
            writer.write(UInt32(size - record.keyCount))
            writer.write(record.version.rawValue)
        }
        let room = StoreSnapshot.pieceSizeBytes - writer.count
        let end = min(size, max(written + room, record.keyCount))
        record.bytes.withUnsafeBytes { bytes in
            writer.write(raw: UnsafeRawBufferPointer(rebasing: bytes[written..<end]))
        }
        written = end == size ? 0 : end
        return end == size
    }
}

extension KeyValueStore {
    /// Costs the same whatever the store holds; later, the first write to each page of records
    /// copies that page while the snapshot is held.
    public func snapshot() -> StoreSnapshot { StoreSnapshot(table) }

    public mutating func restore(from pieces: inout SnapshotPieces) throws {
        // The memory of what was before is given back first: a node may not have room for both.
        let seed = table.seed
        table = RecordTable(seed: seed)
        var reading = StoreRestore(seed: seed)
        while let piece = try pieces.next() { try reading.take(piece) }
        table = try reading.finish()
    }
}
