/// Writes over one number that was varied.
struct CurveReport: Presentable {
    enum Kind: String, Codable, Sendable {
        case groups
        case rates = "writes/s offered"
        case loops = "loops a node, three nodes"
        case loopsOfOneNode = "loops, one node"
    }

    struct Point: Codable, Sendable {
        var x: Int
        var runs: [WritesReport]
    }

    struct Curve: Codable, Sendable {
        var kind: Kind
        var points: [Point]
    }

    var curves: [Curve]
    var machine: Machine

    private var all: [WritesReport] { curves.flatMap { $0.points.flatMap(\.runs) } }

    var isSound: Bool { all.allSatisfy { $0.check.problems.isEmpty } }

    func table() -> String {
        (curves.map { Report.columns(head($0), lines($0)) } + [Report.table(rest)])
            .joined(separator: "\n\n")
    }

    func page() -> Page {
        var page = Page(title: "kraft-bench: over \(titles)")
        page.add(.pairs(rest))
        for curve in curves {
            page.add(.heading("Over \(curve.kind.rawValue)"))
            switch curve.kind {
            case .rates:
                page.add(
                    .plot(
                        plot(
                            curve, "latency, ms",
                            [("p50", { $0.p50 / 1_000 }), ("p99", { $0.p99 / 1_000 })], log: true)))
            case .groups, .loops, .loopsOfOneNode:
                page.add(.plot(plot(curve, "writes/s", [("writes/s", \.writesPerSecond)])))
            }
            page.add(
                .plot(
                    plot(
                        curve, "µs of CPU per write",
                        [("CPU per write", \.cpuMicrosecondsPerWrite)], log: true)))
            page.add(.table(head: head(curve), rows: lines(curve)))
        }
        return page
    }

    private var titles: String { curves.map(\.kind.rawValue).joined(separator: " and ") }

    private static var figures: [Figure<WritesReport>] {
        [
            .init("writes/s", \.writesPerSecond, Report.count),
            .init("p50", \.p50, Report.time),
            .init("p99", \.p99, Report.time),
            .init("by fdatasync's p50", \.p50ByFdatasync, Report.ratio),
            .init("p99's", \.p99ByFdatasync, Report.ratio),
            .init("CPU per write", \.cpuMicrosecondsPerWrite, Report.microseconds),
        ]
    }

    private func head(_ curve: Curve) -> [String] {
        [curve.kind.rawValue] + CurveReport.figures.map(\.name)
    }

    private func lines(_ curve: Curve) -> [[String]] {
        curve.points.map { point in
            [Report.count(Double(point.x))] + CurveReport.figures.map { $0.text(point.runs) }
        }
    }

    private func plot(
        _ curve: Curve, _ label: String, _ lines: [(String, (WritesReport) -> Double)],
        log: Bool = false
    ) -> LinePlot {
        LinePlot(
            title: "\(lines.map(\.0).joined(separator: ", ")) over \(curve.kind.rawValue)",
            xLabel: curve.kind.rawValue,
            yLabel: label, isXLogarithmic: true, isYLogarithmic: log,
            series: lines.map { name, value in
                .init(
                    name: name,
                    points: curve.points.compactMap { point in
                        Spread(point.runs.map(value)).map { (Double(point.x), $0.median) }
                    })
            })
    }

    private var rest: [(String, String)] {
        var check = ResultCheck()
        for report in all { check.add(report.check) }
        let runs = curves.first?.points.first?.runs.count ?? 0
        return (runs > 1 ? [("runs", "\(runs), in turn; medians, with the extremes")] : [])
            + Report.machineRows(machine, all.map(\.percentUsedByOthers).max() ?? 0)
            + Report.limitRows(all.map(\.limits)) + [("check", check.words)]
    }
}

extension WritesReport {
    fileprivate var p50: Double { latencyMicroseconds.p50 }
    fileprivate var p99: Double { latencyMicroseconds.p99 }
}
