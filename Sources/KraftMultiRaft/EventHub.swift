import Synchronization

/// Hands the node's events to whoever listens. Publishing never waits.
final class EventHub: Sendable {
    private struct State {
        var subscribers: [UInt64: EventBuffer] = [:]
        var nextID: UInt64 = 1
        var isClosed = false
    }

    private let state = Mutex(State())
    private let count = Atomic(0)

    var hasSubscribers: Bool { count.load(ordering: .relaxed) > 0 }

    /// From now on the subscriber gets every event; first of all the snapshot that it `begin`s with.
    func subscribe() -> EventSubscription {
        let buffer = EventBuffer()
        let id = state.withLock { state -> UInt64 in
            let id = state.nextID
            state.nextID += 1
            if !state.isClosed { state.subscribers[id] = buffer }
            count.store(state.subscribers.count, ordering: .relaxed)
            return state.isClosed ? 0 : id
        }
        if id == 0 { buffer.close() }
        return EventSubscription(hub: self, id: id, buffer: buffer)
    }

    fileprivate func unsubscribe(_ id: UInt64) {
        state.withLock { state in
            state.subscribers.removeValue(forKey: id)
            count.store(state.subscribers.count, ordering: .relaxed)
        }
    }

    func publish(_ event: @autoclosure () -> KraftEvent) {
        guard hasSubscribers else { return }
        let event = event()
        for buffer in state.withLock({ Array($0.subscribers.values) }) { buffer.put(event) }
    }

    /// All sequences end once what they hold has been read.
    func close() {
        let buffers = state.withLock { state in
            state.isClosed = true
            defer { state.subscribers = [:] }
            return Array(state.subscribers.values)
        }
        for buffer in buffers { buffer.close() }
    }
}

/// Ends the subscription when its reader lets it go.
final class EventSubscription: Sendable {
    private let hub: EventHub
    private let id: UInt64
    let buffer: EventBuffer

    init(hub: EventHub, id: UInt64, buffer: EventBuffer) {
        (self.hub, self.id, self.buffer) = (hub, id, buffer)
    }

    deinit { hub.unsubscribe(id) }

    /// Before anything is read.
    func begin(_ snapshot: KraftEvent.Snapshot) { buffer.begin(.snapshot(snapshot)) }
}

/// Events that one reader has yet to read: bounded, the oldest go first.
final class EventBuffer: Sendable {
    private struct State {
        /// Comes before everything else.
        var snapshot: KraftEvent?
        var events: [KraftEvent] = []
        /// Where the oldest unread event lies; the array is a ring once it is full.
        var first = 0
        var dropped = 0
        var isClosed = false
        var waiter: CheckedContinuation<KraftEvent?, Never>?

        mutating func append(_ event: KraftEvent) {
            if events.count - first < KraftEvents.bufferLimit {
                events.append(event)
                return
            }
            // Full: the oldest makes room. What has been read is moved out now and then.
            first += 1
            dropped += 1
            events.append(event)
            if first >= KraftEvents.bufferLimit { compact() }
        }

        mutating func next() -> KraftEvent? {
            if let snapshot {
                self.snapshot = nil
                return snapshot
            }
            if dropped > 0 {
                defer { dropped = 0 }
                return .dropped(count: dropped)
            }
            guard first < events.count else { return nil }
            defer {
                first += 1
                if first == events.count { compact() }
            }
            return events[first]
        }

        private mutating func compact() {
            events.removeFirst(first)
            first = 0
        }
    }

    private let state = Mutex(State())

    func begin(_ snapshot: KraftEvent) { state.withLock { $0.snapshot = snapshot } }

    func put(_ event: KraftEvent) {
        let waiter = state.withLock { state -> CheckedContinuation<KraftEvent?, Never>? in
            guard !state.isClosed else { return nil }
            guard let waiter = state.waiter else {
                state.append(event)
                return nil
            }
            state.waiter = nil
            return waiter
        }
        waiter?.resume(returning: event)
    }

    func close() { end { $0.isClosed = true } }

    private func end(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: nil)
    }

    /// The next event; nil at the end, or when the task is cancelled.
    func next() async -> KraftEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let known = state.withLock { state -> KraftEvent?? in
                    if let event = state.next() { return .some(event) }
                    if state.isClosed || Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "an iterator is used by one task at a time")
                    state.waiter = continuation
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        } onCancel: {
            end { _ in }
        }
    }
}
