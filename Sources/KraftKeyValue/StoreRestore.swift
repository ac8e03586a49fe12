import KraftEngine
import RaftCore

/// Builds a table from the pieces of a snapshot. They are weather: whatever no store writes is
/// refused.
struct StoreRestore {
    private struct Header {
        var keyCount: UInt64
        var contentSizeBytes: UInt64
        var digest: UInt64
    }

    /// A record whose value goes on in the next piece.
    private struct Unfinished {
        /// The key, then what there is of the value.
        var bytes: [UInt8]
        var keyCount: Int
        /// Of the whole record.
        var byteCount: Int
        var version: LogIndex
    }

    private var header: Header?
    private var table: RecordTable
    private var unfinished: Unfinished?

    init(seed: UInt64) { table = RecordTable(seed: seed) }

    mutating func take(_ piece: UnsafeRawBufferPointer) throws(ByteReader.Malformed) {
        var reader = ByteReader(piece)
        // No store writes an empty piece.
        guard reader.remaining > 0 else { throw .init() }
        if header == nil { return try takeHeader(&reader) }
        if unfinished != nil { try goOn(&reader) }
        while reader.remaining > 0 { try takeRecord(&reader) }
    }

    /// The whole table, if it is what was written.
    consuming func finish() throws(ByteReader.Malformed) -> RecordTable {
        guard let header, unfinished == nil, header.keyCount == UInt64(table.count),
            header.contentSizeBytes == UInt64(table.contentSizeBytes),
            header.digest == table.digest
        else { throw .init() }
        return table
    }

    private mutating func takeHeader(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        guard try reader.read(UInt8.self) == StoreSnapshot.layoutVersion else { throw .init() }
        header = Header(
            keyCount: try reader.read(), contentSizeBytes: try reader.read(),
            digest: try reader.read())
        guard reader.remaining == 0 else { throw .init() }
    }

    private mutating func takeRecord(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        let keyCount = Int(try reader.read(UInt16.self))
        let valueCount = Int(try reader.read(UInt32.self))
        let version = LogIndex(try reader.read())
        guard (1...KeyValueStore.keySizeLimitBytes).contains(keyCount),
            valueCount <= KeyValueStore.valueSizeLimitBytes, version > .zero
        else { throw .init() }
        let key = try reader.read(count: keyCount)
        guard reader.remaining < valueCount else {
            guard insert(key, try reader.read(count: valueCount), version) else { throw .init() }
            return
        }
        unfinished = Unfinished(
            bytes: Array(key) + Array(try reader.read(count: reader.remaining)),
            keyCount: keyCount, byteCount: keyCount + valueCount, version: version)
    }

    private mutating func goOn(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        guard var record = unfinished else { return }
        // Not held twice, or each piece would copy what came before it.
        unfinished = nil
        let missing = record.byteCount - record.bytes.count
        record.bytes.append(contentsOf: try reader.read(count: min(missing, reader.remaining)))
        guard record.bytes.count == record.byteCount else {
            unfinished = record
            return
        }
        let isNew = record.bytes.withUnsafeBytes { bytes in
            insert(
                UnsafeRawBufferPointer(rebasing: bytes[..<record.keyCount]),
                UnsafeRawBufferPointer(rebasing: bytes[record.keyCount...]), record.version)
        }
        guard isNew else { throw .init() }
    }

    /// False for a key that is there already: no store writes one twice.
    private mutating func insert(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ version: LogIndex
    ) -> Bool {
        let hash = table.hash(of: key)
        guard table.find(key, hash: hash) == nil, table.count < RecordTable.recordLimit else {
            return false
        }
        table.insert(key, value, hash: hash, version: version)
        return true
    }
}
