import Foundation
import Synchronization

/// A proxy for each ordered pair of nodes, all on one thread: it passes bytes on, holds them back,
/// or breaks connections.
///
/// A cut link keeps its connections and swallows nothing: bytes wait where they are, as on a network
/// that drops packets, until the link is whole again or an end gives up.
final class ProxyNetwork: Sendable {
    private struct Link: Hashable {
        var from: Int
        var to: Int
    }

    private struct State {
        /// Directions in which nothing passes.
        var cut: Set<Link> = []
        var delay = Duration.zero
        var isResetting = false
        var isClosed = false
    }

    private struct Listener {
        var descriptor: Int32
        var link: Link
    }

    private let listeners: [Listener]
    private let peerPorts: [UInt16]
    private let state = Mutex(State())

    /// - `peerPorts`: where the nodes listen, from node 1 on.
    init(peerPorts: [UInt16]) throws {
        self.peerPorts = peerPorts
        var listeners: [Listener] = []
        for from in 1...peerPorts.count {
            for to in 1...peerPorts.count where to != from {
                guard let descriptor = Loopback.listen(on: 0) else {
                    throw ChaosCluster.Trouble(description: "no port for a proxy")
                }
                listeners.append(Listener(descriptor: descriptor, link: Link(from: from, to: to)))
            }
        }
        self.listeners = listeners
        Thread.detachNewThread { [self] in
            var runner = Runner(listeners: self.listeners.map { ($0.descriptor, $0.link) })
            while runner.turn(self) {}
        }
    }

    /// Where `from` finds `to`.
    func port(from: Int, to: Int) -> UInt16 {
        guard let listener = listeners.first(where: { $0.link == Link(from: from, to: to) }) else {
            preconditionFailure("no proxy from \(from) to \(to)")
        }
        return Loopback.port(of: listener.descriptor)
    }

    /// Nothing passes from `a` to `b`, nor back if it is cut both ways.
    func cut(_ a: Int, _ b: Int, isBothWays: Bool) {
        state.withLock { state in
            state.cut.insert(Link(from: a, to: b))
            if isBothWays { state.cut.insert(Link(from: b, to: a)) }
        }
    }

    func heal() {
        state.withLock { state in
            state.cut = []
            state.delay = .zero
        }
    }

    /// Breaks all connections at once.
    func reset() { state.withLock { $0.isResetting = true } }
    func setDelay(milliseconds: Int) {
        state.withLock { $0.delay = .milliseconds(milliseconds) }
    }
    func close() { state.withLock { $0.isClosed = true } }

    // MARK: The thread

    /// One direction of a connection.
    private struct Stream {
        var input: Int32
        var output: Int32
        var link: Link
        var waiting: [(due: ContinuousClock.Instant, bytes: ArraySlice<UInt8>)] = []
        var isEnded = false

        /// Bytes that a direction holds at most.
        static let portionLimit = 64
    }

    private struct Connection {
        var streams: [Stream]
        var isBroken = false
    }

    private struct Runner {
        var listeners: [(descriptor: Int32, link: Link)]
        var connections: [Connection] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)

        /// False when it is over.
        mutating func turn(_ network: ProxyNetwork) -> Bool {
            let (cut, delay, isResetting, isClosed) = network.state.withLock { state in
                defer { state.isResetting = false }
                return (state.cut, state.delay, state.isResetting, state.isClosed)
            }
            if isClosed || isResetting {
                for connection in connections { end(connection) }
                connections = []
            }
            guard !isClosed else {
                for listener in listeners { Foundation.close(listener.descriptor) }
                return false
            }
            wait(cut)
            accept(network)
            let now = ContinuousClock.now
            for place in connections.indices {
                for side in 0..<2 {
                    guard !cut.contains(connections[place].streams[side].link) else { continue }
                    if !Runner.pass(&connections[place].streams[side], &buffer, now, delay) {
                        connections[place].isBroken = true
                    }
                }
            }
            for connection in connections where connection.isBroken { end(connection) }
            connections.removeAll { $0.isBroken }
            return true
        }

        /// Until something may be read, or a millisecond.
        private func wait(_ cut: Set<Link>) {
            var polls = listeners.map {
                pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0)
            }
            for connection in connections {
                for stream in connection.streams
                where !cut.contains(stream.link) && stream.waiting.count < Stream.portionLimit {
                    polls.append(pollfd(fd: stream.input, events: Int16(POLLIN), revents: 0))
                }
            }
            _ = poll(&polls, nfds_t(polls.count), 1)
        }

        private mutating func accept(_ network: ProxyNetwork) {
            for (descriptor, link) in listeners {
                while true {
                    let client = Foundation.accept(descriptor, nil, nil)
                    guard client >= 0 else { break }
                    _ = fcntl(client, F_SETFL, O_NONBLOCK)
                    guard let server = Loopback.connect(to: network.peerPorts[link.to - 1]) else {
                        Foundation.close(client)
                        continue
                    }
                    for descriptor in [client, server] {
                        var one: Int32 = 1
                        setsockopt(
                            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one,
                            socklen_t(MemoryLayout<Int32>.size))
                    }
                    let back = Link(from: link.to, to: link.from)
                    connections.append(
                        Connection(streams: [
                            Stream(input: client, output: server, link: link),
                            Stream(input: server, output: client, link: back),
                        ]))
                }
            }
        }

        /// False when the connection is over.
        private static func pass(
            _ stream: inout Stream, _ buffer: inout [UInt8], _ now: ContinuousClock.Instant,
            _ delay: Duration
        ) -> Bool {
            while !stream.isEnded, stream.waiting.count < Stream.portionLimit {
                let count = read(stream.input, &buffer, buffer.count)
                if count > 0 {
                    stream.waiting.append((now + delay, buffer[..<count]))
                } else if count < 0, errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS {
                    break
                } else {
                    stream.isEnded = true
                }
            }
            while let first = stream.waiting.first, first.due <= now {
                let count = first.bytes.withUnsafeBytes {
                    send(stream.output, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return errno == EAGAIN || errno == ENOTCONN }
                stream.waiting[0].bytes = first.bytes.dropFirst(count)
                if stream.waiting[0].bytes.isEmpty { stream.waiting.removeFirst() }
            }
            return !(stream.isEnded && stream.waiting.isEmpty)
        }

        private func end(_ connection: Connection) {
            for stream in connection.streams { Foundation.close(stream.input) }
        }
    }
}
