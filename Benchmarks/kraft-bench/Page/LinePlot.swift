import Foundation

/// A plot of lines with points, as SVG. Its colours come from the page.
struct LinePlot: Sendable {
    struct Series: Sendable {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    var title: String
    var xLabel: String
    var yLabel: String
    var isXLogarithmic = false
    var isYLogarithmic = false
    var series: [Series]

    private static let (width, height) = (720.0, 340.0)
    private static let (left, right, top, bottom) = (76.0, 16.0, 58.0, 46.0)
    private static let colorCount = 4

    func svg() -> String {
        // What has no place on a logarithmic axis is left out.
        let drawn = series.map { series in
            Series(
                name: series.name,
                points: series.points.filter { point in
                    point.x.isFinite && point.y.isFinite && (!isXLogarithmic || point.x > 0)
                        && (!isYLogarithmic || point.y > 0)
                })
        }
        let points = drawn.flatMap(\.points)
        let x = Axis(points.map(\.x), isLogarithmic: isXLogarithmic, startsAtZero: false)
        let y = Axis(points.map(\.y), isLogarithmic: isYLogarithmic, startsAtZero: true)
        var parts = [
            "<svg viewBox=\"0 0 \(Int(LinePlot.width)) \(Int(LinePlot.height))\" role=\"img\" "
                + "aria-label=\"\(Page.escaped(title))\">",
            text(LinePlot.left, 18, title, "start", of: "title"),
        ]
        parts += grid(x, y)
        for (number, series) in drawn.enumerated() {
            parts += line(series, color: number % LinePlot.colorCount, x, y)
            parts.append(legend(series.name, number))
        }
        parts.append("</svg>")
        return parts.joined(separator: "\n")
    }

    // MARK: Parts

    private func place(_ x: Axis, _ value: Double) -> Double {
        LinePlot.left + x.part(value) * (LinePlot.width - LinePlot.left - LinePlot.right)
    }

    private func level(_ y: Axis, _ value: Double) -> Double {
        let room = LinePlot.height - LinePlot.top - LinePlot.bottom
        return LinePlot.height - LinePlot.bottom - y.part(value) * room
    }

    private func grid(_ x: Axis, _ y: Axis) -> [String] {
        let (floor, end) = (LinePlot.height - LinePlot.bottom, LinePlot.width - LinePlot.right)
        var parts: [String] = []
        for tick in y.ticks {
            let level = level(y, tick)
            parts.append(rule(LinePlot.left, level, end, level))
            parts.append(text(LinePlot.left - 8, level + 4, Axis.label(tick), "end"))
        }
        for tick in x.ticks {
            let place = place(x, tick)
            parts.append(rule(place, floor, place, floor + 5))
            parts.append(text(place, floor + 19, Axis.label(tick), "middle"))
        }
        parts.append(
            text((LinePlot.left + end) / 2, LinePlot.height - 8, xLabel, "middle"))
        parts.append(text(4, LinePlot.top - 12, yLabel, "start"))
        return parts
    }

    private func line(_ series: Series, color: Int, _ x: Axis, _ y: Axis) -> [String] {
        let points = series.points.map { (place(x, $0.x), level(y, $0.y)) }
        let path = points.map { "\(number($0.0)),\(number($0.1))" }.joined(separator: " ")
        let line =
            "<polyline points=\"\(path)\" fill=\"none\" stroke=\"var(--s\(color))\" "
            + "stroke-width=\"2\"/>"
        return [line]
            + zip(points, series.points).map { point, value in
                "<circle cx=\"\(number(point.0))\" cy=\"\(number(point.1))\" r=\"3.5\" "
                    + "fill=\"var(--s\(color))\"><title>\(Page.escaped(series.name)): "
                    + "\(Axis.label(value.x)), \(Axis.label(value.y))</title></circle>"
            }
    }

    private func legend(_ name: String, _ number: Int) -> String {
        // From the right, so that it stays clear of the axis' name.
        let place = LinePlot.width - LinePlot.right - Double(series.count - number) * 130
        let color = number % LinePlot.colorCount
        return "<rect x=\"\(self.number(place))\" y=\"31\" width=\"12\" height=\"3\" "
            + "fill=\"var(--s\(color))\"/>" + text(place + 18, 36, name, "start")
    }

    private func text(
        _ x: Double, _ y: Double, _ words: String, _ anchor: String, of kind: String = "label"
    ) -> String {
        "<text class=\"\(kind)\" x=\"\(number(x))\" y=\"\(number(y))\" "
            + "text-anchor=\"\(anchor)\">\(Page.escaped(words))</text>"
    }

    private func rule(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
        "<line class=\"grid\" x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" "
            + "y2=\"\(number(y2))\"/>"
    }

    private func number(_ value: Double) -> String { String(format: "%.1f", value) }
}
