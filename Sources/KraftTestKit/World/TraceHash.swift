/// A running 64-bit hash over everything that happened: equal for equal runs, in any process.
///
/// Not the standard library's `Hasher`, whose key differs in each process.
public struct TraceHash: Hashable, Sendable {
    public private(set) var value: UInt64 = 0x6B72_6166_7420_7369

    public init() {}

    /// Goes on from a value.
    public init(value: UInt64) { self.value = value }

    public mutating func mix(_ word: UInt64) {
        value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
        value ^= value >> 29
    }

    public mutating func mix(_ bytes: UnsafeRawBufferPointer) {
        var offset = 0
        while offset + 8 <= bytes.count {
            mix(UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            offset += 8
        }
        var tail = UInt64(bytes.count) << 56
        while offset < bytes.count {
            tail = (tail << 8) ^ UInt64(bytes[offset])
            offset += 1
        }
        mix(tail)
    }

    public static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = TraceHash()
        hash.mix(bytes)
        return hash.value
    }

    public static func of(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { of($0) } }
}
