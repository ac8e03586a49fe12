/// What idle groups cost, by their number.
struct IdleReport: Codable, Sendable {
    struct Row: Codable, Sendable {
        var groups: Int
        /// Frames and bytes between nodes, and log writes, of all nodes.
        var framesPerSecond: Double
        var bytesPerSecond: Double
        var syncsPerSecond: Double
        /// Of all nodes, in percent of one core.
        var cpuPercent: Double
        /// Of the average node.
        var residentBytesPerNode: Double
        /// From the order to create the groups until each had a leader that all nodes knew.
        var readySeconds: Double
        var percentUsedByOthers: Double

        init(groups: Int, nodes: [Span], readySeconds: Double, percentUsedByOthers: Double) {
            self.groups = groups
            self.readySeconds = readySeconds
            self.percentUsedByOthers = percentUsedByOthers
            framesPerSecond = nodes.rate(\.framesSent)
            bytesPerSecond = nodes.rate(\.bytesSent)
            syncsPerSecond = nodes.rate(\.logWrites)
            cpuPercent = nodes.rate(\.cpuMicroseconds) / 1e4
            residentBytesPerNode = nodes.total(\.residentBytes) / Double(max(1, nodes.count))
        }
    }

    var rows: [Row]
    var machine: Machine

    func json() throws -> String { try Report.json(self) }

    func table() -> String {
        let head = [
            "groups", "frames/s", "bytes/s", "syncs/s", "CPU, % of a core", "memory a node",
            "led after",
        ]
        let lines = rows.map { row in
            [
                Report.count(Double(row.groups)), Report.decimal(row.framesPerSecond, digits: 1),
                Report.bytes(row.bytesPerSecond), Report.decimal(row.syncsPerSecond, digits: 1),
                Report.decimal(row.cpuPercent), Report.bytes(row.residentBytesPerNode),
                "\(Report.decimal(row.readySeconds, digits: 1)) s",
            ]
        }
        let widths = head.indices.map { column in
            ([head] + lines).map { $0[column].count }.max() ?? 0
        }
        let table = ([head] + lines).map { cells in
            zip(cells, widths).map { cell, width in
                String(repeating: " ", count: width - cell.count) + cell
            }.joined(separator: "   ")
        }
        var rest: [(String, String)] = []
        if let first = rows.first, let last = rows.last, last.groups > first.groups {
            let more = Double(last.groups - first.groups)
            let memory = (last.residentBytesPerNode - first.residentBytesPerNode) / more
            rest.append(("memory per further group", "\(Report.bytes(memory)) a node"))
        }
        let others = rows.map(\.percentUsedByOthers).max() ?? 0
        rest += Report.machineRows(machine, others)
        return table.joined(separator: "\n") + "\n\n" + Report.table(rest)
    }
}
