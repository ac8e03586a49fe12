/// What was wanted, and what was measured.
struct TargetsReport: Presentable {
    struct Row: Codable, Sendable {
        var what: String
        var target: String
        var spread: Spread?
        var measured: String
        /// Nil when it could not be measured.
        var isMet: Bool?
    }

    var rows: [Row] = []
    /// Why a trial broke off, and what its check found.
    var problems: [String] = []
    var check = ResultCheck()
    var limits: [MachineLimits]
    var percentUsedByOthers: Double
    var machine: Machine

    init(
        _ trials: [Trial], _ outcomes: [[Trial.Outcome]], failures: [String?], machine: Machine
    ) {
        self.machine = machine
        limits = outcomes.flatMap { $0.compactMap(\.limits) }
        percentUsedByOthers = outcomes.flatMap { $0.compactMap(\.percentUsedByOthers) }.max() ?? 0
        for (number, trial) in trials.enumerated() {
            for (place, goal) in trial.goals.enumerated() {
                let spread = Spread(outcomes[number].map { $0.values[place] })
                rows.append(
                    Row(
                        what: "\(trial.name): \(goal.what)", target: goal.target, spread: spread,
                        measured: spread?.text(goal.text) ?? "–",
                        isMet: spread.map { goal.isMet($0.median) }))
            }
            for outcome in outcomes[number] {
                guard let found = outcome.check else { continue }
                check.add(found)
                problems += found.problems.prefix(3).map { "\(trial.name): \($0)" }
            }
            if let failure = failures[number] { problems.append("\(trial.name): \(failure)") }
        }
    }

    var isSound: Bool { problems.isEmpty }

    func table() -> String {
        let lines = [TargetsReport.head] + rows.map(cells)
        let widths = TargetsReport.head.indices.map { column in
            lines.map { $0[column].count }.max() ?? 0
        }
        let table = lines.map { cells in
            cells.indices.map { column in
                let padding = String(repeating: " ", count: widths[column] - cells[column].count)
                return column == 0 ? cells[column] + padding : padding + cells[column]
            }.joined(separator: "   ")
        }
        return table.joined(separator: "\n") + "\n\n" + Report.table(rest)
    }

    func page() -> Page {
        Page(
            title: "kraft-bench: targets",
            [.table(head: TargetsReport.head, rows: rows.map(cells)), .pairs(rest)])
    }

    private static let head = ["what", "target", "measured", "met"]

    private func cells(_ row: Row) -> [String] {
        [row.what, row.target, row.measured, row.isMet.map { $0 ? "yes" : "no" } ?? "?"]
    }

    private var rest: [(String, String)] {
        [("met", "\(rows.count { $0.isMet == true }) of \(rows.count)")]
            + Report.machineRows(machine, percentUsedByOthers)
            + (limits.isEmpty ? [] : Report.limitRows(limits))
            + problems.map { ("PROBLEM", $0) }
            + (check.acknowledged > 0 ? [("check", check.words)] : [])
    }
}
