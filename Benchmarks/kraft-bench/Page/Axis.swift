import Foundation

/// An axis of a plot: what it spans, and where it is labelled.
struct Axis: Sendable {
    private let low: Double
    private let high: Double
    private let isLogarithmic: Bool
    let ticks: [Double]

    private static let tickGoal = 5.0

    /// Spans `values`, and a little more, up to the next ticks. Values on a logarithmic axis are
    /// above zero.
    init(_ values: [Double], isLogarithmic: Bool, startsAtZero: Bool) {
        self.isLogarithmic = isLogarithmic
        let (least, most) = (values.min() ?? 1, values.max() ?? 1)
        if isLogarithmic {
            let (first, last) = (floor(log10(least)), ceil(log10(most)))
            let decades = Int(max(last, first + 1) - first)
            // Few decades get ticks between.
            let steps: [Double] = decades <= 2 ? [1, 2, 5] : [1]
            let all = (0...decades).flatMap { decade in
                steps.map { $0 * pow(10, first + Double(decade)) }
            }
            (low, high) = (
                all.last { $0 <= least } ?? least, all.first { $0 >= most } ?? most
            )
            ticks = Axis.spread(all.filter { [low, high] in low <= $0 && $0 <= high })
        } else {
            let bottom = startsAtZero ? min(0, least) : least
            let step = Axis.step((most - bottom) / Axis.tickGoal)
            let (start, end) = (floor(bottom / step) * step, ceil(most / step) * step)
            (low, high) = (start, max(end, start + step))
            ticks = (0...Int(((high - low) / step).rounded())).map { [low] in
                low + Double($0) * step
            }
        }
    }

    /// Where a value lies, from 0 to 1.
    func part(_ value: Double) -> Double {
        guard high > low else { return 0.5 }
        return isLogarithmic
            ? (log10(value) - log10(low)) / (log10(high) - log10(low))
            : (value - low) / (high - low)
    }

    /// A round step that isn't below `least`: 1, 2 or 5 times a power of ten.
    private static func step(_ least: Double) -> Double {
        guard least > 0 else { return 1 }
        let power = pow(10, floor(log10(least)))
        return ([1, 2, 5].first { $0 * power >= least } ?? 10) * power
    }

    /// At most some nine of many ticks.
    private static func spread(_ ticks: [Double]) -> [Double] {
        let every = (ticks.count + 8) / 9
        return ticks.enumerated().filter { $0.offset % max(1, every) == 0 }.map(\.element)
    }

    static func label(_ value: Double) -> String {
        for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] where abs(value) >= size {
            return short(value / size) + unit
        }
        return short(value)
    }

    private static func short(_ value: Double) -> String {
        String(format: abs(value) >= 100 ? "%.0f" : "%.3g", value)
    }
}
