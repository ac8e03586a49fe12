import Foundation
import KraftLoop
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1)))
struct TCPTests {
    @Test func `megabytes come back from an echo in order and unchanged`() async throws {
        try await EventLoop.with { loop in
            let byteCount = 8 << 20
            let client = Collector(target: byteCount)
            try await loop.run {
                let echo = Echo()
                let listener = try TCPListener(loop, .loopback) { _ in echo }
                client.whenConnected = { connection in
                    // Many writes at once: the socket takes some, the rest waits its turn.
                    for piece in 0..<(byteCount >> 16) { client.send(piece, on: connection) }
                }
                _ = try TCPConnection.connect(loop, to: listener.bound, tag: 2, delegate: client)
            }
            await client.finished.value
            try await loop.run {
                #expect(client.received == client.sent)
                #expect(client.bytesWritten == byteCount)
            }
        }
    }

    @Test func `a connection that nobody listens for is reported as closed`() async throws {
        try await EventLoop.with { loop in
            let client = Collector(target: 1)
            try await loop.run {
                let listener = try TCPListener(loop, .loopback) { _ in nil }
                let address = listener.bound
                listener.close()
                _ = try TCPConnection.connect(loop, to: address, tag: 2, delegate: client)
            }
            let error = await client.closed.value
            #expect(error.reason.contains("refused"))
        }
    }

    @Test func `names are looked up, and an unknown one is an error`() async throws {
        try await EventLoop.with { loop in
            let client = Collector(target: 1)
            try await loop.run {
                let address = try #require(NetworkAddress("no-such-host.invalid:7001"))
                _ = try TCPConnection.connect(loop, to: address, tag: 2, delegate: client)
            }
            #expect(await !client.closed.value.reason.isEmpty)
        }
    }

    @Test func `a connection may be closed while it is looked up or dialled`() async throws {
        try await EventLoop.with { loop in
            for address in ["no-such-host.invalid:7001", "127.0.0.1:9"] {
                try await loop.run {
                    let address = try #require(NetworkAddress(address))
                    let client = Collector(target: 1)
                    client.whenClosed = { Issue.record("a closed connection reported something") }
                    try TCPConnection.connect(loop, to: address, tag: 2, delegate: client).close()
                }
            }
        }
    }

    @Test func `close lets what was written leave first`() async throws {
        try await EventLoop.with { loop in
            let byteCount = 4 << 20
            let server = Collector(target: byteCount)
            try await loop.run {
                let listener = try TCPListener(loop, .loopback) { _ in server }
                let client = Collector(target: 1)
                client.whenConnected = { connection in
                    for piece in 0..<(byteCount >> 16) { client.send(piece, on: connection) }
                    connection.close()
                }
                client.whenClosed = { Issue.record("a closed connection reported something") }
                _ = try TCPConnection.connect(loop, to: listener.bound, tag: 2, delegate: client)
            }
            await server.finished.value
            #expect(await server.closed.value.isEndOfStream)
        }
    }

    @Test func `close is seen by the other side as the end of the stream`() async throws {
        try await EventLoop.with { loop in
            let server = Collector(target: .max)
            try await loop.run {
                let listener = try TCPListener(loop, .loopback) { _ in server }
                let client = Collector(target: 1)
                client.whenConnected = { $0.close() }
                _ = try TCPConnection.connect(loop, to: listener.bound, tag: 2, delegate: client)
            }
            #expect(await server.closed.value.isEndOfStream)
        }
    }

    @Test func `close gives up on a peer that never reads`() async throws {
        try await EventLoop.with { loop in
            // Listens, but nobody ever takes the connection up.
            let silent = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { _ = close(silent) }
            #expect(listen(silent, 1) == 0)
            var address = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            _ = withUnsafeMutableBytes(of: &address) { bytes in
                getsockname(silent, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress, &size)
            }
            let port = UInt16(bigEndian: address.sin_port)
            let start = EventLoop.clock
            let gone = Promise<Void>()
            try await loop.run {
                let client = Collector(target: 1)
                client.whenConnected = { connection in
                    // More than the kernel takes for a peer that doesn't read.
                    for piece in 0..<512 { client.send(piece, on: connection) }
                    #expect(connection.queuedBytes > 0)
                    let last = Piece(0, whenFreed: { gone.fulfil(()) })
                    connection.write(UnsafeRawBufferPointer(last.bytes), owner: last)
                    connection.close()
                }
                client.whenClosed = { Issue.record("a closed connection reported something") }
                let address = try #require(NetworkAddress("127.0.0.1:\(port)"))
                _ = try TCPConnection.connect(loop, to: address, tag: 2, delegate: client)
            }
            await gone.value
            let waited = EventLoop.clock - start
            #expect(waited >= (TCPConnection.closePatienceMilliseconds - 100) * 1_000_000)
        }
    }

