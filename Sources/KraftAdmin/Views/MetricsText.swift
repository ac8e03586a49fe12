import KraftMultiRaft

/// The node's counters in Prometheus' text format, version 0.0.4.
///
/// Labels are bounded: group names, node numbers and roles. With more groups than `groupLimit` only
/// the first by name are listed one by one, so that thousands of groups don't drown a scraper;
/// `kraft_groups` still counts them all.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    static let groupLimit = 1_000

    private(set) var text = ""

    init(_ status: NodeStatus, groups metrics: [GroupName: GroupMetrics]) {
        let listed = Array(status.groups.prefix(MetricsText.groupLimit))
        writeNode(status)
        writePeers(status.peers.filter { !$0.hasLeft })
        writeGroups(listed)
        writeCounters(listed, metrics)
    }

    // MARK: Parts

    private mutating func writeNode(_ status: NodeStatus) {
        gauge("kraft_groups", "Groups on this node.", status.groups.count)
        gauge("kraft_groups_led", "Groups that this node leads.", status.groupsLed)
        gauge(
            "kraft_fenced", "1 when the disk failed and the node stopped.", status.isFenced ? 1 : 0)
        for (name, condition) in [
            ("full", DiskCondition.full), ("slow", .slow), ("stalled", .stalled),
        ] {
            gauge(
                "kraft_disk_\(name)", "1 when the disk is \(name), and others should lead.",
                status.disk == condition ? 1 : 0)
        }
        let node = status.metrics
        counter("kraft_frames_sent_total", "Frames sent to peers.", node.framesSent)
        counter("kraft_frames_received_total", "Frames received of peers.", node.framesReceived)
        counter("kraft_sent_bytes_total", "Bytes sent to peers.", node.bytesSent)
        counter("kraft_received_bytes_total", "Bytes received of peers.", node.bytesReceived)
        counter("kraft_bad_frames_total", "Connections closed for what they sent.", node.badFrames)
        counter(
            "kraft_handshakes_refused_total", "Connections refused at the handshake.",
            node.handshakesRefused)
        counter("kraft_log_writes_total", "Synced writes of the shared log.", node.logWrites)
        counter("kraft_log_written_bytes_total", "Bytes written to the log.", node.logBytesWritten)
        counter(
            "kraft_entries_appended_total", "Entries appended to the log.", node.entriesAppended)
        counter("kraft_proposals_refused_total", "Proposals refused.", node.proposalsRefused)
        gauge("kraft_log_segments", "Segments of the log in use.", status.log.segmentCount)
        gauge(
            "kraft_log_size_bytes", "Bytes of the log's files, prepared ones too.",
            status.log.sizeBytes)
        let held = status.groups.compactMap(\.snapshot)
        gauge("kraft_snapshots", "Groups with a snapshot on this node.", held.count)
        gauge(
            "kraft_snapshot_bytes", "Bytes of the groups' newest snapshots on this node.",
            held.reduce(0) { $0 + Int($1.byteCount) })
        counter("kraft_snapshots_total", "Snapshots taken.", node.snapshotsTaken)
        counter(
            "kraft_snapshots_installed_total", "Snapshots taken over from other nodes.",
            node.snapshotsInstalled)
        counter(
            "kraft_snapshot_sent_bytes_total", "Bytes of snapshots sent to peers.",
            node.snapshotBytesSent)
        counter(
            "kraft_snapshot_received_bytes_total", "Bytes of snapshots received of peers.",
            node.snapshotBytesReceived)
    }

    private mutating func writePeers(_ peers: [PeerStatus]) {
        begin("kraft_peer_alive", "gauge", "1 while the peer is heard.")
        for peer in peers {
            sample("kraft_peer_alive", "peer=\"\(peer.node)\"", peer.isAlive ? 1 : 0)
        }
        begin("kraft_peer_connected", "gauge", "1 while a connection to the peer stands.")
        for peer in peers {
            sample("kraft_peer_connected", "peer=\"\(peer.node)\"", peer.isConnected ? 1 : 0)
        }
        begin("kraft_peer_queued_bytes", "gauge", "Bytes that wait to be sent to the peer.")
        for peer in peers {
            sample("kraft_peer_queued_bytes", "peer=\"\(peer.node)\"", peer.queuedBytes)
        }
    }

    private mutating func writeGroups(_ groups: [GroupStatus]) {
        begin("kraft_group_role", "gauge", "1 for the role that this node has in the group.")
        for group in groups {
            for role in [GroupStatus.Role.leader, .follower, .candidate] {
                sample(
                    "kraft_group_role", "\(label(group)),role=\"\(role.rawValue)\"",
                    group.role == role ? 1 : 0)
            }
        }
        indices("kraft_group_has_leader", "1 while a leader is known.", groups) {
            $0.leader.isNone ? 0 : 1
        }
        indices("kraft_group_term", "Current term.", groups) { $0.term.rawValue }
        indices("kraft_group_commit_index", "Commit index.", groups) { $0.commitIndex.rawValue }
        indices("kraft_group_applied_index", "Applied index.", groups) { $0.appliedIndex.rawValue }
        indices("kraft_group_first_index", "First index of the log.", groups) {
            $0.firstIndex.rawValue
        }
        indices("kraft_group_last_index", "Last index of the log.", groups) {
            $0.lastIndex.rawValue
        }
        indices(
            "kraft_group_lag_entries",
            "Entries by which the slowest replica is behind; on leaders.",
            groups.filter { $0.role == .leader }
        ) { group in
            let slowest = group.replicas.map(\.matchIndex).min() ?? group.lastIndex
            return slowest < group.lastIndex ? UInt64(group.lastIndex - slowest) : 0
        }
    }

    private mutating func writeCounters(
        _ groups: [GroupStatus], _ metrics: [GroupName: GroupMetrics]
    ) {
        let known = groups.compactMap { group in metrics[group.name].map { (group, $0) } }
        begin("kraft_group_commands_total", "counter", "Commands applied.")
        for (group, metrics) in known {
            sample("kraft_group_commands_total", label(group), metrics.commandsApplied)
        }
        begin("kraft_group_applied_bytes_total", "counter", "Bytes of commands applied.")
        for (group, metrics) in known {
            sample("kraft_group_applied_bytes_total", label(group), metrics.bytesApplied)
        }
        begin("kraft_group_sessions", "gauge", "Sessions that are open.")
        for (group, metrics) in known {
            sample("kraft_group_sessions", label(group), metrics.sessions)
        }
        begin("kraft_group_elections_total", "counter", "Elections that this node began.")
        for (group, metrics) in known {
            sample("kraft_group_elections_total", label(group), metrics.elections)
        }
        begin(
            "kraft_group_commit_latency_seconds", "histogram",
            "From proposal to commit, on the leader.")
        for (group, metrics) in known {
            histogram("kraft_group_commit_latency_seconds", label(group), metrics.commitLatency)
        }
        begin(
            "kraft_group_apply_latency_seconds", "histogram",
            "From commit to applied, on the leader.")
        for (group, metrics) in known {
            histogram("kraft_group_apply_latency_seconds", label(group), metrics.applyLatency)
        }
    }

    // MARK: Lines

    private func label(_ group: GroupStatus) -> String {
        // A group's name holds nothing that would have to be escaped.
        "group=\"\(group.name)\""
    }

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private mutating func sample(_ name: String, _ labels: String, _ value: some BinaryInteger) {
        text += labels.isEmpty ? "\(name) \(value)\n" : "\(name){\(labels)} \(value)\n"
    }

    private mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        begin(name, "gauge", help)
        sample(name, "", value)
    }

    private mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        begin(name, "counter", help)
        sample(name, "", value)
    }

    private mutating func indices(
        _ name: String, _ help: String, _ groups: [GroupStatus], _ value: (GroupStatus) -> UInt64
    ) {
        begin(name, "gauge", help)
        for group in groups { sample(name, label(group), value(group)) }
    }

    /// Every second bucket only, to keep a group's lines few: 4 µs to 16 s.
    private mutating func histogram(
        _ name: String, _ labels: String, _ histogram: LatencyHistogram
    ) {
        var below: UInt64 = 0
        for bucket in 0..<LatencyHistogram.bucketCount - 1 {
            below += histogram.buckets[bucket]
            guard bucket >= 2, bucket.isMultiple(of: 2) else { continue }
            let bound = Double(UInt64(1) << UInt64(bucket)) / 1e6
            sample("\(name)_bucket", "\(labels),le=\"\(bound)\"", below)
        }
        sample("\(name)_bucket", "\(labels),le=\"+Inf\"", histogram.count)
        let sum = Double(histogram.sumNanoseconds) / 1e9
        text += "\(name)_sum{\(labels)} \(sum)\n"
        sample("\(name)_count", labels, histogram.count)
    }
}
