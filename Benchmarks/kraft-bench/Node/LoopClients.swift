import KraftMultiRaft

/// How work gets to the node's loop from elsewhere, or into its next turn.
typealias LoopHop = @Sendable (@escaping @Sendable (NodeDriver) -> Void) -> Void

/// Clients that live on the node's loop: what they do next they do from inside a completion.
///
/// `@unchecked Sendable`: loop-confined; other threads only carry it there.
final class LoopClients: CompletionSink, @unchecked Sendable {
    private let driver: NodeDriver
    /// Behind a pointer, so that no access to it is checked at run time: what the clients cost is
    /// part of what is measured.
    private let lanes: UnsafeMutablePointer<LoopLanes>
    private let offer: Workload.Offer?
    private let pacer = Pacer()
    private var whenDrained: (([ClientTally]) -> Void)?

    /// On the loop. Nil when a group isn't there.
    init?(_ driver: NodeDriver, _ workload: Workload) {
        guard let slots = driver.slots(of: workload.groups) else { return nil }
        self.driver = driver
        offer = workload.offer
        lanes = .allocate(capacity: 1)
        lanes.initialize(to: LoopLanes(workload, slots))
    }

    deinit {
        lanes.pointee.command.deallocate()
        lanes.deinitialize(count: 1)
        lanes.deallocate()
    }

    func start(_ hop: @escaping LoopHop) {
        driver.sink = self
        guard let offer else { return lanes.pointee.start(driver) }
        guard offer.perSecond > 0, !offer.weights.isEmpty else { return }
        let schedule = OpenSchedule(perSecond: offer.perSecond, start: monotonicClock())
        lanes.pointee.start(schedule, offer.weights, driver)
        pacer.start(schedule) { [self] done in
            hop { driver in
                self.lanes.pointee.offer(driver)
                done()
            }
        }
    }

    /// `then` gets the result when nothing is under way any more.
    func drain(then: @escaping ([ClientTally]) -> Void) {
        pacer.stop()
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
        lanes.pointee.completed(token, outcome, driver)
        if !lanes.pointee.isIssuing { endIfDrained() }
    }

    func readReady(_ token: RequestToken, _ slot: GroupSlot) {
        preconditionFailure("these clients don't read")
    }

    private func endIfDrained() {
        guard lanes.pointee.openCount == 0, let then = whenDrained else { return }
        whenDrained = nil
        driver.sink = nil
        then(lanes.pointee.tallies)
    }
}

extension NodeDriver {
    /// Nil when one of the groups isn't there.
    func slots(of groups: [String]) -> [GroupSlot]? {
        var slots: [GroupSlot] = []
        for name in groups {
            guard let group = GroupName(name), let slot = slot(of: group) else { return nil }
            slots.append(slot)
        }
        return slots
    }
}
