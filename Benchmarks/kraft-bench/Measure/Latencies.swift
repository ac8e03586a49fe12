import Histogram

/// Latencies in nanoseconds, to a microsecond or three digits.
struct Latencies: Sendable {
    private(set) var histogram = Histogram<UInt64>(
        lowestDiscernibleValue: 1_000, highestTrackableValue: 120_000_000_000,
        numberOfSignificantValueDigits: .three)

    var count: UInt64 { histogram.totalCount }

    @inline(__always)
    mutating func record(_ nanoseconds: UInt64) { histogram.record(nanoseconds) }

    mutating func record(_ nanoseconds: UInt64, count: UInt64) {
        histogram.record(nanoseconds, count: count)
    }

    mutating func add(_ other: Latencies) { histogram.add(other.histogram) }
    mutating func removeAll() { histogram.reset() }

    /// In microseconds.
    func percentile(_ percentile: Double) -> Double {
        Double(histogram.valueAtPercentile(percentile)) / 1_000
    }
}

/// Only the buckets that hold something travel.
extension Latencies: Codable {
    private enum CodingKeys: String, CodingKey { case values, counts }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let values = try container.decode([UInt64].self, forKey: .values)
        let counts = try container.decode([UInt64].self, forKey: .counts)
        for (value, count) in zip(values, counts) { record(value, count: count) }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        let recorded = histogram.recordedValues().map { ($0.value, $0.count) }
        try container.encode(recorded.map(\.0), forKey: .values)
        try container.encode(recorded.map(\.1), forKey: .counts)
    }
}
