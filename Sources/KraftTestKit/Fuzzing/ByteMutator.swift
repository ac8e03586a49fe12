/// Spoils bytes from a seed, as weather and enemies do: for tests that feed a decoder with what is
/// nearly right.
///
/// Start from valid encodings: what is random from its first byte on is refused by the first check.
public struct ByteMutator: Sendable {
    public let seed: UInt64
    /// The dice, for what a test wants to draw besides.
    public var random: SeededRandom

    public init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed)
    }

    /// Numbers at which decoders go wrong: around zero, around the limits of each width, and lengths
    /// that nothing can hold.
    private static let edges: [UInt64] = [
        0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 1 << 31, 1 << 32,
        (1 << 31) - 1, (1 << 32) - 1, 1 << 62, (1 << 62) - 1, 1 << 63, (1 << 63) - 1, .max,
        .max - 1,
    ]

    /// Makes one to six changes: bits and bytes, numbers at their limits, parts cut out, doubled,
    /// moved or put in, the end cut off or drawn out, or the front of these bytes before the end of
    /// another sample's.
    ///
    /// - `others`: samples to splice with.
    public mutating func mutate(_ bytes: inout [UInt8], others: [[UInt8]] = []) {
        for _ in 0..<random.number(in: 1...6) { change(&bytes, others) }
    }

    private mutating func change(_ bytes: inout [UInt8], _ others: [[UInt8]]) {
        guard !bytes.isEmpty else {
            bytes = noise(upTo: 64)
            return
        }
        let place = random.below(bytes.count)
        switch random.below(10) {
        case 0: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1: bytes[place] = random.pick(0, 1, 0x7F, 0x80, 0xFF, byte())
        case 2, 3: putNumber(into: &bytes, at: place)
        case 4: bytes.removeLast(bytes.count - place)
        case 5: bytes += noise(upTo: 32)
        case 6: bytes.removeSubrange(part(of: bytes, from: place))
        case 7: bytes.insert(contentsOf: bytes[part(of: bytes, from: place)], at: place)
        case 8: bytes.insert(contentsOf: noise(upTo: 16), at: place)
        default:
            guard let other = random.element(others), !other.isEmpty else { return }
            bytes = Array(bytes[..<place]) + other[random.below(other.count)...]
        }
    }

    private mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: random.next()) }

    private mutating func noise(upTo count: Int) -> [UInt8] {
        (0..<random.number(in: 1...count)).map { _ in byte() }
    }

    private mutating func part(of bytes: [UInt8], from start: Int) -> Range<Int> {
        start..<(start + random.number(in: 1...min(24, bytes.count - start)))
    }

    /// A little-endian number of 1 to 8 bytes over what stands there, or a little more or less than
    /// that was.
    private mutating func putNumber(into bytes: inout [UInt8], at place: Int) {
        let width = min(random.pick(1, 2, 4, 8), bytes.count - place)
        var number = random.pick(ByteMutator.edges)
        if random.chance(400) {
            number = 0
            for (shift, byte) in bytes[place..<(place + width)].enumerated() {
                number |= UInt64(byte) << UInt64(8 * shift)
            }
            number &+= random.pick(1, 2, 8, .max, .max - 1, .max - 7)
        }
        for offset in 0..<width {
            bytes[place + offset] = UInt8(truncatingIfNeeded: number >> UInt64(8 * offset))
        }
    }
}
