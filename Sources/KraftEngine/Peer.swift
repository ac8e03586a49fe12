import DequeModule
import KraftRouting
import RaftCore

/// Another node, and the one connection to it. The node with the lower id dials.
struct Peer {
    enum Link {
        /// Not connected; dialled again at `nextDial` if it's ours to dial.
        case down
        case dialling
        /// Dialled, and our hello sent; waits for the answer.
        case greeting
        case ready
    }

    let node: NodeID
    var address: String
    /// What the cluster knows of it; generation 0 is this node's own configuration.
    var generation: UInt64 = 0
    /// It left the cluster: it is neither dialled nor let in. Kept so that it can't come back by
    /// mistake.
    var hasLeft = false
    /// It left while it was away, as nodes do that are given up for lost, so it may not know: it is let
    /// in, or dialled now and then, until it has been told once.
    var isUntold = false
    var identity = PeerIdentity()
    /// What it said of itself; counts when it goes on talking: who finds at our hello that it runs
    /// on an older copy of its folder says no more.
    var newIdentity: PeerIdentity?

    var link = Link.down
    var connection = ConnectionID(rawValue: 0)
    var linkSince: Instant
    /// Of the other side's process; 0 before the first handshake.
    var boot: UInt64 = 0
    var info = ""
    var reader = FrameReader()
    /// Since when the frame that isn't whole yet has been coming.
    var frameSince: Instant = .zero
    var writer: FrameWriter?
    /// Blocks given to the driver that have not left yet.
    var queued = Deque<Block>()
    var queuedBytes = 0

    var lastHeard: Instant?
    /// Heard within the election timeout.
    var isAlive = false
    var nextBeat: Instant
    var beatSequence: UInt64 = 0
    var lastBeatHeard: UInt64 = 0
    /// When the last beats were sent, by sequence: a lease counts from there.
    var beatTimes = InlineArray<16, Instant>(repeating: .zero)
    /// This node may take it that the peer supports its leaderships until then.
    var supportedUntil: Instant = .zero
    /// This node has promised to support the peer's leaderships until then.
    var promisedUntil: Instant = .zero
    /// The address that the peer itself gives out; empty before the first handshake.
    var ownAddress = ""
    var groupsLed = 0
    var groups = 0
    /// It would rather not lead: its disk is full, slow or hanging.
    var isBurdened = false

    var nextDial: Instant
    var dialPause: Nanoseconds

    /// Proposals forwarded to it, oldest first; the numbers of requests are contiguous.
    var forwarded = Deque<ForwardedRequest>()
    var firstForwarded: UInt64 = 1
    var forwardDeadline: Instant = .never
    var nextReadRequest: UInt64 = 1
    var nextChangeRequest: UInt64 = 1

    /// For snapshots.
    var bulk = BulkLink()

    var isReady: Bool { if case .ready = link { true } else { false } }

    init(_ peer: EngineConfiguration.Peer, now: Instant, pause: Nanoseconds) {
        node = peer.node
        address = peer.address
        linkSince = now
        nextBeat = now
        nextDial = now
        dialPause = pause
    }
}

/// A proposal that another node was asked to make.
struct ForwardedRequest {
    var slot: Int
    var serial: UInt64
    var proposal: ParkedProposal
    var isDone = false
}

/// An inbound connection that has not said who it is.
struct Stranger {
    var connection: ConnectionID
    var since: Instant
    var reader = FrameReader()
}
