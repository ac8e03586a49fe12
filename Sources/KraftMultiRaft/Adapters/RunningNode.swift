import KraftLoop
import Synchronization

/// A node that runs: its shared adapter and the dedicated ones, each with a loop and a log of its own.
/// They know nothing of each other.
final class RunningNode: Sendable {
    /// How long `end` waits for loops that don't answer.
    private static let exitPatience: Duration = .seconds(8)

    /// The shared adapter, then the dedicated ones.
    let runtimes: [NodeRuntime]
    let fence: Fence
    private let places: GroupPlaces?

    var shared: NodeRuntime { runtimes[0] }

    private init(_ runtimes: [NodeRuntime], _ places: GroupPlaces?, _ fence: Fence) {
        (self.runtimes, self.places, self.fence) = (runtimes, places, fence)
    }

    /// Starts all adapters, or none.
    static func start(
        _ configuration: KraftConfiguration, hub: EventHub
    ) async throws(KraftError) -> RunningNode {
        try configuration.refuseForgottenAdapters()
        let parts = configuration.parts
        let places = parts.count > 1 ? GroupPlaces(parts.map(\.adapter)) : nil
        // Before the first piece of work of any loop. See `FileSnapshots`: of four threads it leaves its
        // own loop's log one, but knows nothing of other loops.
        if places != nil { EventLoop.wantPool(threadCount: 4 * parts.count) }
        let fence = Fence()
        var runtimes: [NodeRuntime] = []
        do throws(KraftError) {
            // One after the other: what takes long is their reading of the same disk.
            for (place, part) in parts.enumerated() {
                runtimes.append(
                    try await NodeRuntime.start(
                        part.configuration, adapter: part.adapter,
                        place: places.map { ($0, place) }, hub: hub, whenFenced: fence.raise))
            }
        } catch {
            await RunningNode(runtimes, places, fence).end()
            throw error
        }
        return RunningNode(runtimes, places, fence)
    }

    /// Hands leaders over, flushes and closes, all adapters at once. Takes at most ten seconds.
    func end() async {
        let count = runtimes.count
        let (exits, exit) = AsyncStream<Int>.makeStream()
        for (place, runtime) in runtimes.enumerated() {
            runtime.loop.execute { runtime.driver.beginShutdown { exit.yield(place) } }
        }
        let patience = Task.detached {
            try? await Task.sleep(for: RunningNode.exitPatience)
            exit.finish()
        }
        // Not to be cut short by a cancelled caller: the folder's lock must be free afterwards.
        let ended = await Task.detached {
            var ended: [Int] = []
            if count == 0 { return ended }
            for await place in exits {
                ended.append(place)
                if ended.count == count { break }
            }
            return ended
        }.value
        patience.cancel()
        for place in ended { runtimes[place].loop.join() }
        // The disk may still write: nobody else may have the folder while this process lives.
        if ended.count < count { _ = Unmanaged.passRetained(self) }
    }

    // MARK: Who has what

    /// The adapter that a group is on; the shared one for a group that isn't here. Throws `conflict` when
    /// several might have it.
    func runtime(of group: GroupName) throws(KraftError) -> NodeRuntime {
        runtimes[try places?.find(group) ?? 0]
    }

    /// Nil is the shared adapter. Throws `badRequest` for one that there isn't.
    func runtime(adapter: String?) throws(KraftError) -> NodeRuntime {
        guard let runtime = runtimes.first(where: { $0.adapter == adapter }) else {
            throw KraftError(.badRequest, "adapter: this node has none called '\(adapter ?? "")'")
        }
        return runtime
    }

    /// What each adapter says, in their order; nil when the node has ended.
    func all<Value: Sendable>(
        _ body: @escaping @Sendable (NodeDriver) -> Value
    ) async -> [Value]? {
        var values: [Value] = []
        for runtime in runtimes {
            guard let value = await runtime.run(body) else { return nil }
            values.append(value)
        }
        return values
    }
}

/// Up when the log of one of a node's adapters has failed.
final class Fence: Sendable {
    private let state = Atomic(false)
    private let wait = AsyncStream<Never>.makeStream()

    var isUp: Bool { state.load(ordering: .acquiring) }
    /// Ends when it is up.
    var untilUp: AsyncStream<Never> { wait.stream }

    @Sendable func raise() {
        state.store(true, ordering: .releasing)
        wait.continuation.finish()
    }
}
