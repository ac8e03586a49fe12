/// Order of byte strings: unsigned bytes from the left, a prefix before what it is a prefix of.
enum KeyOrder {
    /// Bytes of a key that its head holds.
    static let headBytes = 8

    /// The first eight bytes as a big-endian number, missing ones as zero.
    ///
    /// Heads order keys wherever they differ: the first differing byte decides in both orders, and
    /// where one key has ended there, its zero can only be the smaller.
    @inline(__always)
    static func head(_ key: UnsafeRawBufferPointer) -> UInt64 {
        if key.count >= headBytes {
            return UInt64(bigEndian: key.loadUnaligned(as: UInt64.self))
        }
        var head: UInt64 = 0
        for index in 0..<key.count {
            head |= UInt64(key[index]) << UInt64(56 - 8 * index)
        }
        return head
    }

    /// Whether `a <= b`, given that their heads are equal.
    @inline(__always)
    static func isNotAfter(
        _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer
    ) -> Bool {
        let common = min(a.count, b.count)
        var index = headBytes
        while index < common {
            if a[index] != b[index] { return a[index] < b[index] }
            index += 1
        }
        return a.count <= b.count
    }

    static func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        a.lexicographicallyPrecedes(b)
    }

    /// The smallest key after every key that begins with `prefix`; nil when there is none (the
    /// prefix is empty or all 0xFF), which is to say infinity.
    static func successor(ofPrefix prefix: [UInt8]) -> [UInt8]? {
        guard let last = prefix.lastIndex(where: { $0 != 0xFF }) else { return nil }
        var successor = Array(prefix[...last])
        successor[last] += 1
        return successor
    }

    /// A key for a human: quoted when it is printable ASCII, else in hex.
    static func describe(_ key: [UInt8]) -> String {
        if key.allSatisfy({ (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\"") }) {
            return "\"\(String(decoding: key, as: UTF8.self))\""
        }
        let digits = key.prefix(32).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return "0x" + digits.joined() + (key.count > 32 ? "… (\(key.count) bytes)" : "")
    }
}
