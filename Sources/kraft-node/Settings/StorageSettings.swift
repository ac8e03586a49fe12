import KraftMultiRaft

/// What `kraft-node run` has been told of its log and its snapshots.
struct StorageSettings: Equatable {
    /// A group's log gives way to a snapshot after so many entries, or bytes of them.
    var snapshotEntries: Int
    var snapshotBytes: Int
    /// And after so much time, if anything came; 0: not for that.
    var snapshotMilliseconds: UInt64
    /// What the node sends of snapshots in a second, and what it writes of its own.
    var snapshotRate: Int
    var logSegmentBytes: Int
    /// When the log takes more, its oldest segments are given back.
    var logBudgetBytes: Int

    init(_ reader: SettingsReader) throws(SettingsError) {
        let snapshots = EngineConfiguration.Snapshots()
        let log = EngineConfiguration.LogLimits()
        let most = 1 << 50
        snapshotEntries = try reader.number(
            .snapshotEntries, default: snapshots.entryLimit, 1...most)
        snapshotBytes = try reader.number(
            .snapshotBytes, default: snapshots.sizeLimitBytes, 1...most)
        snapshotMilliseconds = try reader.milliseconds(
            .snapshotMilliseconds, default: "0", 0...(7 * 86_400_000))
        snapshotRate = try reader.number(
            .snapshotRate, default: snapshots.bytesPerSecond, (64 << 10)...most)
        logSegmentBytes = try reader.number(
            .logSegmentBytes, default: log.segmentSizeBytes, (8 << 20)...(1 << 30))
        logBudgetBytes = try reader.number(
            .logBudgetBytes, default: log.budgetSizeBytes, (32 << 20)...most)
    }

    func apply(to configuration: inout KraftConfiguration) {
        configuration.snapshots.entryLimit = snapshotEntries
        configuration.snapshots.sizeLimitBytes = snapshotBytes
        // What stays for followers that are a little behind is a part of that.
        configuration.snapshots.tailEntries = min(
            configuration.snapshots.tailEntries, snapshotEntries / 10)
        configuration.snapshots.tailSizeBytes = min(
            configuration.snapshots.tailSizeBytes, snapshotBytes / 8)
        configuration.snapshots.interval = .milliseconds(snapshotMilliseconds)
        configuration.snapshots.bytesPerSecond = snapshotRate
        // Its own can't wait as long: the log grows meanwhile.
        configuration.snapshotWriteBytesPerSecond = 4 * snapshotRate
        // Segments are whole blocks.
        configuration.log.segmentSizeBytes = logSegmentBytes & ~4_095
        configuration.log.budgetSizeBytes = logBudgetBytes
    }
}
