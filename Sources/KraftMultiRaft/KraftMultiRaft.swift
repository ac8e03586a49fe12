import ServiceLifecycle
import Synchronization

/// One node: many named Raft groups over one event loop, one log and one connection per peer, or over
/// several of each (`KraftConfiguration.adapters`).
///
/// Open it with `run` (as a service) or with `start` and `shutdown`. New, restarted and joining
/// nodes are opened alike: what is on disk wins. What was started must be shut down; letting it go
/// doesn't stop it.
public final class KraftMultiRaft: Service, Sendable {
    enum Lifecycle {
        case idle
        case starting([UnsafeContinuation<Void, Never>])
        case running(RunningNode)
        case stopping([UnsafeContinuation<Void, Never>])
        case stopped
    }

    let configuration: KraftConfiguration
    let hub = EventHub()
    let lifecycle = Mutex(Lifecycle.idle)
    /// Of the node that runs, or ran; nil before it was started.
    private let fence = Mutex<Fence?>(nil)

    /// Checks the configuration; touches nothing outside. Throws `configuration`.
    public init(_ configuration: KraftConfiguration) throws(KraftError) {
        try configuration.validate()
        self.configuration = configuration
    }

    /// Starts the node, serves until graceful shutdown or cancellation, and shuts it down.
    /// Throws what `start` throws, and `storage` when the node fenced itself.
    public func run() async throws {
        try await start()
        let fence = fence.withLock { $0 }
        let (stop, stopper) = AsyncStream<Never>.makeStream()
        await withTaskCancellationOrGracefulShutdownHandler {
            await withTaskGroup { group in
                group.addTask { for await _ in stop {} }
                if let fence { group.addTask { for await _ in fence.untilUp {} } }
                await group.next()
                group.cancelAll()
            }
        } onCancelOrGracefulShutdown: {
            stopper.finish()
        }
        await shutdown()
        if isFenced {
            throw KraftError(.storage, "the node fenced itself because its disk failed")
        }
    }

    /// Locks the data folder, recovers and listens. Doing it twice is harmless; after `shutdown` it
    /// throws `unavailable`.
    ///
    /// Throws `conflict` when the folder is in use or belongs to another node or cluster, `storage`
    /// when it can't be believed, `configuration` when the address can't be listened on.
    public func start() async throws(KraftError) {
        guard try await enterStart() else { return }
        let result: Result<RunningNode, KraftError>
        do throws(KraftError) {
            result = .success(try await RunningNode.start(configuration, hub: hub))
        } catch {
            result = .failure(error)
        }
        leaveStart(result)
        _ = try result.get()
    }

    /// Whether this caller has to start the node; false when it runs.
    private func enterStart() async throws(KraftError) -> Bool {
        while true {
            await whileStarting()
            let found = lifecycle.withLock { lifecycle in
                let found = lifecycle
                if case .idle = found { lifecycle = .starting([]) }
                return found
            }
            switch found {
            case .idle: return true
            // Somebody tried and could not, and the next one tries already.
            case .starting: continue
            case .running: return false
            case .stopping, .stopped: throw .notRunning()
            }
        }
    }

    /// Waits for the end of a start that is under way. Another may have begun by then.
    private func whileStarting() async {
        await withUnsafeContinuation { continuation in
            let isOver = lifecycle.withLock { lifecycle in
                guard case .starting(let waiters) = lifecycle else { return true }
                lifecycle = .starting(waiters + [continuation])
                return false
            }
            if isOver { continuation.resume() }
        }
    }

