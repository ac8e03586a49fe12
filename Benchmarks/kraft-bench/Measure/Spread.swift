/// The middle of several measurements of the same, and how far they lie apart.
struct Spread: Codable, Sendable, Equatable {
    var median: Double
    var min: Double
    var max: Double

    /// Nil for no values. Of an even number the mean of the two in the middle.
    init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        let middle = sorted.count / 2
        median =
            sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        (min, max) = (first, last)
    }

    /// `format` writes one value; a single one stands alone.
    func text(_ format: (Double) -> String) -> String {
        min == max ? format(median) : "\(format(median)) (\(format(min))–\(format(max)))"
    }
}
