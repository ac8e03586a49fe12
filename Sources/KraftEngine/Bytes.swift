/// Appends little-endian numbers and raw bytes to one growing buffer.
///
/// A value: one allocation that is kept over `removeAll`, no object per write.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8]

    public init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    @inlinable public var count: Int { bytes.count }
    public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    public mutating func write(_ value: UInt8) { bytes.append(value) }

    public mutating func write<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func write(raw: UnsafeRawBufferPointer) { bytes.append(contentsOf: raw) }
    public mutating func write(raw: some Collection<UInt8>) { bytes.append(contentsOf: raw) }

    /// Writes over 8 bytes that were written before, at `offset`.
    mutating func overwrite(_ value: UInt64, at offset: Int) {
        bytes.withUnsafeMutableBytes {
            $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
        }
    }

    /// A 4-byte length, then the bytes.
    public mutating func writeBlob(_ blob: some Collection<UInt8>) {
        write(UInt32(blob.count))
        bytes.append(contentsOf: blob)
    }

    public mutating func writeString(_ string: String) { writeBlob(Array(string.utf8)) }
}

/// Reads what `ByteWriter` wrote. Bytes are weather: every read is checked and throws `Malformed`.
///
/// Borrows its memory: valid only while the buffer that it was made from is.
public struct ByteReader {
    /// The bytes end early or hold a value that is out of bounds.
    public struct Malformed: Error, Hashable, Sendable {
        public init() {}
    }

    @usableFromInline var rest: UnsafeRawBufferPointer

    @inlinable public init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    @inlinable public var remaining: Int { rest.count }

    @inlinable
    public mutating func read<T: FixedWidthInteger>(
        _: T.Type = T.self
    ) throws(Malformed) -> T {
        guard rest.count >= MemoryLayout<T>.size else { throw Malformed() }
        let value = rest.loadUnaligned(as: T.self)
        rest = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<T>.size...])
        return T(littleEndian: value)
    }

    @inlinable
    public mutating func read(count: Int) throws(Malformed) -> UnsafeRawBufferPointer {
        guard count >= 0, rest.count >= count else { throw Malformed() }
        let part = UnsafeRawBufferPointer(rebasing: rest[..<count])
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        return part
    }

    /// What `writeBlob` wrote; refused over `limit` bytes before anything is allocated.
    @inlinable
    public mutating func readBlob(
        limit: Int = .max
    ) throws(Malformed) -> UnsafeRawBufferPointer {
        let count = Int(try read(UInt32.self))
        guard count <= limit else { throw Malformed() }
        return try read(count: count)
    }

    public mutating func readString(limit: Int) throws(Malformed) -> String {
        let utf8 = try readBlob(limit: limit)
        guard let string = String(validating: utf8, as: UTF8.self) else { throw Malformed() }
        return string
    }
}

/// A value with a binary form of its own, used for commands and replies of state machines.
public protocol BinaryCodable: Sendable {
    func encode(into writer: inout ByteWriter)
    /// Throws `ByteReader.Malformed` for bytes that `encode` could not have written. Must consume
    /// exactly what `encode` wrote.
    init(from reader: inout ByteReader) throws(ByteReader.Malformed)
}

extension Int64: BinaryCodable {
    public func encode(into writer: inout ByteWriter) { writer.write(self) }
    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        self = try reader.read()
    }
}

extension UInt64: BinaryCodable {
    public func encode(into writer: inout ByteWriter) { writer.write(self) }
    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        self = try reader.read()
    }
}

extension String: BinaryCodable {
    public func encode(into writer: inout ByteWriter) { writer.writeString(self) }
    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        self = try reader.readString(limit: .max)
    }
}

extension [UInt8]: BinaryCodable {
    public func encode(into writer: inout ByteWriter) { writer.writeBlob(self) }
    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        self = Array(try reader.readBlob())
    }
}
