import Foundation

/// A plain TCP connection to a loopback port, for bytes that no client would send.
struct RawSocket: ~Copyable {
    private let descriptor: Int32

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(descriptor)
            throw NodeProcess.Trouble(description: "port \(port) can't be reached: \(errno)")
        }
    }

    deinit { close(descriptor) }

    /// False when the other side has closed.
    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    /// What comes until the other side closes, `limit` bytes are there, or five seconds pass
    /// without any.
    func readToEnd(limit: Int = 1 << 20) -> (bytes: [UInt8], isClosed: Bool) {
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4_096)
        while bytes.count < limit {
            let count = recv(descriptor, &part, part.count, 0)
            guard count > 0 else { return (bytes, count == 0 || errno == ECONNRESET) }
            bytes += part[..<count]
        }
        return (bytes, false)
    }
}
