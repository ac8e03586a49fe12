import DequeModule
import RaftCore

/// The table as bytes, for snapshots and digests. What a decoder lets pass is a table that `encode`
/// could have written; anything else is weather.
extension SessionTable {
    fileprivate static let keptByte: UInt8 = 0
    fileprivate static let refusedByte: UInt8 = 1
    fileprivate static let droppedByte: UInt8 = 2

    /// Must not be called between a command's `record` and its `finish`.
    func encode(into writer: inout ByteWriter) {
        writer.write(clock)
        writer.write(UInt32(ended.count))
        for id in ended { writer.write(id.rawValue) }
        writer.write(UInt32(ids.count))
        for (id, session) in zip(ids, sessions) {
            writer.write(id.rawValue)
            session.encode(into: &writer)
        }
    }

    /// Equal on every replica that has applied the same index.
    func digest() -> UInt64 {
        var writer = ByteWriter()
        encode(into: &writer)
        return writer.bytes.withUnsafeBytes { LogFormat.checksum($0, seed: 0) }
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        clock = try reader.readNumber()
        let endedCount = try reader.read(UInt32.self)
        guard endedCount <= SessionTable.endedLimit else { throw ByteReader.Malformed() }
        for _ in 0..<endedCount { ended.append(SessionID(try reader.read())) }
        let count = try reader.read(UInt32.self)
        guard count <= SessionTable.sessionLimit else { throw ByteReader.Malformed() }
        for _ in 0..<count {
            let id = SessionID(try reader.read())
            guard id > ids.last ?? SessionID(0) else { throw ByteReader.Malformed() }
            let session = try Session(from: &reader)
            guard session.lastUse <= clock, clock <= session.expiry else {
                throw ByteReader.Malformed()
            }
            ids.append(id)
            sessions.append(session)
        }
        findQuietTime()
    }
}

extension SessionTable.Session {
    fileprivate func encode(into writer: inout ByteWriter) {
        writer.write(openedAt.rawValue)
        writer.write(ttl)
        writer.write(lastUse)
        writer.write(floor)
        writer.write(replyBytes)
        writer.write(UInt16(records.count))
        for record in records { record.encode(into: &writer) }
    }

    fileprivate init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        openedAt = LogIndex(try reader.readNumber())
        ttl = try reader.readNumber()
        lastUse = try reader.readNumber()
        floor = try reader.readNumber()
        replyBytes = try reader.readNumber()
        guard (1...SessionChange.ttlLimitMilliseconds).contains(ttl) else {
            throw ByteReader.Malformed()
        }
        let count = try reader.read(UInt16.self)
        guard count <= SessionTable.windowLimit else { throw ByteReader.Malformed() }
        oldestKept = replyBytes
        for _ in 0..<count {
            let record = try Record(from: &reader)
            guard record.sequence > records.last?.sequence ?? floor, record.index > openedAt else {
                throw ByteReader.Malformed()
            }
            try checkReply(of: record)
            records.append(record)
        }
    }

    /// A reply lies within those made so far, and is kept as long as its place among them says.
    private mutating func checkReply(of record: Record) throws(ByteReader.Malformed) {
        guard record.replyStart <= replyBytes else { throw ByteReader.Malformed() }
        let since = replyBytes - record.replyStart
        switch record.reply {
        case .kept(let bytes):
            guard bytes.count <= since, since <= SessionTable.replyLimitBytes else {
                throw ByteReader.Malformed()
            }
            oldestKept = min(oldestKept, record.replyStart)
        case .dropped:
            guard since > SessionTable.replyLimitBytes else { throw ByteReader.Malformed() }
        case .refused, .awaited: break
        }
    }
}

extension SessionTable.Record {
    fileprivate func encode(into writer: inout ByteWriter) {
        writer.write(sequence)
        writer.write(index.rawValue)
        writer.write(replyStart)
        switch reply {
        case .awaited: preconditionFailure("encodes a table whose machine is at work")
        case .kept(let bytes):
            writer.write(SessionTable.keptByte)
            writer.writeBlob(bytes)
        case .refused: writer.write(SessionTable.refusedByte)
        case .dropped: writer.write(SessionTable.droppedByte)
        }
    }

    fileprivate init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        sequence = try reader.readNumber()
        index = LogIndex(try reader.readNumber())
        replyStart = try reader.readNumber()
        switch try reader.read(UInt8.self) {
        case SessionTable.keptByte:
            reply = .kept(Array(try reader.readBlob(limit: Int(SessionTable.replyLimitBytes))))
        case SessionTable.refusedByte: reply = .refused
        case SessionTable.droppedByte: reply = .dropped
        default: throw ByteReader.Malformed()
        }
    }
}
