import Foundation
import KraftLoop
import KraftMultiRaft
import Logging
import Synchronization
import Testing

/// A counter: adds numbers, answers the sum after each.
struct Counter: StateMachine {
    private(set) var sum: Int64 = 0
    private(set) var count = 0

    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        sum &+= command
        count += 1
        return sum
    }

    enum Query: Sendable { case sum, count }
    func answer(_ query: Query) -> Int64 {
        switch query {
        case .sum: sum
        case .count: Int64(count)
        }
    }

    func digest() -> UInt64 { UInt64(bitPattern: sum) &* 0x9E37_79B9_7F4A_7C15 }
}

/// Small enough to be encoded as a whole.
extension Counter: BinaryCodable {
    func encode(into writer: inout ByteWriter) {
        writer.write(sum)
        writer.write(Int64(count))
    }

    init(from reader: inout ByteReader) throws(ByteReader.Malformed) {
        sum = try reader.read()
        count = Int(try reader.read(Int64.self))
    }
}

/// Another state machine with the same commands.
struct LastValue: StateMachine, Sendable {
    private var last: Int64 = 0
    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 {
        last = command
        return last
    }
    func answer(_ query: Bool) -> Int64 { last }
    func digest() -> UInt64 { UInt64(bitPattern: last) }
    func snapshot() -> EncodedSnapshot<Int64> { EncodedSnapshot(last) }
    mutating func restore(from pieces: inout SnapshotPieces) throws { last = try pieces.decode() }
}

/// Nodes of one cluster in this process, each with a folder and a port that stay over restarts.
final class TestCluster: Sendable {
    let folder: String
    let addresses: [NodeID: String]
    private let nodes = Mutex([NodeID: KraftMultiRaft]())

    init(nodes count: Int) async throws {
        folder =
            FileManager.default.temporaryDirectory
            .appending(path: "kraft-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        addresses = try await TestCluster.freeAddresses(count)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Ports that are free, from below those that the system gives to outgoing connections, and from
    /// which other tests start nodes (20,000 and above): nobody takes them by chance meanwhile.
    static func freeAddresses(_ count: Int) async throws -> [NodeID: String] {
        let loop = try EventLoop()
        try loop.start()
        let found = Found()
        await withCheckedContinuation { continuation in
            loop.execute {
                while found.count < count {
                    let address = "127.0.0.1:\(nextPort())"
                    guard let parsed = NetworkAddress(address),
                        let listener = try? TCPListener(loop, parsed, accept: { _ in nil })
                    else { continue }
                    listener.close()
                    found.add(address)
                }
                loop.stop { continuation.resume() }
            }
        }
        loop.join()
        return found.addresses
    }

    private static func nextPort() -> Int {
        let offset = portCounter.add(1, ordering: .relaxed).newValue
        return 10_000 + (Int(ProcessInfo.processInfo.processIdentifier) * 61 + offset) % 10_000
    }

    func configuration(_ node: NodeID) throws -> KraftConfiguration {
        var configuration = KraftConfiguration(
            node: node, dataDirectory: "\(folder)/\(node)",
            listen: try #require(addresses[node]), peers: addresses)
        configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        // Long enough for a busy machine: a leader lost by accident is an unknown outcome.
        configuration.timing.beatInterval = .milliseconds(50)
        configuration.timing.electionTimeout = .milliseconds(1_000)
        configuration.timing.electionSpread = .milliseconds(200)
        configuration.log.segmentSizeBytes = 8 << 20
        configuration.requestTimeout = .seconds(20)
        return configuration
    }

    @discardableResult
    func start(
        _ node: NodeID, _ change: (inout KraftConfiguration) -> Void = { _ in }
    ) async throws -> KraftMultiRaft {
        var configuration = try configuration(node)
        change(&configuration)
        let kraft = try KraftMultiRaft(configuration)
        try await kraft.start()
        nodes.withLock { $0[node] = kraft }
        return kraft
    }

    func startAll() async throws -> [KraftMultiRaft] {
        var all: [KraftMultiRaft] = []
        for node in addresses.keys.sorted() { all.append(try await start(node)) }
        return all
    }

    func stop(_ node: NodeID) async {
        await nodes.withLock { $0.removeValue(forKey: node) }?.shutdown()
    }

    func stopAll() async {
        for node in addresses.keys.sorted() { await stop(node) }
    }

    /// A cluster that is stopped and cleaned up whatever the body does.
    static func with(
        nodes count: Int, _ body: (TestCluster) async throws -> Void
    ) async throws {
        let cluster = try await TestCluster(nodes: count)
        do {
            try await body(cluster)
        } catch {
            await cluster.stopAll()
            throw error
        }
        await cluster.stopAll()
    }
}

private let portCounter = Atomic(0)

private final class Found: Sendable {
    private let list = Mutex([String]())
    var count: Int { list.withLock { $0.count } }
    func add(_ address: String) { list.withLock { $0.append(address) } }
    var addresses: [NodeID: String] {
        let pairs = list.withLock { $0.enumerated().map { (NodeID(UInt32($0 + 1)), $1) } }
        return Dictionary(uniqueKeysWithValues: pairs)
    }
}

/// Waits until something holds, by looking again and again; fails after half a minute.
func eventually(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    for _ in 0..<3_000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("never: \(what)", sourceLocation: sourceLocation)
    throw CancellationError()
}

/// The node that leads a group, in the eyes of one that knows.
func leader(of name: String, among nodes: [KraftMultiRaft]) async throws -> KraftMultiRaft {
    var found: KraftMultiRaft?
    try await eventually("\(name) has a leader") {
        for node in nodes where try await node.status(of: name).role == .leader { found = node }
        return found != nil
    }
    return try #require(found)
}

final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
