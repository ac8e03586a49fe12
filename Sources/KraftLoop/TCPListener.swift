import CKraftUV

/// Accepts connections on one address. Loop-confined.
package final class TCPListener: LoopResource {
    /// What one listener lets in at once and how many wait in the kernel.
    package struct Limits: Sendable {
        package var connections = 1_024
        package var backlog: Int32 = 256
        package init() {}
    }

    private let loop: EventLoop
    private let limits: Limits
    private var tcp: UnsafeMutablePointer<uv_tcp_t>?
    private var accept: ((TCPConnection) -> (any TCPConnectionDelegate)?)?
    /// Connections that came in here and are not closed yet.
    private(set) var connectionCount = 0
    /// Where it listens, with the port that it was given.
    package private(set) var bound = NetworkAddress(host: "", port: 0)

    /// Listens at once. `accept` says who hears of a new connection, or nil to close it; beyond
    /// the limit it isn't asked.
    package init(
        _ loop: EventLoop, _ address: NetworkAddress, limits: Limits = .init(),
        accept: @escaping (TCPConnection) -> (any TCPConnectionDelegate)?
    ) throws(LoopError) {
        loop.preconditionOnLoop()
        (self.loop, self.limits, self.accept) = (loop, limits, accept)
        let operation = "listen on \(address)"
        guard var storage = address.literal else {
            throw LoopError(LoopError.invalid, operation)
        }
        guard !loop.isStopped else { throw LoopError(LoopError.invalid, operation) }
        var status: Int32 = 0
        let context = Unmanaged.passUnretained(self).toOpaque()
        guard let tcp = kraft_uv_tcp_new(loop.uv, context, &status) else {
            throw LoopError(status, operation)
        }
        self.tcp = tcp
        loop.adopt(self)
        status = uv_tcp_bind(tcp, kraft_uv_sockaddr(&storage), 0)
        if status == 0 {
            status = uv_listen(kraft_uv_stream(tcp), limits.backlog, listenerAccepts)
        }
        if status == 0 { status = readBound(tcp) }
        guard status == 0 else {
            closeNow()
            throw LoopError(status, operation)
        }
    }

    private func readBound(_ tcp: UnsafeMutablePointer<uv_tcp_t>) -> Int32 {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            guard let base = text.baseAddress else { return LoopError.noMemory }
            var (port, isIPv6) = (UInt16(0), Int32(0))
            let status = kraft_uv_address_bound(tcp, base, text.count, &port, &isIPv6)
            if status == 0 { bound = NetworkAddress(host: String(cString: base), port: port) }
            return status
        }
    }

    /// Accepts no more. Connections that came in stay.
    package func close() { closeNow() }

    func closeNow() {
        guard let tcp else { return }
        self.tcp = nil
        accept = nil
        uv_close(kraft_uv_handle(tcp), freeHandle)
        loop.release(self)
    }

    fileprivate func accepts(status: Int32) {
        guard let tcp, status == 0 else { return }
        loop.openTurn()
        // Without memory or file handles for it the connection stays in the backlog.
        guard let connection = try? TCPConnection(loop) else { return }
        guard connection.take(from: tcp), connectionCount < limits.connections,
            let delegate = accept?(connection)
        else { return connection.closeNow() }
        connectionCount += 1
        connection.open(delegate) { [self] in connectionCount -= 1 }
    }
}

private func listenerAccepts(_ stream: UnsafeMutablePointer<uv_stream_t>?, _ status: Int32) {
    guard let context = stream?.pointee.data else { return }
    Unmanaged<TCPListener>.fromOpaque(context).takeUnretainedValue().accepts(status: status)
}
