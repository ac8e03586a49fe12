import KraftMultiRaft

/// A log's report in lines for a human.
struct LogText {
    private let report: LogReport
    private let names: [GroupID: String]

    init(_ report: LogReport) {
        self.report = report
        names = Dictionary(
            report.groups.map { ($0.id, $0.name.string) }, uniquingKeysWith: { $1 })
    }

    private static func text(_ place: LogReport.Place) -> String {
        "segment \(place.segment), offset \(place.offset)"
    }

    /// Whether it is sound, and why not.
    var verdict: [String] {
        guard report.isSound else {
            let damaged = report.groups.filter(\.isDamaged).map(\.name.string)
            let groups = damaged.isEmpty ? "none" : damaged.joined(separator: " ")
            return report.damages.map { "damaged: \($0.reason)" }
                + ["groups that may have lost something, of those that are left: \(groups)"]
        }
        let records = report.segments.reduce(0) { $0 + $1.recordCount }
        var lines = [
            "sound: \(report.segments.count) segments, \(report.groups.count) groups, "
                + "\(records) records; ends in \(LogText.text(report.end))"
        ]
        if let tail = report.tornTail {
            lines.append(
                "behind it, from \(LogText.text(tail)), stands a write that isn't whole: it was "
                    + "never acknowledged (or a node is writing it now), and is dropped at start")
        }
        return lines
    }

    var inspection: [String] {
        var lines: [String] = []
        if let owner = report.owner {
            lines.append(
                "node \(owner.node) of cluster '\(owner.clusterID)', \(report.lives) lives, "
                    + "store \(hex(report.store))")
        }
        return lines + [""] + segments + [""] + groups + [""] + verdict
    }

    private func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private var segments: [String] {
        var table = TextTable("segment", "bytes", "used", "records", "most of")
        for segment in report.segments {
            guard segment.owner != nil else {
                table.add("\(segment.number)", "\(segment.byteCount)", "-", "-", "header damaged")
                continue
            }
            let most = segment.shares.sorted { $0.byteCount > $1.byteCount }.prefix(3)
                .map { "\(name($0.group)) \($0.byteCount)" }
            table.add(
                "\(segment.number)", "\(segment.byteCount)", "\(segment.end)",
                "\(segment.recordCount)", most.joined(separator: ", "))
        }
        let leftovers = report.leftovers.map { "segment \($0) was given back" }
        return table.lines + leftovers
    }

    private func name(_ id: GroupID) -> String {
        id.rawValue == 0 ? "the node" : names[id] ?? "removed \(hex(id.rawValue))"
    }

    private var groups: [String] {
        var table = TextTable(
            "group", "incarnation", "replica", "first", "last", "terms", "bytes", "from segment",
            "term", "vote", "snapshot", "members")
        for group in report.groups {
            let members = group.members.map { "\($0.node):\($0.kind.word)" }
            let added = group.replica.added
            table.add(
                group.name.string + (group.isDamaged ? " (damaged)" : ""),
                "\(group.incarnation)",
                added == .start ? "first" : "\(added.term).\(added.index)", "\(group.first)",
                "\(group.last)", "\(group.firstTerm)-\(group.lastTerm)", "\(group.byteCount)",
                group.oldestEntry.map { "\($0.segment)" } ?? "-", "\(group.term)",
                group.vote.isNone ? "-" : "\(group.vote)",
                group.snapshot.map { "\($0.name.position.index)" } ?? "-",
                members.joined(separator: " ") + (group.isJoint ? " (joint)" : ""))
        }
        return table.lines
    }
}

extension MemberKind {
    var word: String {
        switch self {
        case .voter: "voter"
        case .learner: "learner"
        case .witness: "witness"
        }
    }
}
