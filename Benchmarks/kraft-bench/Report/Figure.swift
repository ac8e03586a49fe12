/// One figure of a report: its name, where it stands, how it is written.
struct Figure<Report> {
    var name: String
    var value: (Report) -> Double
    var text: (Double) -> String

    init(
        _ name: String, _ value: @escaping (Report) -> Double, _ text: @escaping (Double) -> String
    ) {
        (self.name, self.value, self.text) = (name, value, text)
    }

    /// Over several runs: the median and the extremes.
    func text(_ runs: [Report]) -> String { Spread(runs.map(value))?.text(text) ?? "" }
}

/// What a command shows at its end.
protocol Presentable: Codable, Sendable {
    func table() -> String
    func page() -> Page
    /// Nothing was lost, doubled, stale or broken.
    var isSound: Bool { get }
}

/// One run under a load, with what all loads have in common.
protocol LoadReport: Codable, Sendable {
    static var title: String { get }
    static var figures: [Figure<Self>] { get }
    var settingsWords: String { get }
    var latencyMicroseconds: Percentiles { get }
    var limits: MachineLimits { get }
    var check: ResultCheck { get }
    var machine: Machine { get }
    var percentUsedByOthers: Double { get }
}

extension LoadReport {
    /// Latencies, also as multiples of what the machine itself takes.
    static var latencyFigures: [Figure<Self>] {
        [
            .init("latency p50", { $0.latencyMicroseconds.p50 }, Report.time),
            .init("latency p99", { $0.latencyMicroseconds.p99 }, Report.time),
            .init("latency p99.9", { $0.latencyMicroseconds.p999 }, Report.time),
        ]
    }

    static var ratioFigures: [Figure<Self>] {
        [
            .init("p50 / p50 of fdatasync", \.p50ByFdatasync, Report.ratio),
            .init("p99 / p99 of fdatasync", \.p99ByFdatasync, Report.ratio),
            .init("p50 / p50 of a loopback round", \.p50ByLoopback, Report.ratio),
        ]
    }

    var p50ByFdatasync: Double {
        Report.ratio(latencyMicroseconds.p50, by: limits.fdatasync.p50)
    }
    var p99ByFdatasync: Double {
        Report.ratio(latencyMicroseconds.p99, by: limits.fdatasync.p99)
    }
    var p50ByLoopback: Double { Report.ratio(latencyMicroseconds.p50, by: limits.loopback.p50) }
}

/// The same load, run several times.
struct LoadSeries<Run: LoadReport>: Presentable {
    /// At least one.
    var runs: [Run]

    var isSound: Bool { runs.allSatisfy { $0.check.problems.isEmpty } }

    func table() -> String {
        Report.table(figureRows + [("", "")] + contextRows + [("", "")] + checkRows)
    }

    func page() -> Page {
        var page = Page(title: "kraft-bench: \(Run.title)")
        page.add(.pairs(contextRows))
        page.add(.pairs(figureRows))
        page.add(.plot(plot("latency, ms", by: 1_000, isLogarithmic: true, Run.latencyFigures)))
        page.add(.plot(plot("per second", isLogarithmic: false, Array(Run.figures.prefix(1)))))
        page.add(.pairs(checkRows))
        return page
    }

    private var figureRows: [(String, String)] {
        Run.figures.map { ($0.name, $0.text(runs)) }
    }

    private var contextRows: [(String, String)] {
        guard let last = runs.last else { return [] }
        let others = runs.map(\.percentUsedByOthers).max() ?? 0
        return [("settings", last.settingsWords)]
            + (runs.count > 1 ? [("runs", "\(runs.count); medians, with the extremes")] : [])
            + Report.machineRows(last.machine, others) + Report.limitRows(runs.map(\.limits))
    }

    /// One row if all runs passed, else those that didn't.
    private var checkRows: [(String, String)] {
        let bad = runs.filter { !$0.check.problems.isEmpty }
        if !bad.isEmpty { return bad.map { ("check", $0.check.words) } }
        guard runs.count > 1 else { return runs.map { ("check", $0.check.words) } }
        var sum = ResultCheck()
        for run in runs { sum.add(run.check) }
        return [("check", sum.words)]
    }

    private func plot(
        _ label: String, by unit: Double = 1, isLogarithmic: Bool, _ figures: [Figure<Run>]
    ) -> LinePlot {
        LinePlot(
            title: figures.map(\.name).joined(separator: ", "), xLabel: "run", yLabel: label,
            isYLogarithmic: isLogarithmic,
            series: figures.map { figure in
                .init(
                    name: figure.name,
                    points: runs.enumerated().map { (Double($0 + 1), figure.value($1) / unit) })
            })
    }
}
