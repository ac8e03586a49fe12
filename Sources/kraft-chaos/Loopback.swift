import Foundation

/// Plain loopback sockets.
enum Loopback {
    /// Ports that nothing listens on at the moment, below the range from which the kernel takes
    /// ports for outgoing connections.
    static func freePorts(_ count: Int) -> [UInt16] {
        var ports: [UInt16] = []
        while ports.count < count {
            let port = UInt16.random(in: 20_000...32_000)
            guard !ports.contains(port), let descriptor = listen(on: port) else { continue }
            Foundation.close(descriptor)
            ports.append(port)
        }
        return ports
    }

    /// A non-blocking listener; port 0 takes a free one. Nil if the port is taken.
    static func listen(on port: UInt16) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o4000, 0)
        guard descriptor >= 0 else { return nil }
        var one: Int32 = 1
        setsockopt(
            descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard onAddress(port, { bind(descriptor, $0, $1) }) == 0,
            Foundation.listen(descriptor, 64) == 0
        else {
            Foundation.close(descriptor)
            return nil
        }
        return descriptor
    }

    /// A connection under way, non-blocking.
    static func connect(to port: UInt16) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | 0o4000, 0)
        guard descriptor >= 0 else { return nil }
        let result = onAddress(port) { Foundation.connect(descriptor, $0, $1) }
        guard result == 0 || errno == EINPROGRESS else {
            Foundation.close(descriptor)
            return nil
        }
        return descriptor
    }

    static func port(of descriptor: Int32) -> UInt16 {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &size)
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func onAddress(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
