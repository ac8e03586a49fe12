/// What it costs that a node comes back by snapshots.
struct AwayReport: Presentable {
    /// One stretch of the same load, on the nodes that lead.
    struct Phase: Codable, Sendable {
        var seconds: Double
        var writesPerSecond: Double
        var latency: Percentiles

        init(_ spans: [Span]) {
            let latencies = spans.latencies
            seconds = spans.map(\.seconds).max() ?? 0
            writesPerSecond = Double(latencies.count) / max(seconds, 1e-9)
            latency = Percentiles(latencies)
        }
    }

    var settings: AwaySettings
    var before: Phase
    var without: Phase
    var during: Phase
    var after: Phase
    var secondsToReturn: Double
    var snapshotsInstalled: UInt64
    /// By node.
    var peakResidentBytes: [UInt64]
    var check: ResultCheck
    var machine: Machine

    var isSound: Bool { check.problems.isEmpty }

    func table() -> String { Report.table(rows) }

    func page() -> Page { Page(title: "kraft-bench: away", [.pairs(rows)]) }

    private var rows: [(String, String)] {
        var rows: [(String, String)] = [
            (
                "settings",
                "\(settings.groups) groups of \(Report.bytes(Double(settings.stateSizeBytes))), "
                    + "\(settings.inFlight) in flight each, \(settings.payloadSizeBytes) B, durable"
            ),
            ("missed", "\(Report.count(Double(settings.entries))) entries at least"),
        ]
        for (name, phase) in [
            ("all nodes", before), ("without node 3", without), ("it comes back", during),
            ("it is back", after),
        ] {
            rows.append(
                (
                    name,
                    "p50 \(Report.time(phase.latency.p50)), p99 \(Report.time(phase.latency.p99)), "
                        + "max \(Report.time(phase.latency.max)), "
                        + "\(Report.count(phase.writesPerSecond)) writes/s, "
                        + "\(Report.decimal(phase.seconds, digits: 1)) s"
                ))
        }
        let ratio = during.latency.p99 / max(before.latency.p99, 1)
        rows += [
            ("p99 by p99 with all nodes", Report.decimal(ratio)),
            ("caught up after", "\(Report.decimal(secondsToReturn, digits: 1)) s"),
            ("snapshots installed", "\(snapshotsInstalled)"),
            (
                "memory at most, by node",
                peakResidentBytes.map { Report.bytes(Double($0)) }.joined(separator: ", ")
            ),
            ("", ""),
            ("check", check.words),
        ]
        return rows + Report.machineRows(machine)
    }
}
