import DequeModule
import KraftRouting
import RaftCore

/// Snapshots in motion on one node: what is being made, fetched and sent, and what waits. All of it is
/// bounded by `EngineConfiguration.Snapshots`, but for one place a group in each queue.
struct SnapshotTraffic {
    /// Groups whose state is to be captured, and how many are.
    var captureQueue = Deque<(slot: Int, serial: UInt64)>()
    var capturing: [SnapshotName] = []
    /// Groups that have an offer to fetch.
    var fetchQueue = Deque<(slot: Int, serial: UInt64)>()
    var fetches: [Fetch] = []
    var serves: [Serve] = []
    /// Sending may go on then: a second's bytes are spread over the second.
    var nextRead: Instant = .zero
    var retired: [Retired] = []
    /// Completed when the checkpoint is durable that names the snapshot.
    var answers: [(batch: UInt64, waiter: SnapshotWaiter, reference: SnapshotReference)] = []
    var nextID: UInt64 = 1

    /// A snapshot on its way here.
    struct Fetch {
        let slot: Int
        let serial: UInt64
        let reference: SnapshotReference
        /// Where it is asked of.
        var source: NodeID
        var stream: SnapshotStream
        /// Everything before has been asked for, has come and was checked, and is in the file.
        var asked: UInt64 = 0
        var received: UInt64 = 0
        var written: UInt64 = 0
        /// Has come, and isn't in the file; the first may be on its way there.
        var chunks = Deque<[UInt8]>()
        var writing: SnapshotWrite.ID?
        var state: EngineState?
        /// It is over, once the write under way ends.
        var isAbandoned = false
        var lastProgress: Instant
        /// The source was busy: not before then.
        var nextTry: Instant = .zero
        var nextLook: Instant
    }

    /// A snapshot on its way to another node.
    struct Serve {
        let node: NodeID
        let reference: SnapshotReference
        var wanted = Deque<(offset: UInt64, count: Int)>()
        var reading: (id: SnapshotRead.ID, offset: UInt64, count: Int)?
        var lastRequest: Instant
    }

    /// A snapshot that isn't its group's newest any more.
    struct Retired {
        var reference: SnapshotReference
        /// Before this is durable the log still names it.
        var batch: UInt64
        /// Then it goes, whoever fetches it.
        var until: Instant
    }

    func isServed(_ name: SnapshotName) -> Bool { serves.contains { $0.reference.name == name } }

    mutating func takeID() -> UInt64 {
        defer { nextID += 1 }
        return nextID
    }
}

/// Who asked for a snapshot of a group.
struct SnapshotWaiter {
    var token: RequestToken
    var deadline: Instant
    /// The one that was begun for it.
    var name: SnapshotName?
}

/// A leader's word that a state can be had.
struct SnapshotOffer {
    var reference: SnapshotReference
    var source: NodeID
}
