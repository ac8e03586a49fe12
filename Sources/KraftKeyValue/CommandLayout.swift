import KraftEngine
import RaftCore

// The bytes of a command in the log, little-endian:
//
//     offset  size
//     0       1     operation: 1 put, 2 delete, 3 append, 4 increment
//     1       1     flags: bit 0, an if_version follows (put and delete only); others are 0
//     2       2     key length, 1...4,096
//     4       4     value length; 0 for delete and increment
//     8       8     if_version, when bit 0 of the flags is set
//     8 or 16 8     by, signed (increment only)
//     …             the key, then the value; nothing follows
//
// A command that breaks a rule is refused, on every replica alike. A value over the limit is not a
// broken rule but a `tooLarge` answer, since for an append it depends on the state.

/// A command read in place. Borrows the log's memory.
struct CommandView {
    enum Operation: UInt8 {
        case put = 1
        case delete, append, increment
    }

    var operation: Operation
    var ifVersion: LogIndex?
    var by: Int64 = 0
    var key: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer

    static let hasVersionFlag: UInt8 = 1
    static let headerSize = 8

    /// Nil for bytes that are not exactly one command.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let (view, size) = CommandView.parse(bytes), size == bytes.count else { return nil }
        self = view
    }

    /// A command at the start of the bytes, and how many it takes.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> (CommandView, size: Int)? {
        guard bytes.count >= headerSize, let operation = Operation(rawValue: bytes[0]) else {
            return nil
        }
        let flags = bytes[1]
        let keyCount = Int(
            UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        let valueCount = Int(
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        guard flags & ~hasVersionFlag == 0 else { return nil }
        guard (1...KeyValueStore.keySizeLimitBytes).contains(keyCount) else { return nil }

        let hasVersion = flags == hasVersionFlag
        switch operation {
        case .put: break
        case .delete: guard valueCount == 0 else { return nil }
        case .append: guard !hasVersion else { return nil }
        case .increment: guard valueCount == 0, !hasVersion else { return nil }
        }
        let hasNumber = hasVersion || operation == .increment
        let keyStart = hasNumber ? headerSize + 8 : headerSize
        let end = keyStart + keyCount + valueCount
        guard bytes.count >= end else { return nil }

        var view = CommandView(
            operation: operation,
            key: UnsafeRawBufferPointer(rebasing: bytes[keyStart..<(keyStart + keyCount)]),
            value: UnsafeRawBufferPointer(rebasing: bytes[(keyStart + keyCount)..<end]))
        if hasNumber {
            let number = UInt64(
                littleEndian: bytes.loadUnaligned(fromByteOffset: headerSize, as: UInt64.self))
            if hasVersion {
                view.ifVersion = LogIndex(number)
            } else {
                view.by = Int64(bitPattern: number)
            }
        }
        return (view, end)
    }

    private init(
        operation: Operation, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer
    ) {
        self.operation = operation
        self.key = key
        self.value = value
    }
}

extension KeyValueStore.Command: BinaryCodable {
    public func encode(into writer: inout ByteWriter) {
        switch self {
        case .put(let key, let value, let ifVersion):
            writeHeader(.put, key, valueCount: value.count, number: ifVersion?.rawValue, &writer)
            writer.write(raw: value)
        case .delete(let key, let ifVersion):
            writeHeader(.delete, key, valueCount: 0, number: ifVersion?.rawValue, &writer)
        case .append(let key, let value):
            writeHeader(.append, key, valueCount: value.count, number: nil, &writer)
            writer.write(raw: value)
        case .increment(let key, let by):
            writeHeader(.increment, key, valueCount: 0, number: UInt64(bitPattern: by), &writer)
        }
    }

    private func writeHeader(
        _ operation: CommandView.Operation, _ key: KeyValueStore.Key, valueCount: Int,
        number: UInt64?, _ writer: inout ByteWriter
    ) {
        let hasVersion = number != nil && operation != .increment
        writer.write(operation.rawValue)
        writer.write(hasVersion ? CommandView.hasVersionFlag : 0)
        writer.write(UInt16(key.bytes.count))
        writer.write(UInt32(valueCount))
        if let number { writer.write(number) }
        writer.write(raw: key.bytes)
    }

    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        // A copy of the reader looks ahead; the reader itself then skips what was used.
        var ahead = reader
        let rest = try ahead.read(count: ahead.remaining)
        guard let (view, size) = CommandView.parse(rest),
            let key = KeyValueStore.Key(view.key)
        else { throw ByteReader.Malformed() }
        _ = try reader.read(count: size)
        self =
            switch view.operation {
            case .put: .put(key, value: Array(view.value), ifVersion: view.ifVersion)
            case .delete: .delete(key, ifVersion: view.ifVersion)
            case .append: .append(key, value: Array(view.value))
            case .increment: .increment(key, by: view.by)
            }
    }
}

// A reply: one byte that names the case, then its numbers, 8 bytes each.
extension KeyValueStore.Reply: BinaryCodable {
    public func encode(into writer: inout ByteWriter) {
        switch self {
        case .written(let version):
            writer.write(UInt8(1))
            writer.write(version.rawValue)
        case .deleted(let existed):
            writer.write(UInt8(existed ? 3 : 2))
        case .appended(let version, let length):
            writer.write(UInt8(4))
            writer.write(version.rawValue)
            writer.write(length)
        case .incremented(let version, let value):
            writer.write(UInt8(5))
            writer.write(version.rawValue)
            writer.write(value)
        case .conflict(.version(let actual)):
            writer.write(UInt8(6))
            writer.write(actual.rawValue)
        case .conflict(.notANumber): writer.write(UInt8(7))
        case .conflict(.overflow): writer.write(UInt8(8))
        case .tooLarge: writer.write(UInt8(9))
        }
    }

    public init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        switch try reader.read(UInt8.self) {
        case 1: self = .written(version: LogIndex(try reader.read()))
        case 2: self = .deleted(existed: false)
        case 3: self = .deleted(existed: true)
        case 4: self = .appended(version: LogIndex(try reader.read()), length: try reader.read())
        case 5:
            self = .incremented(version: LogIndex(try reader.read()), value: try reader.read())
        case 6: self = .conflict(.version(actual: LogIndex(try reader.read())))
        case 7: self = .conflict(.notANumber)
        case 8: self = .conflict(.overflow)
        case 9: self = .tooLarge
        default: throw ByteReader.Malformed()
        }
    }
}
