/// The demo at one moment, and how that looks.
struct DemoView: Sendable {
    struct Node: Sendable {
        enum State: Sendable, Equatable {
            case starting
            case up
            case killed
            /// Up again, with this share of what it missed applied.
            case catchingUp(percent: Int)
        }

        var id: Int
        var state = State.starting
        var leads: [String] = []
    }

    var nodes: [Node]
    var groupCount: Int
    var phase = "starting"
    var elapsed = Duration.zero
    var acknowledged = 0
    var refused = 0
    var open = 0
    /// Acknowledged writes of each second, the newest last.
    var rates: [Int] = []
    var outage: OutageMeter?

    static let rateLimit = 60

    mutating func add(rate: Int) {
        rates.append(rate)
        if rates.count > DemoView.rateLimit { rates.removeFirst() }
    }

    // MARK: Block for a terminal

    func lines() -> [StyledLine] {
        var lines = [
            StyledLine("  \(phase)", .bold).adding("  \(seconds)", .dim), StyledLine(""),
        ]
        for node in nodes { lines.append(DemoView.line(of: node)) }
        lines.append(StyledLine(""))
        lines.append(
            StyledLine("  writes   ").adding(Words.count(acknowledged), .bold)
                .adding(" acknowledged   \(Words.count(rates.last ?? 0))/s  ")
                .adding(sparkline, .dim))
        lines.append(
            StyledLine(
                "           \(Words.count(open)) under way or open, \(Words.count(refused)) refused",
                .dim))
        if let outage { lines += DemoView.lines(of: outage) }
        return lines
    }

    private static func line(of node: Node) -> StyledLine {
        let line = StyledLine("  node \(node.id)   ")
        let names = node.leads.map(shortName).joined(separator: " ")
        let leads = "leads \(node.leads.count)".padded(to: 10)
        return switch node.state {
        case .starting: line.adding("○ starting", .dim)
        case .killed: line.adding("✕ killed", .bad)
        case .up: line.adding("● up       ", .good).adding(leads).adding(names, .dim)
        case .catchingUp(let percent):
            line.adding("◐ \(percent) %".padded(to: 11), .warn).adding(leads).adding(names, .dim)
        }
    }

    /// The groups that lost their leader, several in a line.
    private static func lines(of outage: OutageMeter) -> [StyledLine] {
        let cells = outage.sorted.map { group, span in
            (shortName(group).padded(to: 6), span)
        }
        var lines = [StyledLine(""), StyledLine("  without a leader")]
        for start in stride(from: 0, to: cells.count, by: 4) {
            var line = StyledLine("    ")
            for (name, span) in cells[start..<min(start + 4, cells.count)] {
                line.add(name, .dim)
                line.add(
                    (span.map { Words.span($0) } ?? "…").padded(to: 12),
                    span == nil ? .bad : .plain)
            }
            lines.append(line)
        }
        return lines
    }

    /// `kv-12` is 12: the demo's groups are all named alike.
    static func shortName(_ group: String) -> String {
        group.hasPrefix("kv-") ? String(group.dropFirst(3)) : group
    }

    private var sparkline: String {
        let bars = Array("▁▂▃▄▅▆▇█")
        guard let highest = rates.max(), highest > 0 else { return "" }
        return String(rates.suffix(30).map { bars[$0 * (bars.count - 1) / highest] })
    }

    private var seconds: String { "\(Words.milliseconds(elapsed) / 1_000) s" }

    // MARK: Line for a log

    /// One plain line that says what the block shows.
    var summaryLine: String {
        let leads = nodes.map { node in
            switch node.state {
            case .starting: "node \(node.id) starting"
            case .killed: "node \(node.id) killed"
            case .up: "node \(node.id) leads \(node.leads.count)"
            case .catchingUp(let percent):
                "node \(node.id) at \(percent) %, leads \(node.leads.count)"
            }
        }
        return "\(seconds.padded(to: 5)) \(Words.count(acknowledged)) writes acknowledged, "
            + "\(Words.count(rates.last ?? 0))/s; \(leads.joined(separator: ", "))"
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}
