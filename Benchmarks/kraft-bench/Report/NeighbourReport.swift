/// What a saturated group costs its neighbours.
struct NeighbourReport: Presentable {
    var settings: NeighbourSettings
    /// The saturated group on the loop of the others, and on one of its own.
    var together: [NeighbourRun.Result] = []
    var apart: [NeighbourRun.Result] = []
    var machine: Machine

    var isSound: Bool { (together + apart).allSatisfy { $0.check.problems.isEmpty } }

    func table() -> String {
        "\(Report.columns(head, lines))\n\n\(Report.table(rest))"
    }

    func page() -> Page {
        Page(title: "kraft-bench: neighbour", [.table(head: head, rows: lines), .pairs(rest)])
    }

    private static var figures: [Figure<NeighbourRun.Result>] {
        [
            .init("p50 alone", \.alone.p50, Report.time),
            .init("p99 alone", \.alone.p99, Report.time),
            .init("p50 beside it", \.beside.p50, Report.time),
            .init("p99 beside it", \.beside.p99, Report.time),
            .init(
                "p99 by p99 alone", { Report.ratio($0.beside.p99, by: $0.alone.p99) },
                Report.ratio),
        ]
    }

    private var head: [String] {
        ["the saturated group is"] + NeighbourReport.figures.map(\.name)
    }

    private var lines: [[String]] {
        [("on their loop", together), ("on its own", apart)].map { name, runs in
            [name] + NeighbourReport.figures.map { $0.text(runs) }
        }
    }

    private var rest: [(String, String)] {
        var check = ResultCheck()
        for result in together + apart { check.add(result.check) }
        let nodes = settings.nodes == 1 ? "1 node" : "\(settings.nodes) nodes"
        return [
            (
                "settings",
                "\(nodes), \(settings.groups) groups, \(Report.count(settings.rate)) writes/s in all, "
                    + "work \(settings.workRounds), \(Report.decimal(settings.seconds, digits: 1)) s"
            ),
            ("runs", "\(together.count), in turn; medians, with the extremes"),
        ] + Report.machineRows(machine) + [("check", check.words)]
    }
}
