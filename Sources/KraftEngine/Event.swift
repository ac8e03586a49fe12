import KraftRouting
import RaftCore

/// A connection of the node. Drivers number inbound ones with odd, the engine outbound ones with
/// even values; a number is never used twice in a node's life.
public struct ConnectionID: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A group's place in the engine's tables: dense, valid until the group is removed.
public struct GroupSlot: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int
    @inlinable public init(rawValue: Int) { self.rawValue = rawValue }
}

/// The caller's handle for one request; given back with its completion. Never 0.
public typealias RequestToken = UInt64

/// What happens to a node from outside. Buffers are valid only during the call.
public enum Event {
    /// `nextWakeUp` has come.
    case tick
    /// The peer port accepted a connection.
    case accepted(ConnectionID)
    /// A connection asked for by `Effects.connects` stands.
    case connected(ConnectionID)
    /// The next bytes of a connection's stream, in any portions.
    case received(ConnectionID, UnsafeRawBufferPointer)
    /// A block given in `Effects.sends` left the driver's queue (in order, each once).
    case sent(ConnectionID, byteCount: Int)
    /// The connection is gone (or could not be made). Not reported for `Effects.closes`.
    case closed(ConnectionID)
    /// The write **and its sync** ended well: its bytes survive a power cut.
    case logWritten(LogWrite.ID)
    /// The write or its sync failed: the node fences itself, for good.
    ///
    /// `isOutOfSpace`: the write itself failed for lack of space, before anything was synced. Then
    /// it is ordered again later, whole; a sync that fails is never that.
    case logWriteFailed(LogWrite.ID, reason: String, isOutOfSpace: Bool = false)
    /// The segment file exists, zeroed, header and directory entry durable.
    case segmentPrepared(number: UInt64)
    /// It could not be made, and nothing of it is left. Lack of space is no fence: it is tried again
    /// later.
    case segmentFailed(number: UInt64, reason: String, isOutOfSpace: Bool = false)
    /// The bytes asked for; fewer at the end of the file.
    case logRead(LogRead.ID, UnsafeRawBufferPointer)
    case logReadFailed(LogRead.ID, reason: String)
    /// The snapshot is durable under its name.
    case snapshotCaptured(SnapshotName, byteCount: UInt64)
    /// It isn't there, and nothing of it is left; tried again later.
    case snapshotCaptureFailed(SnapshotName, reason: String)
    case snapshotRead(SnapshotRead.ID, UnsafeRawBufferPointer)
    case snapshotReadFailed(SnapshotRead.ID, reason: String)
    /// The bytes are in the file; of the last ones: the whole snapshot is durable under its name.
    case snapshotWritten(SnapshotWrite.ID)
    case snapshotWriteFailed(SnapshotWrite.ID, reason: String)
    /// The machine holds the snapshot's state; the bytes are `SnapshotCapture.engineState`.
    case restored(GroupSlot, SnapshotName, UnsafeRawBufferPointer)
    /// The file is missing or not what was written: the machine's state is undefined.
    case restoreFailed(GroupSlot, SnapshotName, reason: String)
}

/// Write these pieces one behind the other at `offset` of the segment, then sync its data.
/// One is under way at a time.
public struct LogWrite: Sendable {
    public typealias ID = UInt64
    public var id: ID
    public var segment: UInt64
    public var offset: Int
    public var pieces: [Piece]

    public struct Piece: Sendable {
        public var block: Block
        public var range: Range<Int>
    }

    public var byteCount: Int { pieces.reduce(0) { $0 + $1.range.count } }
}

/// Make a segment file of this size, all zero but for the header, durable with its directory entry.
/// It appears under its name whole or not at all.
public struct SegmentPreparation: Sendable {
    public var number: UInt64
    public var sizeBytes: Int
    public var header: [UInt8]
    /// The file of this segment, which nobody needs any more, may become the new one: it loses its old
    /// name first, and is zeroed then. If it isn't there, it isn't needed.
    public var recycles: UInt64?
    /// Writes wait for it already; else it may be made at leisure, before the segment that is being
    /// filled is full.
    public var isUrgent = false
}

/// Read back a part of a segment. Never beyond what has been reported written.
public struct LogRead: Sendable {
    public typealias ID = UInt64
    public var id: ID
    public var segment: UInt64
    public var offset: Int
    public var count: Int
}

/// The log folder as the engine finds it when it starts; used only inside `Engine.init`.
public protocol LogDirectory {
    /// Numbers of the segment files, ascending.
    mutating func segmentNumbers() throws(KraftError) -> [UInt64]
    /// The whole content of a segment file.
    mutating func load(segment number: UInt64) throws(KraftError) -> Block
    /// The snapshots that are there whole. What is unfinished was removed.
    mutating func snapshotNames() throws(KraftError) -> [SnapshotName]
    /// As the effect, but at once.
    mutating func prepare(_ segment: SegmentPreparation) throws(KraftError)
    /// Writes bytes once more that the file shows already, so that the next `sync` really makes
    /// them durable, even if an earlier sync of them had failed.
    mutating func rewrite(
        segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(KraftError)
    /// Makes everything durable that is in the files and the folder: what an earlier life wrote
    /// without living to sync it may not be believed before that.
    mutating func sync() throws(KraftError)
}
