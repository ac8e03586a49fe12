import CKraftUV

// C callbacks: free functions, so that no isolation is checked on the way in.

/// What one `uv_write` keeps alive. Made only when the socket didn't take all at once.
final class PendingWrite {
    let connection: TCPConnection
    let owner: AnyObject
    let byteCount: Int

    init(_ connection: TCPConnection, _ owner: AnyObject, _ byteCount: Int) {
        (self.connection, self.owner, self.byteCount) = (connection, owner, byteCount)
    }
}

/// A question to the resolver, which can't be withdrawn once it runs: it outlives a close.
final class ResolverQuery {
    let connection: TCPConnection
    let port: UInt16
    init(_ connection: TCPConnection, port: UInt16) {
        (self.connection, self.port) = (connection, port)
    }
}

private func connection(_ context: UnsafeMutableRawPointer?) -> TCPConnection {
    guard let context else { preconditionFailure("a callback without its context") }
    return Unmanaged<TCPConnection>.fromOpaque(context).takeUnretainedValue()
}

func connectionResolved(
    _ request: UnsafeMutablePointer<uv_getaddrinfo_t>?, _ status: Int32,
    _ answer: UnsafeMutablePointer<addrinfo>?
) {
    guard let request, let context = request.pointee.data else { return }
    let query = Unmanaged<ResolverQuery>.fromOpaque(context).takeRetainedValue()
    var storage = sockaddr_storage()
    let found =
        status == 0 ? kraft_uv_address_resolved(answer, query.port, &storage) : status
    uv_freeaddrinfo(answer)
    kraft_uv_request_free(request)
    query.connection.resolved(found, storage)
}

func connectionConnected(
    _ request: UnsafeMutablePointer<uv_connect_t>?, _ status: Int32
) {
    guard let request else { return }
    let connection = connection(request.pointee.data)
    kraft_uv_request_free(request)
    connection.connected(status)
}

func connectionAllocates(
    _ handle: UnsafeMutablePointer<uv_handle_t>?, _ size: Int,
    _ buffer: UnsafeMutablePointer<uv_buf_t>?
) {
    let memory = connection(handle?.pointee.data).readBuffer
    buffer?.pointee = uv_buf_t(
        base: memory.baseAddress?.assumingMemoryBound(to: CChar.self), len: memory.count)
}

func connectionRead(
    _ stream: UnsafeMutablePointer<uv_stream_t>?, _ count: Int,
    _ buffer: UnsafePointer<uv_buf_t>?
) {
    connection(stream?.pointee.data).read(count, buffer?.pointee.base.map { UnsafeRawPointer($0) })
}

func connectionWrote(_ request: UnsafeMutablePointer<uv_write_t>?, _ status: Int32) {
    guard let request, let context = request.pointee.data else { return }
    let write = Unmanaged<PendingWrite>.fromOpaque(context).takeRetainedValue()
    kraft_uv_request_free(request)
    write.connection.wrote(write.byteCount, write.owner, status)
}

func connectionShutDown(
    _ request: UnsafeMutablePointer<uv_shutdown_t>?, _ status: Int32
) {
    // On success the peer's end of the stream, or the timer, ends it. After a close the callback
    // comes before the handle's, so the connection is still there.
    guard let request else { return }
    let connection = connection(request.pointee.data)
    kraft_uv_request_free(request)
    if status != 0 { connection.terminate(status) }
}

func connectionLostPatience(_ timer: UnsafeMutablePointer<uv_timer_t>?) {
    connection(timer?.pointee.data).closeNow()
}

func connectionClosed(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    let connection = connection(handle?.pointee.data)
    freeHandle(handle)
    connection.handleClosed()
}
