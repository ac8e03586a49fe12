import KraftLoop
import Logging
import ServiceLifecycle
import Synchronization

/// One node: many named Raft groups over one event loop, one log and one connection per peer.
///
/// Open it with `run` (as a service) or with `start` and `shutdown`. New, restarted and joining
/// nodes are opened alike: what is on disk wins. What was started must be shut down; letting it go
/// doesn't stop it.
public final class KraftMultiRaft: Service, Sendable {
    enum Lifecycle {
        case idle
        case starting([UnsafeContinuation<Void, Never>])
        case running(NodeRuntime)
        case stopping([UnsafeContinuation<Void, Never>])
        case stopped
    }

    /// How long `shutdown` waits for a loop whose disk doesn't answer.
    private static let exitPatience: Duration = .seconds(8)

    let configuration: KraftConfiguration
    let registry = GroupRegistry()
    let hub = EventHub()
    let lifecycle = Mutex(Lifecycle.idle)
    private let fenced = Atomic(false)
    /// Ended when the node fences itself.
    private let untilFenced = AsyncStream<Never>.makeStream()

    /// Checks the configuration; touches nothing outside. Throws `configuration`.
    public init(_ configuration: KraftConfiguration) throws(KraftError) {
        try configuration.validate()
        self.configuration = configuration
    }

