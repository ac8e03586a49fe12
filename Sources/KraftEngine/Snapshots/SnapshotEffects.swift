import RaftCore

/// Capture the group's state machine as it is **now**, in the turn that this effect is carried out
/// in: everything up to `name.position` is applied, and nothing else. Then, away from the loop,
/// write the file by `SnapshotEncoder`, sync it, give it its name, and sync the folder. Answered by
/// `snapshotCaptured` or `snapshotCaptureFailed`.
public struct SnapshotCapture: Sendable {
    public var slot: GroupSlot
    public var name: SnapshotName
    /// What the engine keeps with the user's state: sessions, epoch, members. Goes into the file
    /// before the machine's own pieces.
    public var engineState: [UInt8]
}

/// Read a part of a snapshot's file. Answered by `snapshotRead` or `snapshotReadFailed`.
public struct SnapshotRead: Sendable {
    public typealias ID = UInt64
    public var id: ID
    public var name: SnapshotName
    public var offset: Int
    public var count: Int
}

/// Write the next bytes of a snapshot that comes from another node into its unfinished file, which
/// the write at offset 0 makes anew. The last one is followed by a sync, the file's name, and a sync
/// of the folder: it appears whole or not at all. One write is under way per snapshot. A removal of
/// the same name comes before it, if it was ordered in this turn or an earlier one. Answered by
/// `snapshotWritten` or `snapshotWriteFailed`.
public struct SnapshotWrite: Sendable {
    public typealias ID = UInt64
    public var id: ID
    public var name: SnapshotName
    public var offset: Int
    public var bytes: [UInt8]
    public var isLast: Bool
}

/// Bring the group's state machine to the state of a snapshot: away from the loop, read and check
/// the whole file by `SnapshotDecoder`, and give the machine its pieces. Until the answer (`restored`
/// or `restoreFailed`) nothing is applied to or asked of the machine. No answer for the machine of a
/// replica that is gone: what stands in its slot now may wait for a machine of its own.
public struct SnapshotRestore: Sendable {
    public var slot: GroupSlot
    public var name: SnapshotName
}
