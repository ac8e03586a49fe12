import KraftEngine
import RaftCore

/// The simulator's own state machine: it remembers every command that it was given, in order, so
/// that a lost, doubled or reordered effect shows.
public struct AuditLog: StateMachine, BinaryCodable {
    public struct Command: BinaryCodable, Hashable {
        /// Never used twice.
        public var id: UInt64
        /// Makes commands of any size.
        public var padding: Int

        public init(id: UInt64, padding: Int = 0) {
            self.id = id
            self.padding = padding
        }

        public func encode(into writer: inout ByteWriter) {
            writer.write(id)
            writer.write(UInt32(padding))
            // Not zeros: a page that was lost must not look like one that was kept.
            writer.write(raw: repeatElement(UInt8(truncatingIfNeeded: id | 1), count: padding))
        }

        public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
            id = try reader.read()
            padding = Int(try reader.read(UInt32.self))
            for byte in try reader.read(count: padding)
            where byte != UInt8(truncatingIfNeeded: id | 1) {
                throw ByteReader.Malformed()
            }
        }
    }

    public enum Query: Sendable {
        case content
        case contains(UInt64)
    }

    public enum Answer: Sendable, Hashable {
        case content(count: Int, digest: UInt64)
        case contains(Bool)
    }

    /// Ids of the commands applied, in order.
    public private(set) var ids: [UInt64] = []
    private var positions: [UInt64: Int] = [:]
    private var hash = TraceHash()

    public init() {}

    /// Answers how many commands there are now.
    public mutating func apply(_ command: Command, at index: LogIndex) -> UInt64 {
        positions[command.id] = ids.count
        ids.append(command.id)
        hash.mix(command.id)
        hash.mix(UInt64(command.padding))
        hash.mix(index.rawValue)
        return UInt64(ids.count)
    }

    public func answer(_ query: Query) -> Answer {
        switch query {
        case .content: .content(count: ids.count, digest: digest())
        case .contains(let id): .contains(positions[id] != nil)
        }
    }

    public func digest() -> UInt64 { hash.value }

    // MARK: Snapshots

    public func encode(into writer: inout ByteWriter) {
        writer.write(hash.value)
        writer.write(UInt32(ids.count))
        for id in ids { writer.write(id) }
    }

    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        hash = TraceHash(value: try reader.read())
        for place in 0..<Int(try reader.read(UInt32.self)) {
            let id = try reader.read(UInt64.self)
            ids.append(id)
            positions[id] = place
        }
    }
}
