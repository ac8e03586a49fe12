import RaftCore

/// When a group's log gives way to a snapshot of its state on one node.
public struct SnapshotPolicy: Hashable, Sendable {
    /// After so many entries, or bytes of them, since the last one; less than 1 is 1.
    public var entryLimit: Int
    public var sizeLimitBytes: Int
    /// After so much time since the last one, if anything came; zero: never for that.
    public var interval: Nanoseconds

    /// What `EngineConfiguration.Snapshots` has by default.
    public init() { self.init(EngineConfiguration.Snapshots()) }

    init(_ limits: EngineConfiguration.Snapshots) {
        entryLimit = limits.entryLimit
        sizeLimitBytes = limits.sizeLimitBytes
        interval = limits.interval
    }
}

extension Engine {
    /// Has a group follow a policy of its own on this node; nil: the configuration's.
    public mutating func setSnapshotPolicy(_ slot: GroupSlot, _ policy: SnapshotPolicy?) {
        guard isLive[slot.rawValue] else { return }
        groups[slot.rawValue].snapshotPolicy = policy
        considerCapture(slot.rawValue)
        touch(slot.rawValue)
    }

    func snapshotPolicy(of slot: Int) -> SnapshotPolicy {
        groups[slot].snapshotPolicy ?? SnapshotPolicy(configuration.snapshots)
    }
}
