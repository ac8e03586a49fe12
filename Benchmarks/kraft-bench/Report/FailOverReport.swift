/// How long groups were without a leader after the node that led them was killed.
struct FailOverReport: Presentable {
    struct Row: Codable, Sendable {
        var groups: Int
        /// Those that the killed node led.
        var orphans: Int
        /// From the kill until another node led a group: of the groups' middle one, and of the last.
        var p50Seconds: Double
        var maxSeconds: Double
        var check: ResultCheck

        /// `led`: of each such group, the time from the kill.
        init(groups: Int, led: [Double], check: ResultCheck) {
            self.groups = groups
            self.check = check
            orphans = led.count
            p50Seconds = Spread(led)?.median ?? 0
            maxSeconds = led.max() ?? 0
        }
    }

    var rows: [Row]
    var machine: Machine

    var isSound: Bool { rows.allSatisfy { $0.check.problems.isEmpty } }

    func table() -> String { Report.columns(head, lines) + "\n\n" + Report.table(rest) }

    func page() -> Page {
        Page(title: "kraft-bench: fail-over", [.table(head: head, rows: lines), .pairs(rest)])
    }

    private var head: [String] { ["groups", "led by the dead", "led again, p50", "last"] }

    private var lines: [[String]] {
        rows.map { row in
            [
                Report.count(Double(row.groups)), Report.count(Double(row.orphans)),
                "\(Report.decimal(row.p50Seconds)) s", "\(Report.decimal(row.maxSeconds)) s",
            ]
        }
    }

    private var rest: [(String, String)] {
        rows.map { ("check, \($0.groups)", $0.check.words) } + Report.machineRows(machine)
    }
}
