import KraftLoop

/// The default transport: TCP on the node's own event loop.
final class TCPTransport: Transport, TCPConnectionDelegate {
    private var loop: EventLoop?
    private var delegate: (any TransportDelegate)?
    private var listener: TCPListener?
    private var connections: [UInt64: TCPConnection] = [:]
    /// Could not even be dialled; it will be said in a moment.
    private var hopeless: Set<UInt64> = []
    private var unflushed: [TCPConnection] = []
    private let inboundLimit: Int

    init(inboundLimit: Int) { self.inboundLimit = inboundLimit }

    func start(
        listen address: String, loop: any TransportLoop, delegate: any TransportDelegate
    ) throws(KraftError) -> String {
        guard let loop = loop as? EventLoop else {
            preconditionFailure("TCP runs on the node's own loop")
        }
        guard let parsed = NetworkAddress(address) else {
            throw KraftError(.configuration, "listen: \(address) is not host:port")
        }
        self.loop = loop
        self.delegate = delegate
        var limits = TCPListener.Limits()
        limits.connections = inboundLimit
        do {
            let listener = try TCPListener(loop, parsed, limits: limits) { [unowned self] in
                accept($0)
            }
            self.listener = listener
            return listener.bound.description
        } catch {
            throw KraftError(.configuration, "listen: \(error)")
        }
    }

    private func accept(_ connection: TCPConnection) -> (any TCPConnectionDelegate)? {
        guard let id = delegate?.transportAccepted() else { return nil }
        connection.tag = id.rawValue
        connections[id.rawValue] = connection
        return self
    }

    func connect(_ connection: ConnectionID, to address: String) {
        guard let loop else { return }
        if let parsed = NetworkAddress(address),
            let made = try? TCPConnection.connect(
                loop, to: parsed, tag: connection.rawValue, delegate: self)
        {
            connections[connection.rawValue] = made
        } else {
            // Never from inside the call.
            hopeless.insert(connection.rawValue)
            loop.execute { [box = LoopBox(self)] in box.value.failHopeless(connection) }
        }
    }

    private func failHopeless(_ connection: ConnectionID) {
        guard hopeless.remove(connection.rawValue) != nil else { return }
        delegate?.transportClosed(connection)
    }

    func send(_ block: Block, on connection: ConnectionID) {
        guard let socket = connections[connection.rawValue] else { return }
        socket.enqueue(block.bytes, owner: block)
        unflushed.append(socket)
    }

    func flush() {
        // With a few blocks for each of a few peers, flushing one twice is cheaper than a set.
        for socket in unflushed { socket.flush() }
        unflushed.removeAll(keepingCapacity: true)
    }

    func close(_ connection: ConnectionID) {
        hopeless.remove(connection.rawValue)
        connections.removeValue(forKey: connection.rawValue)?.close()
    }

    func stop() {
        listener?.close()
        listener = nil
        for connection in connections.values { connection.close() }
        connections = [:]
        delegate = nil
    }

    // MARK: TCPConnectionDelegate

    func connected(_ connection: TCPConnection) {
        delegate?.transportConnected(ConnectionID(rawValue: connection.tag))
    }

    func received(_ connection: TCPConnection, _ bytes: UnsafeRawBufferPointer) {
        delegate?.transportReceived(ConnectionID(rawValue: connection.tag), bytes)
    }

    func wrote(_ connection: TCPConnection, _ owner: AnyObject) {
        guard let block = owner as? Block else { return }
        delegate?.transportSent(ConnectionID(rawValue: connection.tag), byteCount: block.count)
    }

    func closed(_ connection: TCPConnection, _ error: LoopError) {
        guard connections.removeValue(forKey: connection.tag) != nil else { return }
        delegate?.transportClosed(ConnectionID(rawValue: connection.tag))
    }
}

/// Carries something loop-confined through a job to the loop it belongs to.
///
/// `@unchecked Sendable`: the job is given on that loop and runs on it.
struct LoopBox<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}

extension EventLoop: TransportLoop {
    public func schedule(_ job: @escaping @Sendable () -> Void) { execute(job) }
}
