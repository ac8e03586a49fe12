import CKraftUV

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension EventLoop {
    /// How many threads libuv's pool, the process's one, is to have. Holds unless the environment says
    /// something else, or the pool has been used already.
    package static func wantPool(threadCount: Int) {
        setenv("UV_THREADPOOL_SIZE", "\(threadCount)", 0)
    }

    /// Runs `body` on libuv's thread pool, then `then` on the loop with what it made. `stop` waits
    /// for work under way. Loop-confined; one allocation a piece of work.
    package func work<Result: Sendable>(
        _ body: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void
    ) {
        preconditionOnLoop()
        let work = TypedWork(self, body, then)
        guard let request = kraft_uv_work_new(Unmanaged.passRetained(work as PoolWork).toOpaque())
        else { preconditionFailure("out of memory") }
        let status = uv_queue_work(uv, request, workRuns, workDone)
        precondition(status == 0, "libuv refuses work only without a callback")
    }
}

private class PoolWork {
    func run() { preconditionFailure("abstract") }
    func done() { preconditionFailure("abstract") }
}

/// The pool writes `result`, the loop reads it: libuv's own queue lies between.
private final class TypedWork<Result: Sendable>: PoolWork {
    private let loop: EventLoop
    private let body: @Sendable () -> Result
    private let then: (Result) -> Void
    private var result: Result?

    init(
        _ loop: EventLoop, _ body: @escaping @Sendable () -> Result,
        _ then: @escaping (Result) -> Void
    ) {
        (self.loop, self.body, self.then) = (loop, body, then)
    }

    override func run() { result = body() }

    override func done() {
        loop.openTurn()
        guard let result else { preconditionFailure("work was done before it ran") }
        then(result)
    }
}

private func workRuns(_ request: UnsafeMutablePointer<uv_work_t>?) {
    guard let context = request?.pointee.data else { return }
    Unmanaged<PoolWork>.fromOpaque(context).takeUnretainedValue().run()
}

private func workDone(_ request: UnsafeMutablePointer<uv_work_t>?, _ status: Int32) {
    guard let request, let context = request.pointee.data else { return }
    let work = Unmanaged<PoolWork>.fromOpaque(context).takeRetainedValue()
    kraft_uv_request_free(request)
    work.done()
}
