import KraftRouting

/// SplitMix64 (Steele, Lea, Flood 2014): a small seeded source, so that every case repeats.
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A key of up to `longest` bytes of few different values, so that keys share prefixes.
    mutating func key(upTo longest: Int, of alphabet: [UInt8] = [0, 1, 0x61, 0xFE, 0xFF]) -> [UInt8]
    {
        (0..<Int.random(in: 0...longest, using: &self)).map { _ in
            alphabet.randomElement(using: &self) ?? 0
        }
    }
}

func names(_ count: Int, _ stem: String = "group-") -> [GroupName] {
    (0..<count).map { name("\(stem)\($0)") }
}

func name(_ string: String) -> GroupName {
    guard let name = GroupName(string) else { preconditionFailure("\(string) is no group name") }
    return name
}

/// The keys of the balance figures: "key-0", "key-1", …
func numberedKeys(_ count: Int) -> [[UInt8]] { (0..<count).map { Array("key-\($0)".utf8) } }

/// Every key of up to `longest` bytes of `alphabet`.
func allKeys(upTo longest: Int, of alphabet: [UInt8]) -> [[UInt8]] {
    var all: [[UInt8]] = [[]]
    var longestSoFar: [[UInt8]] = [[]]
    for _ in 0..<longest {
        longestSoFar = longestSoFar.flatMap { key in alphabet.map { key + [$0] } }
        all += longestSoFar
    }
    return all
}

/// The code of the error that `body` throws; nil when it throws none.
func code(_ body: () throws(RoutingError) -> some Any) -> RoutingError.Code? {
    do {
        _ = try body()
        return nil
    } catch {
        return error.code
    }
}

/// One range for each group, in their order, with borders spread over the first three bytes.
func evenRanges(among groups: [GroupName]) -> [KeyRange] {
    let starts = groups.indices.map { index -> [UInt8] in
        let start = index * (1 << 24) / groups.count
        return index == 0 ? [] : [16, 8, 0].map { UInt8(truncatingIfNeeded: start >> $0) }
    }
    return groups.indices.map { index in
        KeyRange(
            start: starts[index], end: index + 1 < groups.count ? starts[index + 1] : nil,
            group: groups[index])
    }
}