    /// Starts the node, serves until graceful shutdown or cancellation, and shuts it down.
    /// Throws what `start` throws, and `storage` when the node fenced itself.
    public func run() async throws {
        try await start()
        let (stop, stopper) = AsyncStream<Never>.makeStream()
        await withTaskCancellationOrGracefulShutdownHandler {
            await withTaskGroup { group in
                group.addTask { for await _ in stop {} }
                group.addTask { [untilFenced] in for await _ in untilFenced.stream {} }
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
        while true {
            switch await enterStart() {
            case .running: return
            case .stopping, .stopped: throw .notRunning()
            // Somebody else tried to start it and could not.
            case .idle: continue
            case .starting: break
            }
            let result: Result<NodeRuntime, KraftError>
            do throws(KraftError) {
                result = .success(try await bootLoop())
            } catch {
                result = .failure(error)
            }
            leaveStart(result)
            return try result.map { _ in }.get()
        }
    }

    /// What is found; `starting` means that this caller has to do it.
    private func enterStart() async -> Lifecycle {
        let mine = lifecycle.withLock { lifecycle -> Lifecycle? in
            switch lifecycle {
            case .idle:
                lifecycle = .starting([])
                return .starting([])
            case .starting: return nil
            case .running, .stopping, .stopped: return lifecycle
            }
        }
        if let mine { return mine }
        await withUnsafeContinuation { continuation in
            let isOver = lifecycle.withLock { lifecycle in
                guard case .starting(let waiters) = lifecycle else { return true }
                lifecycle = .starting(waiters + [continuation])
                return false
            }
            if isOver { continuation.resume() }
        }
        return lifecycle.withLock { lifecycle in
            if case .starting = lifecycle { .idle } else { lifecycle }
        }
    }

    private func leaveStart(_ result: Result<NodeRuntime, KraftError>) {
        let waiters = lifecycle.withLock { lifecycle in
            guard case .starting(let waiters) = lifecycle else {
                preconditionFailure("two starts at once")
            }
            switch result {
            case .success(let runtime): lifecycle = .running(runtime)
            case .failure: lifecycle = .idle
            }
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func bootLoop() async throws(KraftError) -> NodeRuntime {
        let loop: EventLoop
        do throws(LoopError) {
            loop = try EventLoop()
            try loop.start()
        } catch {
            throw KraftError(.unavailable, error.description)
        }
        let result = await withUnsafeContinuation { continuation in
            loop.execute { [self] in
                do throws(KraftError) {
                    let runtime = try NodeRuntime.boot(
                        configuration, loop: loop, hub: hub, registry: registry,
                        whenFenced: { [weak self] in self?.fence() })
                    continuation.resume(returning: Result<_, KraftError>.success(runtime))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        if case .failure = result {
            loop.stop()
            loop.join()
        }
        return try result.get()
    }

    private func fence() {
        fenced.store(true, ordering: .releasing)
        untilFenced.continuation.finish()
    }

    /// Hands leaders over, flushes and closes. Takes at most ten seconds.
    public func shutdown() async {
        guard let runtime = await enterShutdown() else { return }
        let exit = AsyncStream<Bool>.makeStream()
        runtime.loop.execute {
            runtime.driver.beginShutdown {
                exit.continuation.yield(true)
                exit.continuation.finish()
            }
        }
        let patience = Task.detached {
            try? await Task.sleep(for: KraftMultiRaft.exitPatience)
            exit.continuation.finish()
        }
        // Not to be cut short by a cancelled caller: the folder's lock must be free afterwards.
        let hasEnded = await Task.detached {
            for await hasEnded in exit.stream { return hasEnded }
            return false
        }.value
        patience.cancel()
        if hasEnded {
            runtime.loop.join()
        } else {
            // The disk may still write: nobody else may have the folder while this process lives.
            _ = Unmanaged.passRetained(runtime)
        }
        let waiters = lifecycle.withLock { lifecycle in
            guard case .stopping(let waiters) = lifecycle else {
                preconditionFailure("two shutdowns at once")
            }
            lifecycle = .stopped
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// The runtime that this caller has to end; nil when there is nothing to do any more.
    private func enterShutdown() async -> NodeRuntime? {
        let isStarting = lifecycle.withLock {
            if case .starting = $0 { true } else { false }
        }
        if isStarting { _ = await enterStart() }
        var mine: NodeRuntime?
        await withUnsafeContinuation { continuation in
            let mayGo = lifecycle.withLock { lifecycle in
                switch lifecycle {
                case .idle, .starting:
                    lifecycle = .stopped
                    hub.close()
                case .running(let runtime):
                    lifecycle = .stopping([])
                    mine = runtime
                case .stopping(let waiters):
                    lifecycle = .stopping(waiters + [continuation])
                    return false
                case .stopped: break
                }
                return true
            }
            if mayGo { continuation.resume() }
        }
        return mine
    }

    // MARK: Looking in

    var runtime: NodeRuntime? {
        lifecycle.withLock { if case .running(let runtime) = $0 { runtime } else { nil } }
    }

    /// This node.
    public var node: NodeID { configuration.node }

    /// Where the peer port listens, `host:port`; nil before `start` and after `shutdown`.
    public var boundAddress: String? { runtime?.boundAddress }

    /// The address that others are given for this node; nil while it isn't known.
    public var address: String? { configuration.advertised(bound: boundAddress) }

    /// The node's disk failed: it acknowledges nothing any more and should be replaced or restarted.
    public var isFenced: Bool { fenced.load(ordering: .acquiring) }

    /// What happens on this node from now on.
    public var events: KraftEvents {
        KraftEvents { [self] in
            // The snapshot is taken on the loop, so that no event falls between it and the next.
            let subscription = await runtime?.run { [hub] driver in
                hub.subscribe(.snapshot(driver.snapshot()))
            }
            let empty = KraftEvent.Snapshot(groups: [], peers: [], isFenced: isFenced)
            return subscription ?? hub.subscribe(.snapshot(empty))
        }
    }

    /// Runs tasks on the node's own loop, which saves a request its two changes of threads:
    /// `withTaskExecutorPreference(kraft.taskExecutor) { … }`. Such a task must never block. Nil
    /// when the node isn't running; tasks that outlive it go on elsewhere.
    public var taskExecutor: (any TaskExecutor)? { runtime?.executor }

    /// Runs `body` on the loop with the driver. Nothing happens when the node isn't running.
    package func withDriver(_ body: @escaping @Sendable (NodeDriver) -> Void) {
        guard let runtime else { return }
        runtime.loop.execute { [driver = runtime.driver] in body(driver) }
    }
}
