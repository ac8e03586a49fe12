/// What it takes to create many groups, and to start a node that has them.
struct StartUpReport: Presentable {
    struct Row: Codable, Sendable {
        var groups: Int
        /// Until all nodes had all groups, and until each had a leader that all nodes knew.
        var createSeconds: Double
        var ledSeconds: Double
        /// Of the average node.
        var bytesPerGroup: Double
        /// Afterwards, doing nothing; of all nodes, of one core.
        var idleCPUPercent: Double
        var idleFramesPerSecond: Double
        /// A node is started anew: until it listens, and until it knows all leaders.
        var listenSeconds: Double
        var serveSeconds: Double
    }

    var rows: [Row]
    var machine: Machine

    var isSound: Bool { true }

    func table() -> String { Report.columns(head, lines) + "\n\n" + Report.table(rest) }

    func page() -> Page {
        Page(title: "kraft-bench: start-up", [.table(head: head, rows: lines), .pairs(rest)])
    }

    private var head: [String] {
        [
            "groups", "created", "led", "a group and node", "idle CPU, % of a core",
            "idle frames/s", "restart listens", "serves",
        ]
    }

    private var lines: [[String]] {
        rows.map { row in
            [
                Report.count(Double(row.groups)), Report.seconds(row.createSeconds),
                Report.seconds(row.ledSeconds), Report.bytes(row.bytesPerGroup),
                Report.decimal(row.idleCPUPercent),
                Report.decimal(row.idleFramesPerSecond, digits: 1),
                Report.seconds(row.listenSeconds), Report.seconds(row.serveSeconds),
            ]
        }
    }

    private var rest: [(String, String)] { Report.machineRows(machine) }
}
