import Metrics

/// The node's instruments: few, and with the node as their only label.
struct NodeMeter {
    /// When they are brought up to date next; `.never` while nothing has happened since.
    var due = Instant.never
    private var last = NodeMetrics()
    private let groups: Gauge
    private let groupsLed: Gauge
    private let peersConnected: Gauge
    private let logSegments: Gauge
    private let logSize: Gauge
    private let counters: [(counter: Counter, value: KeyPath<NodeMetrics, UInt64> & Sendable)]

    init(node: NodeID) {
        let label = [("node", "\(node)")]
        groups = Gauge(label: "kraft_groups", dimensions: label)
        groupsLed = Gauge(label: "kraft_groups_led", dimensions: label)
        peersConnected = Gauge(label: "kraft_peers_connected", dimensions: label)
        logSegments = Gauge(label: "kraft_log_segments", dimensions: label)
        logSize = Gauge(label: "kraft_log_size_bytes", dimensions: label)
        let named: [(String, KeyPath<NodeMetrics, UInt64> & Sendable)] = [
            ("kraft_frames_sent_total", \.framesSent),
            ("kraft_frames_received_total", \.framesReceived),
            ("kraft_peer_sent_bytes_total", \.bytesSent),
            ("kraft_peer_received_bytes_total", \.bytesReceived),
            ("kraft_bad_frames_total", \.badFrames),
            ("kraft_handshakes_refused_total", \.handshakesRefused),
            ("kraft_log_writes_total", \.logWrites),
            ("kraft_log_written_bytes_total", \.logBytesWritten),
            ("kraft_entries_appended_total", \.entriesAppended),
            ("kraft_proposals_refused_total", \.proposalsRefused),
            ("kraft_snapshots_total", \.snapshotsTaken),
            ("kraft_snapshots_installed_total", \.snapshotsInstalled),
            ("kraft_snapshot_sent_bytes_total", \.snapshotBytesSent),
            ("kraft_snapshot_received_bytes_total", \.snapshotBytesReceived),
        ]
        counters = named.map { (Counter(label: $0, dimensions: label), $1) }
    }

    mutating func publish(
        _ metrics: NodeMetrics, log: LogStatus, groups: Int, groupsLed: Int, peersConnected: Int
    ) {
        due = .never
        self.groups.record(groups)
        self.groupsLed.record(groupsLed)
        self.peersConnected.record(peersConnected)
        logSegments.record(log.segmentCount)
        logSize.record(log.sizeBytes)
        for (counter, value) in counters {
            let grown = metrics[keyPath: value] &- last[keyPath: value]
            if grown > 0 { counter.increment(by: Int64(clamping: grown)) }
        }
        last = metrics
    }
}
