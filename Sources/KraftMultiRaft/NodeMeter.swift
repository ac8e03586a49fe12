import Metrics

/// The node's instruments: few, and with no label but the node, and the adapter if it isn't the shared one.
struct NodeMeter {
    /// When they are brought up to date next; `.never` while nothing has happened since.
    var due = Instant.never
    private var last = NodeMetrics()
    private let groups: Gauge
    private let groupsLed: Gauge
    private let peersConnected: Gauge
    private let logSegments: Gauge
    private let logSize: Gauge
    private let counters: [(counter: Counter, value: NodeMetrics.Path)]

    init(node: NodeID, adapter: String?) {
        let label = NodeMeter.dimensions(node: node, adapter: adapter)
        groups = Gauge(label: "kraft_groups", dimensions: label)
        groupsLed = Gauge(label: "kraft_groups_led", dimensions: label)
        peersConnected = Gauge(label: "kraft_peers_connected", dimensions: label)
        logSegments = Gauge(label: "kraft_log_segments", dimensions: label)
        logSize = Gauge(label: "kraft_log_size_bytes", dimensions: label)
        counters = NodeMetrics.counters.map {
            (Counter(label: $0.name, dimensions: label), $0.value)
        }
    }

    static func dimensions(node: NodeID, adapter: String?) -> [(String, String)] {
        [("node", "\(node)")] + (adapter.map { [("adapter", $0)] } ?? [])
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

extension NodeMetrics {
    typealias Path = WritableKeyPath<NodeMetrics, UInt64> & Sendable

    /// Every counter, with the name that it is published under.
    static var counters: [(name: String, value: Path)] {
        [
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
    }
}
