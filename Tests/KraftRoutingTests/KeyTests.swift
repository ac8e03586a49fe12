import Testing

@testable import KraftRouting

@Suite("Hash and order of keys")
struct KeyTests {
    @Test(
        "keyHash gives the known values of XXH64",
        arguments: [
            ("", 0, 0xEF46_DB37_51D8_E999),
            ("a", 0, 0xD24E_C4F1_A98C_6E5B),
            ("abc", 0, 0x44BC_2CF5_AD77_0999),
            ("xxhash", 20_141_025, 0xB559_B98D_844E_0635),
            ("Nobody inspects the spammish repetition", 0, 0xFBCE_A83C_8A37_8BF1),
        ] as [(String, UInt64, UInt64)])
    func knownVectors(key: String, seed: UInt64, expected: UInt64) {
        #expect(Array(key.utf8).withUnsafeBytes { keyHash($0, seed: seed) } == expected)
    }

    @Test("The head and the rest of a key order it as its bytes do")
    func orderOfKeys() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<50_000 {
            let a = random.key(upTo: 12, of: [0, 1, 0xFF])
            let b = random.key(upTo: 12, of: [0, 1, 0xFF])
            let isNotAfter = a.withUnsafeBytes { a in
                b.withUnsafeBytes { b in
                    let (headA, headB) = (KeyOrder.head(a), KeyOrder.head(b))
                    return headA == headB ? KeyOrder.isNotAfter(a, b) : headA < headB
                }
            }
            #expect(isNotAfter == !b.lexicographicallyPrecedes(a), "\(a) \(b)")
        }
    }

    @Test("A prefix's successor is the smallest key after all keys that begin with it")
    func successors() {
        let keys = allKeys(upTo: 4, of: [0, 1, 0xFE, 0xFF])
        for prefix in allKeys(upTo: 3, of: [0, 1, 0xFE, 0xFF]) {
            let successor = KeyOrder.successor(ofPrefix: prefix)
            for key in keys {
                let inside =
                    !key.lexicographicallyPrecedes(prefix)
                    && successor.map { key.lexicographicallyPrecedes($0) } ?? true
                #expect(inside == key.starts(with: prefix), "\(prefix) \(key)")
            }
        }
    }
}
