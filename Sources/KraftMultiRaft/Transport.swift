/// Carries byte streams between nodes. The default is TCP; another may be set in
/// `KraftConfiguration.makeTransport`.
///
/// Belongs to the node's loop: all calls come on it, and the delegate may only be called on it
/// (`TransportLoop.schedule` gets there from anywhere). What the bytes mean is the engine's business.
public protocol Transport: AnyObject {
    /// Listens on `address` and says where; called once, first. Throws `configuration`.
    func start(
        listen address: String, loop: any TransportLoop, delegate: any TransportDelegate
    ) throws(KraftError) -> String

    /// Dials; answered by `connected` or `closed`, never from inside the call.
    func connect(_ connection: ConnectionID, to address: String)

    /// Queues the whole block behind what was sent before; it leaves with `flush` at the latest.
    /// Answered by one `sent` when all of it has left; then the block isn't the transport's any more.
    func send(_ block: Block, on connection: ConnectionID)

    /// The turn's blocks are all there: let them leave. `sent` may be called from inside.
    func flush()

    /// Closes when everything sent before has left, or after a bounded time. No event follows.
    func close(_ connection: ConnectionID)

    /// Closes everything. No event follows.
    func stop()
}

/// What a transport reports. To be called on the loop only.
public protocol TransportDelegate: AnyObject {
    /// A connection came in: what it is called, or nil to close it at once.
    func transportAccepted() -> ConnectionID?
    func transportConnected(_ connection: ConnectionID)
    /// Bytes of the stream, valid during the call.
    func transportReceived(_ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer)
    /// A whole block has left; in order, each once.
    func transportSent(_ connection: ConnectionID, byteCount: Int)
    /// The connection ended or could not be made. Not for those closed by `close`.
    func transportClosed(_ connection: ConnectionID)
}

/// The loop that a transport lives on.
public protocol TransportLoop: AnyObject, Sendable {
    /// Runs `job` on the loop, soon. From any thread.
    func schedule(_ job: @escaping @Sendable () -> Void)
}
