import KraftKeyValue
import KraftMultiRaft
import Synchronization

/// Opens sessions in all groups of the routing, and keeps those alive everywhere that it sees used in
/// some group. What it knows may be lost with the process: then other nodes do that, or nobody uses
/// the session.
final class SessionKeeper: Sendable {
    /// Groups that are asked at once.
    private static let parallelLimit = 64
    /// Time to take back what was opened of a session that could not be opened everywhere.
    private static let cleanupPatience: Duration = .seconds(2)
    /// How long a group may take to answer a touch. One that can't holds up nobody else: so many
    /// rounds of touches may be under way.
    private static let touchPatience: Duration = .seconds(2)
    private static let roundLimit = 16

    private let manager: KraftMultiRaft
    private let directory: RoutingDirectory
    private let state = Mutex(State())
    private let wakeUps = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    private struct State {
        var plan = TouchPlan()
        /// When the timer fires.
        var timer: (due: ContinuousClock.Instant, task: Task<Void, Never>)?
        var isStopped = false
    }

    init(manager: KraftMultiRaft, directory: RoutingDirectory) {
        self.manager = manager
        self.directory = directory
    }

    private var groups: [GroupName] { directory.current?.owners.map(\.group) ?? [] }

    // MARK: Opening

    /// Opens one session in all groups. When that fails in one, nothing is promised.
    func open(
        ttlMilliseconds: UInt64, deadline: ContinuousClock.Instant
    ) async throws(KraftError) -> SessionToken {
        let token = SessionToken(id: .random(), ttlMilliseconds: ttlMilliseconds)
        let errors = await inAllGroups { [self] group throws(KraftError) in
            try await open(token, in: group, deadline: deadline)
        }
        guard let error = errors.first(where: { $0.code == .overloaded }) ?? errors.first else {
            state.withLock { $0.plan.opened(token, now: .now) }
            return token
        }
        Task { await takeBack(token) }
        let code = error.code == .overloaded ? error.code : .unavailable
        throw KraftError(
            code, "the session could not be opened in all groups: \(error.message)",
            group: error.group, leader: error.leader)
    }

    private func open(
        _ token: SessionToken, in name: GroupName, deadline: ContinuousClock.Instant
    ) async throws(KraftError) {
        let group = try manager.group(name.string, of: KeyValueStore.self)
        while true {
            do throws(KraftError) {
                let rest = max(.zero, deadline - .now)
                return try await group.openSession(
                    token.id, ttl: token.timeToLive, timeout: rest)
            } catch {
                // The same opening again is harmless.
                guard error.code == .outcomeUnknown, deadline > .now, !Task.isCancelled else {
                    throw error
                }
            }
        }
    }

    private func takeBack(_ token: SessionToken) async {
        _ = await inAllGroups { [manager] name throws(KraftError) in
            try await manager.group(name.string, of: KeyValueStore.self)
                .closeSession(token.id, timeout: SessionKeeper.cleanupPatience)
        }
    }

    /// Runs `body` for each group, a bounded number at once; the errors.
    private func inAllGroups(
        _ body: @escaping @Sendable (GroupName) async throws(KraftError) -> Void
    ) async -> [KraftError] {
        await withTaskGroup(of: KraftError?.self) { tasks in
            var errors: [KraftError] = []
            for (position, group) in groups.enumerated() {
                if position >= SessionKeeper.parallelLimit, let result = await tasks.next() {
                    if let result { errors.append(result) }
                }
                tasks.addTask {
                    do throws(KraftError) {
                        try await body(group)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            for await result in tasks { if let result { errors.append(result) } }
            return errors
        }
    }

    // MARK: Keeping

    /// A command of the session was carried out in some group.
    func used(_ token: SessionToken) { schedule { $0.used(token, now: .now) } }

    /// Touches sessions until the task is cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { rounds in
            var roundCount = 0
            for await _ in wakeUps.stream {
                if roundCount == SessionKeeper.roundLimit {
                    await rounds.next()
                    roundCount -= 1
                }
                let due = state.withLock { $0.plan.takeDue(now: .now) }
                if !due.isEmpty {
                    roundCount += 1
                    rounds.addTask { await self.touch(due) }
                }
                schedule { $0.nextDue }
            }
        }
        let task = state.withLock { state in
            state.isStopped = true
            return state.timer?.task
        }
        task?.cancel()
    }

    /// Changes the plan, and sees to it that the timer fires when it says.
    private func schedule(_ change: (inout TouchPlan) -> ContinuousClock.Instant?) {
        state.withLock { state in
            guard let due = change(&state.plan), !state.isStopped else { return }
            // One that has fired is followed by a look at the whole plan.
            if let timer = state.timer, timer.due <= due, timer.due > .now { return }
            state.timer?.task.cancel()
            let task = Task { [continuation = wakeUps.continuation] in
                try? await Task.sleep(until: due, clock: .continuous)
                if !Task.isCancelled { continuation.yield() }
            }
            state.timer = (due, task)
        }
    }

    private func touch(_ due: [SessionID]) async {
        var start = 0
        while start < due.count {
            let part = Array(due[start..<min(due.count, start + SessionChange.touchLimit)])
            start += part.count
            let errors = await inAllGroups { [manager] name throws(KraftError) in
                _ = try await manager.group(name.string, of: KeyValueStore.self)
                    .touchSessions(part, timeout: SessionKeeper.touchPatience)
            }
            guard !errors.isEmpty else { continue }
            schedule { plan in
                plan.failed(part, now: .now)
                return plan.nextDue
            }
        }
    }
}
