import CKraftUV

/// Hears of one connection. Called on the loop.
package protocol TCPConnectionDelegate: AnyObject {
    /// What was dialled stands. Not for connections that came in.
    func connected(_ connection: TCPConnection)
    /// The next bytes of the stream, valid during the call.
    func received(_ connection: TCPConnection, _ bytes: UnsafeRawBufferPointer)
    /// The whole of a piece given to `enqueue` has left: its memory isn't needed any more.
    func wrote(_ connection: TCPConnection, _ owner: AnyObject)
    /// It ended, or could not be made: the last call. Not after `close`.
    func closed(_ connection: TCPConnection, _ error: LoopError)
}

/// A TCP stream. Loop-confined; kept alive by the loop until its handle is closed.
package final class TCPConnection: LoopResource {
    /// How long `close` waits for queued writes to leave and for the peer to close too.
    package static let closePatienceMilliseconds: UInt64 = 2_000

    /// Pieces in one call to the kernel.
    private static let gatherLimit = 64

    private enum State { case new, resolving, connecting, open, draining, closed }

    /// The owner's own number for it.
    package var tag: UInt64 = 0
    private let loop: EventLoop
    private let tcp: UnsafeMutablePointer<uv_tcp_t>
    private var patience: UnsafeMutablePointer<uv_timer_t>?
    private var delegate: (any TCPConnectionDelegate)?
    private var state = State.new
    private var error = LoopError(LoopError.endOfStream, "connection")
    private var whenClosed: (() -> Void)?
    /// Writes given to libuv whose callback has not come. While there is one, none may overtake it.
    private var pendingWrites = 0
    private typealias Piece = (bytes: UnsafeRawBufferPointer, owner: AnyObject)
    private var outbox: [Piece] = []
    /// Bytes given to `enqueue` that have not left.
    package private(set) var queuedBytes = 0

    init(_ loop: EventLoop) throws(LoopError) {
        var status: Int32 = 0
        guard let tcp = kraft_uv_tcp_new(loop.uv, loop.uv, &status) else {
            throw LoopError(status, "make a socket")
        }
        (self.loop, self.tcp) = (loop, tcp)
        tcp.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        loop.adopt(self)
    }

    // MARK: Opening

    /// Dials; names are looked up. The outcome always comes later, by the delegate.
    package static func connect(
        _ loop: EventLoop, to address: NetworkAddress, tag: UInt64,
        delegate: any TCPConnectionDelegate
    ) throws(LoopError) -> TCPConnection {
        loop.preconditionOnLoop()
        guard !loop.isStopped else { throw LoopError(LoopError.invalid, "connect to \(address)") }
        let connection = try TCPConnection(loop)
        connection.tag = tag
        connection.delegate = delegate
        connection.error.operation = "connection to \(address)"
        if let storage = address.literal {
            connection.dial(storage)
        } else {
            connection.resolve(address)
        }
        return connection
    }

    private func resolve(_ address: NetworkAddress) {
        state = .resolving
        let query = ResolverQuery(self, port: address.port)
        var hints = addrinfo()
        hints.ai_socktype = kraft_uv_stream_type()
        guard let request = kraft_uv_getaddrinfo_new(Unmanaged.passRetained(query).toOpaque())
        else { preconditionFailure("out of memory") }
        let status = uv_getaddrinfo(
            loop.uv, request, connectionResolved, address.host, nil, &hints)
        guard status != 0 else { return }
        Unmanaged.passUnretained(query).release()
        kraft_uv_request_free(request)
        terminate(status)
    }

    func resolved(_ status: Int32, _ storage: sockaddr_storage) {
        guard state == .resolving else { return }
        loop.openTurn()
        if status == 0 { dial(storage) } else { terminate(status) }
    }

    private func dial(_ storage: sockaddr_storage) {
        state = .connecting
        guard let request = kraft_uv_connect_new(Unmanaged.passUnretained(self).toOpaque())
        else { preconditionFailure("out of memory") }
        var storage = storage
        let status = uv_tcp_connect(
            request, tcp, kraft_uv_sockaddr(&storage), connectionConnected)
        guard status != 0 else { return }
        kraft_uv_request_free(request)
        terminate(status)
    }

    func connected(_ status: Int32) {
        guard state == .connecting else { return }
        loop.openTurn()
        guard status == 0 else { return terminate(status) }
        startReading()
        if state == .open { delegate?.connected(self) }
    }

    /// Becomes the next connection of a listener.
    func take(from listener: UnsafeMutablePointer<uv_tcp_t>) -> Bool {
        uv_accept(kraft_uv_stream(listener), kraft_uv_stream(tcp)) == 0
    }

    func open(_ delegate: any TCPConnectionDelegate, whenClosed: @escaping () -> Void) {
        self.delegate = delegate
        self.whenClosed = whenClosed
        startReading()
    }

    private func startReading() {
        state = .open
        uv_tcp_nodelay(tcp, 1)
        let status = uv_read_start(kraft_uv_stream(tcp), connectionAllocates, connectionRead)
        if status != 0 { terminate(status) }
    }

    // MARK: Reading

    var readBuffer: UnsafeMutableRawBufferPointer { loop.readBuffer }

    @inline(__always)
    func read(_ count: Int, _ base: UnsafeRawPointer?) {
        loop.openTurn()
        if count > 0 {
            // What comes while draining is thrown away: it is read only so that the peer's end of
            // the stream is seen, and so that closing doesn't reset what it has yet to read.
            guard state == .open else { return }
            delegate?.received(self, UnsafeRawBufferPointer(start: base, count: count))
        } else if count < 0 {
            terminate(Int32(count))
        }
    }

    // MARK: Writing

    /// Puts bytes behind all that were given before; they leave with `flush`. `owner` keeps them and
    /// is named by `wrote` when the last of them has left. Dropped when the connection isn't open.
    package func enqueue(_ bytes: UnsafeRawBufferPointer, owner: AnyObject) {
        guard state == .open, bytes.count > 0 else { return }
        outbox.append((bytes, owner))
        queuedBytes += bytes.count
    }

    /// Sends what was enqueued: with one call to the kernel as much as it takes, the rest later.
    package func flush() {
        loop.preconditionOnLoop()
        guard state == .open, !outbox.isEmpty else { return }
        var pieces: [Piece] = []
        swap(&pieces, &outbox)
        var left = pendingWrites == 0 ? writeNow(pieces) : 0
        guard left >= 0 else { return terminate(Int32(left)) }
        for piece in pieces {
            guard state == .open else { return }
            if left >= piece.bytes.count {
                left -= piece.bytes.count
                queuedBytes -= piece.bytes.count
                delegate?.wrote(self, piece.owner)
            } else {
                queuedBytes -= left
                queue(UnsafeRawBufferPointer(rebasing: piece.bytes[left...]), piece.owner)
                left = 0
            }
        }
        // Keeps its memory for the next turn, unless somebody wrote from inside `wrote`.
        pieces.removeAll(keepingCapacity: true)
        if outbox.isEmpty { swap(&pieces, &outbox) }
    }

    /// `enqueue` and `flush`.
    package func write(_ bytes: UnsafeRawBufferPointer, owner: AnyObject) {
        enqueue(bytes, owner: owner)
        flush()
    }

    /// How many bytes the kernel took, or a negative error.
    private func writeNow(_ pieces: [Piece]) -> Int {
        let count = min(pieces.count, TCPConnection.gatherLimit)
        let status = withUnsafeTemporaryAllocation(of: uv_buf_t.self, capacity: count) { buffers in
            for place in 0..<count {
                buffers.initializeElement(at: place, to: buffer(pieces[place].bytes))
            }
            return uv_try_write(kraft_uv_stream(tcp), buffers.baseAddress, UInt32(count))
        }
        return status == LoopError.again ? 0 : Int(status)
    }

    private func queue(_ bytes: UnsafeRawBufferPointer, _ owner: AnyObject) {
        let write = PendingWrite(self, owner, bytes.count)
        guard let request = kraft_uv_write_new(Unmanaged.passRetained(write).toOpaque())
        else { preconditionFailure("out of memory") }
        var buffer = buffer(bytes)
        let status = uv_write(request, kraft_uv_stream(tcp), &buffer, 1, connectionWrote)
        guard status == 0 else {
            Unmanaged.passUnretained(write).release()
            kraft_uv_request_free(request)
            return terminate(status)
        }
        pendingWrites += 1
    }

    /// libuv never writes through it, though its type could.
    private func buffer(_ bytes: UnsafeRawBufferPointer) -> uv_buf_t {
        let base = UnsafeMutableRawPointer(mutating: bytes.baseAddress)
        return uv_buf_t(base: base?.assumingMemoryBound(to: CChar.self), len: bytes.count)
    }

    func wrote(_ byteCount: Int, _ owner: AnyObject, _ status: Int32) {
        pendingWrites -= 1
        queuedBytes -= byteCount
        guard state == .open || state == .draining else { return }
        loop.openTurn()
        guard status == 0 else { return terminate(status) }
        if state == .open { delegate?.wrote(self, owner) }
    }

    // MARK: Closing

    /// Ends the stream when all that was written has left, or after two seconds. The delegate hears
    /// nothing more. Doing it twice is harmless.
    package func close() {
        loop.preconditionOnLoop()
        delegate = nil
        flush()
        guard state == .open else { return closeNow() }
        state = .draining
        let context = Unmanaged.passUnretained(self).toOpaque()
        var status: Int32 = 0
        guard let patience = kraft_uv_timer_new(loop.uv, context, &status),
            let request = kraft_uv_shutdown_new(context)
        else { preconditionFailure("out of memory") }
        self.patience = patience
        uv_timer_start(
            patience, connectionLostPatience, TCPConnection.closePatienceMilliseconds, 0)
        status = uv_shutdown(request, kraft_uv_stream(tcp), connectionShutDown)
        guard status != 0 else { return }
        kraft_uv_request_free(request)
        closeNow()
    }

    func closeNow() {
        delegate = nil
        terminate(LoopError.endOfStream)
    }

    /// Closes the handle; the delegate, if it is still there, hears of it when that is done.
    func terminate(_ status: Int32) {
        guard state != .closed else { return }
        state = .closed
        error.code = status
        outbox = []
        if let patience {
            uv_close(kraft_uv_handle(patience), freeHandle)
            self.patience = nil
        }
        uv_close(kraft_uv_handle(tcp), connectionClosed)
    }

    func handleClosed() {
        loop.openTurn()
        whenClosed?()
        whenClosed = nil
        let delegate = delegate
        self.delegate = nil
        delegate?.closed(self, error)
        loop.release(self)
    }
}
