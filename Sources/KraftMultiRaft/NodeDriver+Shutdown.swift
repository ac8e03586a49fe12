import KraftLoop

extension NodeDriver {
    /// How far the node is on its way out. Each step has a time by which it is given up.
    enum Shutdown: Equatable {
        case none
        /// Others take over the groups that this node leads.
        case handingOver(until: Instant)
        /// The log's last writes come back, and what was under way with snapshots.
        case flushing(until: Instant)
        case done

        var deadline: Instant? {
            switch self {
            case .none, .done: nil
            case .handingOver(let until), .flushing(let until): until
            }
        }

        static let handOverPatience = Nanoseconds.seconds(3)
        static let flushPatience = Nanoseconds.seconds(2)
    }

    /// Takes no more requests, hands leaders over, flushes, closes everything and ends the loop.
    func beginShutdown(then: @escaping @Sendable () -> Void) {
        guard shutdown == .none else { return loop.stop(then: then) }
        whenDown = then
        logger.info("shutting down", metadata: ["groups_led": "\(engine.groupsLed)"])
        queue.close()
        shutdown = .handingOver(until: now + Shutdown.handOverPatience)
        snapshots.abandon()
        files.giveUp()
        noteNews()
        engine.handOver(now: now)
    }

    func advanceShutdown() {
        if case .handingOver(let until) = shutdown {
            guard isFenced || !engine.isHandingOver || now >= until else { return }
            shutdown = .flushing(until: now + Shutdown.flushPatience)
        }
        if case .flushing(let until) = shutdown {
            guard files.pendingCount + snapshots.pendingCount == 0 || now >= until else { return }
            finish()
        }
    }

    private func finish() {
        shutdown = .done
        transport.stop()
        failWaitingSubmissions()
        for call in calls.removeAll() { call.abandon() }
        registry.removeAll()
        sink = nil
        logger.info("shut down")
        loop.stop(then: whenDown)
        whenDown = {}
    }
}
