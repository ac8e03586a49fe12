/// What idle groups cost, by their number.
struct IdleReport: Presentable {
    struct Row: Codable, Sendable {
        var groups: Int
        /// Frames and bytes between nodes, and log writes, of all nodes. A frame is what one node
        /// sends another in a turn, whatever groups it speaks of.
        var framesPerSecond: Double
        var bytesPerSecond: Double
        var syncsPerSecond: Double
        /// Of all nodes, in percent of one core.
        var cpuPercent: Double
        /// Of the average node.
        var residentBytesPerNode: Double
        /// Beyond what a node without groups takes.
        var bytesPerGroup: Double
        /// From the order to create the groups until each had a leader that all nodes knew.
        var readySeconds: Double
        var percentUsedByOthers: Double

        init(groups: Int, meter: Meter, emptyBytes: Double, readySeconds: Double) {
            self.groups = groups
            self.readySeconds = readySeconds
            percentUsedByOthers = meter.percentUsedByOthers
            let nodes = meter.nodes
            framesPerSecond = nodes.rate(\.framesSent)
            bytesPerSecond = nodes.rate(\.bytesSent)
            syncsPerSecond = nodes.rate(\.logWrites)
            cpuPercent = nodes.rate(\.cpuMicroseconds) / 1e4
            residentBytesPerNode = nodes.total(\.residentBytes) / Double(max(1, nodes.count))
            bytesPerGroup = (residentBytesPerNode - emptyBytes) / Double(max(1, groups))
        }
    }

    /// From so many groups on their memory stands out from the node's own.
    private static let memoryThreshold = 1_000

    var rows: [Row]
    var machine: Machine

    var isSound: Bool { true }

    func table() -> String { Report.columns(head, lines) + "\n\n" + Report.table(rest) }

    func page() -> Page {
        Page(title: "kraft-bench: idle", [.table(head: head, rows: lines), .pairs(rest)])
    }

    private var head: [String] {
        [
            "groups", "frames/s", "bytes/s", "syncs/s", "CPU, % of a core", "memory a node",
            "a group and node", "led after",
        ]
    }

    private var lines: [[String]] {
        rows.map { row in
            [
                Report.count(Double(row.groups)), Report.decimal(row.framesPerSecond, digits: 1),
                Report.bytes(row.bytesPerSecond), Report.decimal(row.syncsPerSecond, digits: 1),
                Report.decimal(row.cpuPercent), Report.bytes(row.residentBytesPerNode),
                row.groups < IdleReport.memoryThreshold ? "–" : Report.bytes(row.bytesPerGroup),
                Report.seconds(row.readySeconds),
            ]
        }
    }

    private var rest: [(String, String)] {
        var rest: [(String, String)] = []
        if let first = rows.first, let last = rows.last, last.groups > first.groups {
            let more = Double(last.groups - first.groups)
            let memory = (last.residentBytesPerNode - first.residentBytesPerNode) / more
            rest.append(("memory per further group", "\(Report.bytes(memory)) a node"))
        }
        return rest + Report.machineRows(machine, rows.map(\.percentUsedByOthers).max() ?? 0)
    }
}
