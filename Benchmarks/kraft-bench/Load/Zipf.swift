import Foundation

/// How unevenly a load lies on groups.
enum Zipf {
    /// Weights of `count` groups that fall as 1/rank^exponent; their sum is 1. Exponent 0 is even.
    static func weights(count: Int, exponent: Double) -> [Double] {
        let raw = (1...max(1, count)).map { pow(Double($0), -exponent) }
        let sum = raw.reduce(0, +)
        return raw.map { $0 / sum }
    }

    /// Deals `total` out by weight, at least one to each.
    static func shares(of total: Int, by weights: [Double]) -> [Int] {
        weights.map { max(1, Int((Double(total) * $0).rounded())) }
    }
}

/// Draws numbers with the frequency of their weights; the same ones in every run. Even weights are
/// served in turn.
struct WeightedDraw: Sendable {
    private let sums: [Double]
    private let isEven: Bool
    private var next = 0
    private var state: UInt64

    /// `weights` isn't empty.
    init(_ weights: [Double], seed: UInt64) {
        precondition(!weights.isEmpty)
        var sum = 0.0
        sums = weights.map {
            sum += $0
            return sum
        }
        isEven = weights.allSatisfy { abs($0 - weights[0]) < 1e-12 }
        state = seed
    }

    @inline(__always)
    mutating func draw() -> Int {
        if isEven {
            defer { next = next + 1 == sums.count ? 0 : next + 1 }
            return next
        }
        state &+= 0x9E37_79B9_7F4A_7C15
        let unit = Double(Checksum.mix(state) >> 11) / Double(1 << 53)
        let goal = unit * sums[sums.count - 1]
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] > goal { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