    private func leaveStart(_ result: Result<RunningNode, KraftError>) {
        let waiters = lifecycle.withLock { lifecycle in
            guard case .starting(let waiters) = lifecycle else {
                preconditionFailure("two starts at once")
            }
            switch result {
            case .success(let node):
                fence.withLock { $0 = node.fence }
                lifecycle = .running(node)
            case .failure: lifecycle = .idle
            }
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Hands leaders over, flushes and closes. Takes at most ten seconds.
    public func shutdown() async {
        guard let node = await enterShutdown() else { return }
        await node.end()
        hub.close()
        let waiters = lifecycle.withLock { lifecycle in
            guard case .stopping(let waiters) = lifecycle else {
                preconditionFailure("two shutdowns at once")
            }
            lifecycle = .stopped
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// What this caller has to end; nil when there is nothing to do any more.
    private func enterShutdown() async -> RunningNode? {
        while true {
            await whileStarting()
            var isOver = true
            var mine: RunningNode?
            await withUnsafeContinuation { continuation in
                let mayGo = lifecycle.withLock { lifecycle in
                    switch lifecycle {
                    case .starting: isOver = false
                    case .idle:
                        lifecycle = .stopped
                        hub.close()
                    case .running(let node):
                        lifecycle = .stopping([])
                        mine = node
                    case .stopping(let waiters):
                        lifecycle = .stopping(waiters + [continuation])
                        return false
                    case .stopped: break
                    }
                    return true
                }
                if mayGo { continuation.resume() }
            }
            if isOver { return mine }
        }
    }

    // MARK: Looking in

    var running: RunningNode? {
        lifecycle.withLock { if case .running(let node) = $0 { node } else { nil } }
    }

    /// The adapter that a group is on.
    func runtime(of group: GroupName) throws(KraftError) -> NodeRuntime {
        guard let running else { throw .notRunning(group) }
        return try running.runtime(of: group)
    }

    /// The adapter of this name; nil is the shared one.
    func runtime(adapter: String?) throws(KraftError) -> NodeRuntime {
        guard let running else { throw .notRunning() }
        return try running.runtime(adapter: adapter)
    }

    /// This node.
    public var node: NodeID { configuration.node }

    /// Where the peer port listens, `host:port`; nil before `start` and after `shutdown`.
    public var boundAddress: String? { running?.shared.boundAddress }

    /// The address that others are given for this node; nil while it isn't known.
    public var address: String? { configuration.advertised(bound: boundAddress) }

    /// The disk of one of the node's logs failed: what it kept is acknowledged no more, and the node
    /// should be replaced or restarted.
    public var isFenced: Bool { fence.withLock { $0?.isUp ?? false } }

    /// What happens on this node from now on.
    public var events: KraftEvents {
        KraftEvents { [self] in
            // The snapshot is taken on the loop, so that no event falls between it and the next; what
            // an adapter tells until its own is taken comes again behind it.
            let begun = await running?.shared.run { [hub] driver in
                (subscription: hub.subscribe(), snapshot: driver.snapshot())
            }
            guard let begun else {
                let subscription = hub.subscribe()
                subscription.begin(.init(groups: [], peers: [], isFenced: isFenced))
                return subscription
            }
            var snapshot = begun.snapshot
            for runtime in running?.runtimes.dropFirst() ?? [] {
                guard let part = await runtime.run({ $0.snapshot() }) else { continue }
                snapshot.groups += part.groups
                snapshot.isFenced = snapshot.isFenced || part.isFenced
            }
            begun.subscription.begin(snapshot)
            return begun.subscription
        }
    }

    /// Runs tasks on the loop of the shared adapter, which saves a request its two changes of threads:
    /// `withTaskExecutorPreference(kraft.taskExecutor) { … }`. Such a task must never block. Nil
    /// when the node isn't running; tasks that outlive it go on elsewhere.
    public var taskExecutor: (any TaskExecutor)? { running?.shared.executor }

    /// Runs `body` on an adapter's loop with its driver. Nothing happens when there is no such adapter,
    /// or the node isn't running.
    package func withDriver(
        adapter: String? = nil, _ body: @escaping @Sendable (NodeDriver) -> Void
    ) {
        guard let runtime = try? runtime(adapter: adapter) else { return }
        runtime.loop.execute { [driver = runtime.driver] in body(driver) }
    }
}
