import Synchronization

/// A session of one group: commands that are proposed in it take effect once, also when they have to
/// be tried again because a leader was lost. Made by `Group.openSession`.
///
/// While this object lives, a task of it touches the session whenever it has been idle for a third of
/// its time to live, so it expires only when the group can't be reached for that long, or after this
/// process has died. `close` ends it at once; one that is merely let go expires by itself.
public final class GroupSession: Sendable {
    public let id: SessionID
    public let group: GroupName
    public let timeToLive: Duration

    let window: SessionWindow
    private let life: SessionLife
    private let keeper: Task<Void, Never>

    init(
        id: SessionID, group: GroupName, timeToLive: Duration,
        change: @escaping @Sendable (SessionChange, Duration?) async throws(KraftError) -> [UInt8]
    ) {
        self.id = id
        self.group = group
        self.timeToLive = timeToLive
        window = SessionWindow(group: group)
        life = SessionLife(
            id: id, group: group, timeToLive: timeToLive, window: window, change: change)
        keeper = Task { [life] in await life.keep() }
    }

    deinit { keeper.cancel() }

    /// Counts as a use, now. Needed only by who can't wait for the task that does it.
    /// Throws `sessionExpired` when it has expired.
    public func touch(timeout: Duration? = nil) async throws(KraftError) {
        try await life.touch(timeout: timeout)
    }

    /// Ends the session; what is proposed in it from now on is refused with `sessionExpired`. When
    /// this throws, the session will expire by itself.
    public func close(timeout: Duration? = nil) async throws(KraftError) {
        keeper.cancel()
        window.close(.sessionExpired(group, "the session was closed"))
        try await life.close(timeout: timeout)
    }

    /// A command in it has been answered.
    func wasUsed() { life.wasUsed() }
}

/// What the keeping task and the handle share; the task must not keep the handle alive.
private final class SessionLife: Sendable {
    private let id: SessionID
    private let group: GroupName
    private let timeToLive: Duration
    private let window: SessionWindow
    private let change: @Sendable (SessionChange, Duration?) async throws(KraftError) -> [UInt8]
    private let lastUse = Mutex(ContinuousClock.now)

    init(
        id: SessionID, group: GroupName, timeToLive: Duration, window: SessionWindow,
        change: @escaping @Sendable (SessionChange, Duration?) async throws(KraftError) -> [UInt8]
    ) {
        (self.id, self.group, self.timeToLive) = (id, group, timeToLive)
        (self.window, self.change) = (window, change)
    }

    func wasUsed() { lastUse.withLock { $0 = .now } }

    /// Until it has expired or the task is cancelled.
    func keep() async {
        var next = lastUse.withLock { $0 } + timeToLive / 3
        while !Task.isCancelled, !window.isClosed {
            try? await Task.sleep(until: next, clock: .continuous)
            let idleSince = lastUse.withLock { $0 }
            next = idleSince + timeToLive / 3
            guard !Task.isCancelled, next <= .now else { continue }
            do throws(KraftError) {
                try await touch(timeout: timeToLive / 3)
                next = .now + timeToLive / 3
            } catch {
                // Two or three tries more, before it is too late.
                next = .now + timeToLive / 9
            }
        }
    }

    func touch(timeout: Duration?) async throws(KraftError) {
        let began = ContinuousClock.now
        guard try await change(.touch([id]), timeout).isEmpty else {
            let error = KraftError.sessionExpired(group, "the session has expired")
            window.close(error)
            throw error
        }
        lastUse.withLock { $0 = max($0, began) }
    }

    func close(timeout: Duration?) async throws(KraftError) {
        _ = try await change(.close(id), timeout)
    }
}

extension KraftError {
    static func sessionExpired(_ group: GroupName, _ message: String) -> KraftError {
        KraftError(.sessionExpired, message, group: group)
    }
}
