import KraftMultiRaft
import Synchronization
import Testing

/// Transport and wire format are the user's to choose.
@Suite(.timeLimit(.minutes(2)))
struct TransportTests {
    @Test func `nodes replicate over a transport and a wire format of the user's own`()
        async throws
    {
        let exchange = Exchange()
        try await TestCluster.with(nodes: 3) { cluster in
            var groups: [Group<Counter>] = []
            for node in [1, 2, 3] as [NodeID] {
                let kraft = try await cluster.start(node) { configuration in
                    configuration.makeTransport = { MemoryTransport(exchange) }
                    configuration.wireFormat = VeiledFormat()
                }
                #expect(kraft.boundAddress == cluster.addresses[node])
                groups.append(try await kraft.createGroup("g") { Counter() })
            }
            for round in 1...30 as ClosedRange<Int64> {
                #expect(try await groups[Int(round) % 3].propose(1) == round)
            }
            await cluster.stop(3)
            #expect(try await groups[0].propose(1) == 31)
            #expect(try await groups[1].read(.sum) == 31)
        }
        #expect(exchange.isEmpty)
    }

    @Test func `nodes that speak another wire format don't understand each other`() async throws {
        try await TestCluster.with(nodes: 2) { cluster in
            let second = try await cluster.start(2)
            var events = second.events.makeAsyncIterator()
            _ = await events.next()
            try await cluster.start(1) { $0.wireFormat = VeiledFormat() }
            var isRefused = false
            while !isRefused, let event = await events.next() {
                if case .connectionRefused = event { isRefused = true }
            }
            #expect(isRefused)
        }
    }
}

/// The standard frames with another look.
private struct VeiledFormat: WireFormat {
    private let standard = StandardWireFormat()

    var headerSize: Int { standard.headerSize }

    func seal(_ frame: UnsafeMutableRawBufferPointer, kind: FrameKind) {
        standard.seal(frame, kind: kind)
        for place in 0..<headerSize { frame[place] ^= 0x5A }
    }

    func parse(_ header: UnsafeRawBufferPointer) -> (kind: FrameKind, bodyCount: Int)? {
        unveiled(header) { standard.parse($0) }
    }

    func isSound(_ header: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) -> Bool {
        unveiled(header) { standard.isSound($0, body: body) }
    }

    private func unveiled<R>(
        _ header: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> R
    ) -> R {
        header.prefix(headerSize).map { $0 ^ 0x5A }.withUnsafeBytes(body)
    }
}

/// Where transports of one test find each other by address.
private final class Exchange: Sendable {
    private let listeners = Mutex([String: MemoryTransport]())

    var isEmpty: Bool { listeners.withLock { $0.isEmpty } }
    func listen(_ address: String, _ transport: MemoryTransport?) {
        listeners.withLock { $0[address] = transport }
    }
    func find(_ address: String) -> MemoryTransport? { listeners.withLock { $0[address] } }
}

/// Streams within the process. `@unchecked Sendable`: confined to its node's loop, reached from
/// others by `TransportLoop.schedule`.
private final class MemoryTransport: Transport, @unchecked Sendable {
    private typealias End = (transport: MemoryTransport, connection: ConnectionID)

    private let exchange: Exchange
    private var address = ""
    private var loop: (any TransportLoop)?
    private var delegate: (any TransportDelegate)?
    /// What is at the other end.
    private var links: [ConnectionID: End] = [:]
    private var dialling: Set<ConnectionID> = []
    private var sent: [(connection: ConnectionID, byteCount: Int)] = []

    init(_ exchange: Exchange) { self.exchange = exchange }

    func start(
        listen address: String, loop: any TransportLoop, delegate: any TransportDelegate
    ) throws(KraftError) -> String {
        (self.address, self.loop, self.delegate) = (address, loop, delegate)
        exchange.listen(address, self)
        return address
    }

    func connect(_ connection: ConnectionID, to address: String) {
        dialling.insert(connection)
        guard let target = exchange.find(address) else {
            loop?.schedule { [self] in fail(connection) }
            return
        }
        target.loop?.schedule { [self] in target.accept(self, connection) }
    }

    private func accept(_ dialler: MemoryTransport, _ connection: ConnectionID) {
        guard let mine = delegate?.transportAccepted() else {
            dialler.loop?.schedule { dialler.fail(connection) }
            return
        }
        links[mine] = (dialler, connection)
        dialler.loop?.schedule { [self] in dialler.established(connection, (self, mine)) }
    }

    private func established(_ connection: ConnectionID, _ end: End) {
        guard dialling.remove(connection) != nil else { return tell(end) }
        links[connection] = end
        delegate?.transportConnected(connection)
    }

    private func fail(_ connection: ConnectionID) {
        guard dialling.remove(connection) != nil else { return }
        delegate?.transportClosed(connection)
    }

    func send(_ block: Block, on connection: ConnectionID) {
        guard let end = links[connection] else { return }
        let bytes = [UInt8](block.bytes)
        sent.append((connection, bytes.count))
        end.transport.loop?.schedule { end.transport.receive(end.connection, bytes) }
    }

    private func receive(_ connection: ConnectionID, _ bytes: [UInt8]) {
        guard links[connection] != nil else { return }
        bytes.withUnsafeBytes { delegate?.transportReceived(connection, $0) }
    }

    func flush() {
        let done = sent
        sent = []
        for (connection, count) in done { delegate?.transportSent(connection, byteCount: count) }
    }

    func close(_ connection: ConnectionID) {
        dialling.remove(connection)
        if let end = links.removeValue(forKey: connection) { tell(end) }
    }

    /// The other end is told that the connection is gone.
    private func tell(_ end: End) {
        end.transport.loop?.schedule {
            guard end.transport.links.removeValue(forKey: end.connection) != nil else { return }
            end.transport.delegate?.transportClosed(end.connection)
        }
    }

    func stop() {
        exchange.listen(address, nil)
        for end in links.values { tell(end) }
        links = [:]
        delegate = nil
    }
}
