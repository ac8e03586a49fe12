import Foundation

/// Measures what one round trip costs on the machine's own network: 64 bytes over TCP on loopback
/// and back, one after the other, between two threads.
struct LoopbackProbe {
    private static let size = 64
    /// No read or write waits longer.
    private static let patienceSeconds = 5

    private(set) var latencies = Latencies()

    /// Measures for about `seconds`.
    mutating func run(seconds: Double) throws {
        let (here, there) = try LoopbackProbe.connect()
        defer { close(here) }
        Thread.detachNewThread {
            var bytes = [UInt8](repeating: 0, count: LoopbackProbe.size)
            while LoopbackProbe.receive(there, &bytes), LoopbackProbe.send(there, bytes) {}
            close(there)
        }
        var bytes = [UInt8](repeating: 0x5A, count: LoopbackProbe.size)
        let end = monotonicClock() + UInt64(seconds * 1e9)
        var now = monotonicClock()
        while now < end {
            guard LoopbackProbe.send(here, bytes), LoopbackProbe.receive(here, &bytes) else {
                throw BenchFailure("a round trip on loopback failed")
            }
            let done = monotonicClock()
            latencies.record(done - now)
            now = done
        }
    }

    private static func send(_ socket: Int32, _ bytes: [UInt8]) -> Bool {
        write(socket, bytes, size) == size
    }

    private static func receive(_ socket: Int32, _ bytes: inout [UInt8]) -> Bool {
        bytes.withUnsafeMutableBytes { buffer in
            var count = 0
            while count < size {
                let more = read(socket, buffer.baseAddress?.advanced(by: count), size - count)
                guard more > 0 else { return false }
                count += more
            }
            return true
        }
    }

    /// Both ends of a connection.
    private static func connect() throws -> (Int32, Int32) {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw BenchFailure("no socket for a probe") }
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isConnected = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                // Port 0: one that is free.
                bind(listener, address, size) == 0 && listen(listener, 1) == 0
                    && getsockname(listener, address, &size) == 0
                    && Foundation.connect(client, address, size) == 0
            }
        }
        guard isConnected else {
            close(client)
            throw BenchFailure("could not connect a probe: \(String(cString: strerror(errno)))")
        }
        let server = accept(listener, nil, nil)
        guard server >= 0 else {
            close(client)
            throw BenchFailure("could not accept a probe")
        }
        for end in [client, server] {
            var one: Int32 = 1
            setsockopt(
                end, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                setsockopt(
                    end, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
            }
        }
        return (client, server)
    }
}