    @Test func `beyond its limit a listener closes what comes in`() async throws {
        try await EventLoop.with { loop in
            var limits = TCPListener.Limits()
            limits.connections = 2
            let clients = [Collector(target: 1), Collector(target: 1), Collector(target: 1)]
            let servers = Collector(target: 1)
            try await loop.run { [limits] in
                let listener = try TCPListener(loop, .loopback, limits: limits) { _ in servers }
                for client in clients {
                    _ = try TCPConnection.connect(
                        loop, to: listener.bound, tag: 2, delegate: client)
                }
            }
            #expect(await clients[2].closed.value.isEndOfStream)
        }
    }

    @Test func `an address in use is an error`() async throws {
        try await EventLoop.with { loop in
            try await loop.run {
                let first = try TCPListener(loop, .loopback) { _ in nil }
                let error = #expect(throws: LoopError.self) {
                    try TCPListener(loop, first.bound) { _ in nil }
                }
                #expect(error?.isAddressInUse == true)
            }
        }
    }

    @Test(arguments: [
        "", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:+1", "a:b:1", "::1:80",
        "[::1:80", "[host]:1", "a b:1",
    ])
    func `what is not an address is refused`(_ text: String) {
        #expect(NetworkAddress(text) == nil)
    }

    @Test func `addresses are taken apart and put together`() throws {
        #expect(NetworkAddress("[::1]:80")?.host == "::1")
        #expect(NetworkAddress("[::1]:80")?.description == "[::1]:80")
        #expect(NetworkAddress("localhost:7001")?.isLiteral == true)
        #expect(NetworkAddress("example.org:7001")?.isLiteral == false)
    }
}

extension NetworkAddress {
    static var loopback: NetworkAddress { NetworkAddress("127.0.0.1:0")! }
}

/// A piece of memory to send.
private final class Piece {
    let bytes: UnsafeMutableRawBufferPointer
    private let whenFreed: () -> Void

    init(_ number: Int, whenFreed: @escaping () -> Void = {}) {
        self.whenFreed = whenFreed
        bytes = .allocate(byteCount: 1 << 16, alignment: 8)
        for position in 0..<bytes.count {
            bytes[position] = UInt8(truncatingIfNeeded: position &* 31 &+ number)
        }
    }
    init(copying source: UnsafeRawBufferPointer) {
        whenFreed = {}
        bytes = .allocate(byteCount: source.count, alignment: 8)
        bytes.copyMemory(from: source)
    }
    deinit {
        bytes.deallocate()
        whenFreed()
    }
}

/// Sends back what it gets.
private final class Echo: TCPConnectionDelegate {
    func connected(_ connection: TCPConnection) {}
    func received(_ connection: TCPConnection, _ bytes: UnsafeRawBufferPointer) {
        let piece = Piece(copying: bytes)
        connection.write(UnsafeRawBufferPointer(piece.bytes), owner: piece)
    }
    func wrote(_ connection: TCPConnection, _ owner: AnyObject) {}
    func closed(_ connection: TCPConnection, _ error: LoopError) {}
}

/// Remembers what happened to a connection. `@unchecked Sendable`: used on one loop only.
private final class Collector: TCPConnectionDelegate, @unchecked Sendable {
    let finished = Promise<Void>()
    let closed = Promise<LoopError>()
    var whenConnected: (TCPConnection) -> Void = { _ in }
    var whenClosed: () -> Void = {}
    var received: [UInt8] = []
    var sent: [UInt8] = []
    var bytesWritten = 0
    private let target: Int

    init(target: Int) { self.target = target }

    func send(_ number: Int, on connection: TCPConnection) {
        let piece = Piece(number)
        sent.append(contentsOf: piece.bytes)
        connection.write(UnsafeRawBufferPointer(piece.bytes), owner: piece)
    }

    func connected(_ connection: TCPConnection) { whenConnected(connection) }
    func received(_ connection: TCPConnection, _ bytes: UnsafeRawBufferPointer) {
        received.append(contentsOf: bytes)
        if received.count >= target { finished.fulfil(()) }
    }
    func wrote(_ connection: TCPConnection, _ owner: AnyObject) {
        bytesWritten += (owner as? Piece)?.bytes.count ?? 0
    }
    func closed(_ connection: TCPConnection, _ error: LoopError) {
        whenClosed()
        closed.fulfil(error)
    }
}
