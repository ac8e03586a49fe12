/// What a run of writes found, ready to be shown.
struct WritesReport: Codable, Sendable {
    var settings: WritesSettings
    var writesPerSecond: Double
    var latencyMicroseconds: Percentiles
    /// Of all nodes, user and system.
    var cpuMicrosecondsPerWrite: Double
    var userMicrosecondsPerWrite: Double
    var systemMicrosecondsPerWrite: Double
    /// On the average node.
    var writesPerSync: Double
    /// Of all nodes.
    var syncsPerSecond: Double
    var logBytesPerWrite: Double
    var logBytesPerSecond: Double
    var peerFramesPerSecond: Double
    var peerBytesPerSecond: Double
    var check: ResultCheck
    var machine: Machine
    var fdatasyncMicroseconds: Percentiles
    var percentUsedByOthers: Double

    init(
        settings: WritesSettings, nodes: [Span], check: ResultCheck, machine: Machine,
        fdatasync: Percentiles, percentUsedByOthers: Double
    ) {
        self.settings = settings
        self.check = check
        self.machine = machine
        self.percentUsedByOthers = percentUsedByOthers
        fdatasyncMicroseconds = fdatasync
        var latencies = Latencies()
        for node in nodes { latencies.add(node.latencies) }
        let writes = max(1, Double(latencies.count))
        writesPerSecond = nodes.rate { $0.latencies.count }
        latencyMicroseconds = Percentiles(latencies)
        userMicrosecondsPerWrite = nodes.total(\.userMicroseconds) / writes
        systemMicrosecondsPerWrite = nodes.total(\.systemMicroseconds) / writes
        cpuMicrosecondsPerWrite = userMicrosecondsPerWrite + systemMicrosecondsPerWrite
        writesPerSync = nodes.total(\.entriesAppended) / max(1, nodes.total(\.logWrites))
        syncsPerSecond = nodes.rate(\.logWrites)
        logBytesPerWrite = nodes.total(\.logBytesWritten) / writes
        logBytesPerSecond = nodes.rate(\.logBytesWritten)
        peerFramesPerSecond = nodes.rate(\.framesSent)
        peerBytesPerSecond = nodes.rate(\.bytesSent)
    }

    func json() throws -> String { try Report.json(self) }

    func table() -> String {
        let disk = fdatasyncMicroseconds
        func latency(_ value: Double, _ limit: Double, _ name: String) -> String {
            let ratio = Report.decimal(value / max(limit, 0.001), digits: 1)
            return "\(Report.time(value)), \(ratio) × the disk's \(name)"
        }
        var rows = [
            ("writes/s", Report.count(writesPerSecond)),
            ("latency p50", latency(latencyMicroseconds.p50, disk.p50, "p50")),
            ("latency p99", latency(latencyMicroseconds.p99, disk.p99, "p99")),
            ("latency p99.9", latency(latencyMicroseconds.p999, disk.p999, "p99.9")),
            (
                "CPU per write, all nodes",
                "\(Report.decimal(cpuMicrosecondsPerWrite)) µs (user "
                    + "\(Report.decimal(userMicrosecondsPerWrite)), system "
                    + "\(Report.decimal(systemMicrosecondsPerWrite)))"
            ),
            ("writes per sync, each node", Report.decimal(writesPerSync, digits: 1)),
            ("syncs/s, all nodes", Report.count(syncsPerSecond)),
            (
                "log written, all nodes",
                "\(Report.bytes(logBytesPerSecond))/s, \(Report.count(logBytesPerWrite)) B a write"
            ),
            ("peer frames/s, all nodes", Report.count(peerFramesPerSecond)),
            ("peer bytes/s, all nodes", "\(Report.bytes(peerBytesPerSecond))/s"),
        ]
        rows.append(("", ""))
        rows.append(("settings", settings.words))
        rows += Report.machineRows(machine, percentUsedByOthers)
        let diskTimes = "p50 \(Report.time(disk.p50)), p99 \(Report.time(disk.p99))"
        rows.append(("disk, 4 KiB + fdatasync", diskTimes))
        rows.append(("", ""))
        rows.append(("check", check.words))
        return Report.table(rows)
    }
}

extension WritesSettings {
    fileprivate var words: String {
        let calls = batch > 1 ? ", \(batch) a call" : ""
        let place = clients == .loop ? "in the loop" : "async\(calls)"
        let leaders = leaders == .spread ? "spread" : "all on one node"
        return "\(groups) groups × \(inFlight) in flight, \(payloadSizeBytes) B, "
            + "clients \(place), leaders \(leaders), \(Report.decimal(seconds, digits: 1)) s "
            + "after \(Report.decimal(warmupSeconds, digits: 1)) s"
    }
}

extension ResultCheck {
    var words: String {
        var words: String
        if problems.isEmpty {
            words =
                "passed: \(Report.count(Double(acknowledged))) writes acknowledged, each "
                + "applied once on \(replicas) replicas"
        } else {
            words = "FAILED: " + problems.prefix(5).joined(separator: "; ")
            if problems.count > 5 { words += "; and \(problems.count - 5) more" }
        }
        if unknown > 0 { words += "; \(unknown) with unknown outcome" }
        if refused > 0 { words += "; \(refused) refused" }
        return words
    }
}
