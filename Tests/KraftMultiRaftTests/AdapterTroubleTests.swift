import Foundation
import KraftLoop
import Synchronization
import Testing

@testable import KraftEngine
@testable import KraftMultiRaft

/// What adapters of one node, or calls that start and end it, could do to each other.
@Suite(.timeLimit(.minutes(2)))
struct AdapterTroubleTests {
    @Test func `a name from two adapters' disks is nobody's until it is said whose`() throws {
        let places = GroupPlaces([nil, "a", "b"])
        let name = try GroupName(checking: "g")
        for place in 0..<3 { #expect(places.recovered(name, at: place) == (place == 0)) }
        #expect(conflict { _ = try places.find(name) }?.contains("adapter a and adapter b") == true)
        // One less, and one less again.
        places.release(name, from: 0)
        #expect(conflict { try places.claim(name, at: 0) } != nil)
        #expect(conflict { _ = try places.find(name) } != nil)
        places.release(name, from: 2)
        #expect(try places.find(name) == 1)
        // Invited: not before the owner has gone.
        #expect(!places.holds(name, at: 2))
        #expect(conflict { try places.claim(name, at: 2) } == "group g is on adapter a here")
        places.release(name, from: 1)
        #expect(try places.find(name) == 2)
        places.release(name, from: 2)
        #expect(try places.find(name) == nil)
        try places.claim(name, at: 0)
        #expect(!places.recovered(name, at: 1))
        try places.claim(name, at: 1)
        #expect(try places.find(name) == 1)
        places.release(name, from: 0)
        places.release(name, from: 1)
        #expect(try places.find(name) == nil)
    }

    @Test func `starts that fail and a shutdown that waits for them all end`() async throws {
        try await TestCluster.with(nodes: 2) { cluster in
            let other = try await cluster.start(2)
            let taken = try #require(other.boundAddress)
            for _ in 0..<20 {
                let gate = Gate()
                var configuration = try cluster.configuration(1)
                configuration.listen = taken
                configuration.makeTransport = {
                    if !gate.isOpen { gate.pass() }
                    return TCPTransport(inboundLimit: 1)
                }
                let node = try KraftMultiRaft(configuration)
                async let first = code { () async throws(KraftError) in try await node.start() }
                await gate.reached()
                async let second = code { () async throws(KraftError) in try await node.start() }
                async let shutdown: Void = node.shutdown()
                try await eventually("both wait") {
                    node.lifecycle.withLock {
                        if case .starting(let waiters) = $0 { waiters.count == 2 } else { false }
                    }
                }
                gate.open()
                #expect(await first == .configuration)
                #expect([.configuration, .unavailable].contains(await second))
                await shutdown
                let late = await code { () async throws(KraftError) in try await node.start() }
                #expect(late == .unavailable)
            }
        }
    }

    @Test func `a start that failed leaves no fence behind`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            let shared = Fencer()
            let hasFailed = Flag()
            var configuration = try cluster.configuration(1)
            configuration.makeTransport = { DeafTransport { shared.driver = $0 } }
            configuration.adapters[0].makeTransport = {
                guard !hasFailed.isSet else { return DeafTransport { _ in } }
                hasFailed.set()
                shared.fence()
                return TCPTransport(inboundLimit: 1)
            }
            configuration.adapters[0].listen = "192.0.2.1:1"
            let node = try KraftMultiRaft(configuration)
            let error = await code { () async throws(KraftError) in try await node.start() }
            #expect(error == .configuration)
            #expect(!node.isFenced)
            let run = Task { try await node.run() }
            try await eventually("it runs") { node.running != nil }
            #expect(!node.isFenced)
            shared.fence()
            await #expect(throws: KraftError.self) { try await run.value }
            #expect(node.isFenced)
        }
    }

    @Test func `a restore ends on the adapter on which it began`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1) {
                $0.machines = MachineProvider { _ in Counter() }
            }
            try await cluster.openGroups(on: node)
            _ = try await node.group("shared", of: Counter.self).propose(1)
            let backup = try await node.backup(of: "shared")
            let all = try await backup.read(at: 0, count: Int(backup.byteCount))
            _ = try await node.createGroup("g", options: .init(adapter: "orders")) { Counter() }
            let (bytes, source) = AsyncStream<[UInt8]>.makeStream()
            async let restored = code { () async throws(KraftError) in
                _ = try await node.restore("g", from: bytes)
            }
            source.yield(all)
            let orders = try #require(node.running?.runtimes[1])
            try await eventually("it has begun") { await orders.run { $0.restores.count } == 1 }
            try await node.removeGroup("g")
            _ = try await node.createGroup("g") { Counter() }
            source.finish()
            #expect(await restored == .notFound)
            #expect(await orders.run { $0.restores } == [])
        }
    }

    @Test func `logs share the disk, and loops have threads for their work`() async throws {
        try await AdapterCluster.with(nodes: 1) { cluster in
            let node = try await cluster.start(1) { $0.log.budgetSizeBytes = 1 << 60 }
            #expect(getenv("UV_THREADPOOL_SIZE") != nil)
            let size = try #require(Folder(node.configuration.dataDirectory).fileSystemSizeBytes)
            let budgets = await node.running?.all { $0.engine.configuration.log.budgetSizeBytes }
            #expect(budgets == [size / 2 / 4, size / 2 / 4])
        }
    }

    /// The words of the conflict; nil if there is none.
    private func conflict(_ body: () throws -> Void) -> String? {
        do { try body() } catch {
            let error = error as? KraftError
            return error?.code == .conflict ? error?.message : nil
        }
        return nil
    }

    private func code(_ body: () async throws(KraftError) -> Void) async -> KraftError.Code? {
        do throws(KraftError) {
            try await body()
            return nil
        } catch { return error.code }
    }
}

/// Hears nobody, and reaches nobody.
private final class DeafTransport: Transport {
    private let begin: (NodeDriver) -> Void
    init(_ begin: @escaping (NodeDriver) -> Void) { self.begin = begin }

    func start(
        listen address: String, loop: any TransportLoop, delegate: any TransportDelegate
    ) throws(KraftError) -> String {
        if let driver = delegate as? NodeDriver { begin(driver) }
        return address
    }

    func connect(_ connection: ConnectionID, to address: String) {}
    func send(_ block: Block, on connection: ConnectionID) {}
    func flush() {}
    func close(_ connection: ConnectionID) {}
    func stop() {}
}

/// Has a driver hear that its log failed.
private final class Fencer: Sendable {
    private let known = Mutex<NodeDriver?>(nil)
    var driver: NodeDriver? {
        get { known.withLock { $0 } }
        set { known.withLock { $0 = newValue } }
    }

    /// Returns when it has heard it.
    func fence() {
        let heard = DispatchSemaphore(value: 0)
        guard let driver else { return }
        driver.loop.execute {
            driver.report(.fenced(reason: "by the test"))
            heard.signal()
        }
        heard.wait()
    }
}
