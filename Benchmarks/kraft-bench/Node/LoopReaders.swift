import KraftMultiRaft

/// Readers that live on the node's loop, in closed loops.
///
/// `@unchecked Sendable`: loop-confined; other threads only carry it there.
final class LoopReaders: CompletionSink, @unchecked Sendable {
    private let driver: NodeDriver
    /// Behind a pointer, so that no access to it is checked at run time.
    private let lanes: UnsafeMutablePointer<ReadLanes>
    private var whenDrained: (([ClientTally]) -> Void)?

    /// On the loop. Nil when a group isn't there.
    init?(_ driver: NodeDriver, _ workload: Workload, _ reads: Workload.Reads) {
        guard let slots = driver.slots(of: workload.groups) else { return nil }
        self.driver = driver
        lanes = .allocate(capacity: 1)
        lanes.initialize(to: ReadLanes(workload, reads, slots))
    }

    deinit {
        lanes.deinitialize(count: 1)
        lanes.deallocate()
    }

    func start(_ hop: @escaping LoopHop) {
        driver.sink = self
        if lanes.pointee.isLocal {
            readLocally(hop)
        } else {
            lanes.pointee.start(driver)
        }
    }

    /// What nobody has to be asked for is answered at once: so many reads a turn, then the loop's
    /// other work.
    private func readLocally(_ hop: @escaping LoopHop) {
        guard lanes.pointee.isIssuing else { return }
        lanes.pointee.readLocally(driver)
        hop { [self] _ in readLocally(hop) }
    }

    /// `then` gets the result when nothing is under way any more.
    func drain(then: @escaping ([ClientTally]) -> Void) {
        lanes.pointee.isIssuing = false
        whenDrained = then
        endIfDrained()
    }

    /// The latencies since the last call with `isStart`.
    func latencies(isStart: Bool) -> Latencies {
        if isStart { lanes.pointee.latencies.removeAll() }
        return lanes.pointee.latencies
    }

    // MARK: CompletionSink

    func completed(_ token: RequestToken, _ outcome: Completion.Outcome) {
        lanes.pointee.refused(token, outcome, driver)
        if !lanes.pointee.isIssuing { endIfDrained() }
    }

    func readReady(_ token: RequestToken, _ slot: GroupSlot) {
        lanes.pointee.ready(token, slot, driver)
        if !lanes.pointee.isIssuing { endIfDrained() }
    }

    private func endIfDrained() {
        guard lanes.pointee.openCount == 0, let then = whenDrained else { return }
        whenDrained = nil
        driver.sink = nil
        then(lanes.pointee.tallies)
    }
}
