/// Dice that a seed decides: xoshiro256** (Blackman and Vigna), filled by splitmix64.
///
/// Its algorithms are all here and not the standard library's, so that a seed means the same run
/// with every toolchain.
public struct SeededRandom: Sendable {
    private var s0, s1, s2, s3: UInt64

    public init(seed: UInt64) {
        var state = seed
        s0 = SeededRandom.splitmix(&state)
        s1 = SeededRandom.splitmix(&state)
        s2 = SeededRandom.splitmix(&state)
        s3 = SeededRandom.splitmix(&state)
    }

    /// Dice of their own for one concern, so that one more throw there doesn't shift the others.
    public init(seed: UInt64, stream: UInt64) {
        var state = seed ^ (stream &* 0xD1B5_4A32_D192_ED03)
        self.init(seed: SeededRandom.splitmix(&state))
    }

    private static func splitmix(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    public mutating func next() -> UInt64 {
        let result = SeededRandom.rotate(s1 &* 5, by: 7) &* 9
        let t = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = SeededRandom.rotate(s3, by: 45)
        return result
    }

    private static func rotate(_ value: UInt64, by bits: UInt64) -> UInt64 {
        (value << bits) | (value >> (64 - bits))
    }

    /// A number from 0 to `bound - 1`; 0 when there is nothing to choose from.
    public mutating func below(_ bound: Int) -> Int {
        bound <= 1 ? 0 : Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    public mutating func number(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + below(range.upperBound - range.lowerBound + 1)
    }

    public mutating func number(in range: ClosedRange<UInt64>) -> UInt64 {
        let count = range.upperBound - range.lowerBound
        guard count < .max else { return next() }
        return range.lowerBound + next().multipliedFullWidth(by: count + 1).high
    }

    /// True in `permille` of 1,000 cases.
    public mutating func chance(_ permille: Int) -> Bool {
        permille > 0 && below(1_000) < permille
    }

    /// One of these; nil of none.
    public mutating func element<T>(_ elements: [T]) -> T? {
        elements.isEmpty ? nil : elements[below(elements.count)]
    }

    /// One of these, of which there must be one.
    public mutating func pick<T>(_ elements: [T]) -> T { elements[below(elements.count)] }
    public mutating func pick<T>(_ elements: T...) -> T { pick(elements) }

    /// Fisher and Yates.
    public mutating func shuffle<T>(_ elements: inout [T]) {
        guard elements.count > 1 else { return }
        for last in stride(from: elements.count - 1, to: 0, by: -1) {
            elements.swapAt(last, below(last + 1))
        }
    }
}
