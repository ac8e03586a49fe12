import KraftMultiRaft

/// Clients that live on the node's loop: each completion proposes the next command from inside.
///
/// `@unchecked Sendable`: loop-confined; other threads only carry it there.
final class LoopClients: CompletionSink, @unchecked Sendable {
    private let driver: NodeDriver
    /// Behind a pointer, so that no access to it is checked at run time: what the clients cost is
    /// part of what is measured.
    private let lanes: UnsafeMutablePointer<LoopLanes>
    private var whenDrained: (([ClientTally]) -> Void)?

    /// On the loop. Nil when a group isn't there.
    init?(_ driver: NodeDriver, _ workload: Workload) {
        var slots: [GroupSlot] = []
        for name in workload.groups {
            guard let group = GroupName(name), let slot = driver.slot(of: group) else { return nil }
            slots.append(slot)
        }
        self.driver = driver
        lanes = .allocate(capacity: 1)
        lanes.initialize(to: LoopLanes(workload, slots))
    }

    deinit {
        lanes.pointee.command.deallocate()
        lanes.deinitialize(count: 1)
        lanes.deallocate()
    }

    func start() {
        driver.sink = self
        lanes.pointee.start(driver)
    }

    /// `then` gets the result when nothing is under way any more.
    func drain(then: @escaping ([ClientTally]) -> Void) {
        lanes.pointee.isIssuing = false
        whenDrained = then
        endIfDrained()
    }

    func mark(isStart: Bool) -> Mark {
        var mark = Mark(driver.nodeMetrics)
        if isStart { lanes.pointee.latencies.removeAll() }
        mark.latencies = lanes.pointee.latencies
        return mark
    }

    // MARK: CompletionSink

    func completed(_ token: RequestToken, _ outcome: Completion.Outcome) {
        lanes.pointee.completed(token, outcome, driver)
        if !lanes.pointee.isIssuing { endIfDrained() }
    }

    private func endIfDrained() {
        guard lanes.pointee.openCount == 0, let then = whenDrained else { return }
        whenDrained = nil
        driver.sink = nil
        then(lanes.pointee.tallies)
    }
}
