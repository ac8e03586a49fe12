import KraftLoop
import Logging

/// Drives one engine on one loop: turns what sockets, files, timers and callers bring into events,
/// and carries out the engine's effects. It decides nothing about the protocol.
///
/// `@unchecked Sendable`: loop-confined; other threads only carry it to the loop.
package final class NodeDriver: @unchecked Sendable, EventLoopDelegate {
    /// Rounds of one turn; what is left after them waits until other events have been looked at.
    private static let roundLimit = 8

    let loop: EventLoop
    /// Unchecked, as the others below: these values' methods know nothing of the driver, so no access
    /// to one of them can begin within another; a check for each request would cost more than it.
    @exclusivity(unchecked) var engine: Engine
    let transport: any Transport
    let files: LogFiles
    let snapshots: FileSnapshots
    let queue: SubmissionQueue
    let hub: EventHub
    let registry = GroupRegistry()
    /// The name of a dedicated adapter; nil: the shared one.
    let adapter: String?
    /// Which group is on which adapter, and which of them this one is; nil: there are no others.
    let places: GroupPlaces?
    let place: Int
    var logger: Logger
    /// Called when the engine fences itself.
    let whenFenced: @Sendable () -> Void

    /// Groups with a state machine, by slot.
    @exclusivity(unchecked) var groups: [DrivenGroup?] = []
    var opening: [GroupName: [OpeningCall]] = [:]
    @exclusivity(unchecked) var calls = CallTable()
    let machines: MachineProvider?
    /// Changes of members that were begun through this node, the newest last.
    var begunChanges: [ChangeID] = []
    /// Groups that are given the state of a backup.
    var restores: [GroupName] = []
    var peersSeen: [NodeID: (isConnected: Bool, isAlive: Bool)] = [:]
    var isFenced = false
    var shutdown = Shutdown.none
    var whenDown: @Sendable () -> Void = {}
    var meter: NodeMeter

    /// The other half of a double buffer: effects are carried out from here, so that the engine may
    /// be called meanwhile. Unchecked: nothing but `carryOutEffects` writes it, and that doesn't begin
    /// again from within the completions that read it: they may make requests, but end no turn.
    @exclusivity(unchecked) var effects = Effects()
    private var inbound = SubmissionQueue.Batch()
    private var replies = ReplyBuffer()
    /// Something was given to the engine since its turn was ended last.
    private var hasNews = false
    private var latest: UInt64 = 0
    private var nextInbound: UInt64 = 1

    /// Gets the completions of this driver's loop-confined proposals.
    package var sink: (any CompletionSink)?

    init(
        engine: consuming Engine, loop: EventLoop, transport: any Transport, files: LogFiles,
        snapshots: FileSnapshots, queue: SubmissionQueue, hub: EventHub, adapter: String?,
        place: (all: GroupPlaces, number: Int)?, logger: Logger, node: NodeID,
        machines: MachineProvider?,
        whenFenced: @escaping @Sendable () -> Void
    ) {
        self.machines = machines
        self.engine = engine
        self.loop = loop
        self.transport = transport
        self.files = files
        self.snapshots = snapshots
        self.queue = queue
        self.hub = hub
        self.adapter = adapter
        (places, self.place) = (place?.all, place?.number ?? 0)
        self.logger = logger
        self.whenFenced = whenFenced
        meter = NodeMeter(node: node, adapter: adapter)
    }

    /// Never goes back, within a turn too.
    package var now: Instant {
        latest = max(latest, loop.now)
        return Instant(nanoseconds: latest)
    }

    func refreshClock() { latest = max(latest, EventLoop.clock) }

    @inline(__always)
    func step(_ event: Event) {
        hasNews = true
        engine.step(event, now: now)
    }

    /// For calls of the engine other than `step`: the turn has something to end.
    func noteNews() { hasNews = true }

    // MARK: Turns

    package func loopTimerFired() {
        if engine.nextWakeUp <= now { step(.tick) }
    }

    /// Whether new requests may be given to the engine: it ends those that it takes.
    var isServing: Bool { shutdown == .none && !isFenced }

    package func loopTurnEnds() {
        guard shutdown != .done else { return }
        takeSubmissions()
        snapshots.wake()
        var rounds = 0
        repeat {
            repeat {
                hasNews = false
                engine.endTurn(now: now)
                applyCommitted()
                takeCaptures()
                carryOutEffects()
                rounds += 1
            } while hasNews && rounds < NodeDriver.roundLimit
            // One write a peer for all rounds.
            transport.flush()
        } while hasNews && rounds < NodeDriver.roundLimit
        if hasNews { loop.requestTurn() }
        files.wake(isAwaited: engine.isWaitingForSegment)
        advanceShutdown()
        publishMetrics()
        armTimer()
    }

    private func takeSubmissions() {
        queue.take(&inbound)
        // Read after they were taken: a lease that has run out when a read came mustn't look valid.
        latest = EventLoop.clock
        guard !inbound.submissions.isEmpty else { return }
        inbound.bytes.bytes.withUnsafeBytes { bytes in
            for submission in inbound.submissions { submit(submission, bytes) }
        }
        inbound.removeAll()
    }

    /// Those that came before the queue was closed: nothing came of them.
    func failWaitingSubmissions() {
        queue.take(&inbound)
        for submission in inbound.submissions {
            let call = submission.call.takeRetainedValue()
            call.fail(.notRunning(call.group))
        }
        inbound.removeAll()
    }

    private func applyCommitted() {
        while let work = engine.nextApply() {
            guard let box = groups[work.slot.rawValue]?.box else {
                preconditionFailure("the engine applies only to groups that were opened")
            }
            precondition(box.readiness == .ready, "applies to a machine that is being restored")
            // What is applied now may not be in a snapshot that was ordered before.
            takeCaptures()
            replies.removeAll()
            box.apply(work.batch, &replies)
            engine.applied(work, replies: replies, now: now)
        }
    }

    private func armTimer() {
        var due = min(engine.nextWakeUp, meter.due)
        if let deadline = shutdown.deadline { due = min(due, deadline) }
        if let wakeUp = snapshots.nextWakeUp { due = min(due, Instant(nanoseconds: wakeUp)) }
        if let wakeUp = files.nextWakeUp { due = min(due, Instant(nanoseconds: wakeUp)) }
        if due != .never { loop.armTimer(at: due.nanoseconds) }
    }

    /// Numbers inbound connections; the transport has its own bound on how many there are.
    func nextInboundConnection() -> ConnectionID {
        defer { nextInbound += 2 }
        return ConnectionID(rawValue: nextInbound)
    }
}

/// A group whose state machine is here.
struct DrivenGroup {
    var id: GroupID
    var name: GroupName
    var box: MachineBox
    var leader = NodeID.none
    var contradictions: UInt32 = 0
    var term = Term.zero

    /// One comes with every message of such a replica. How many came, if it is to be told: with the
    /// first, the second, the fourth and so on.
    mutating func countContradiction() -> Int? {
        guard contradictions < .max else { return nil }
        contradictions += 1
        return contradictions & (contradictions - 1) == 0 ? Int(contradictions) : nil
    }
}
