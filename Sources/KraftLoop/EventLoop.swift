import CKraftUV
import Synchronization

/// Gets what belongs to no connection. Called on the loop.
package protocol EventLoopDelegate: AnyObject {
    /// The time given to `armTimer` has come.
    func loopTimerFired()
    /// Once after all callbacks of a turn in which something happened.
    func loopTurnEnds()
}

/// One thread that owns one libuv loop.
///
/// What is marked as loop-confined may be used only on that thread (and before `start`).
///
/// `@unchecked Sendable`: the state that other threads touch lies behind `inbox`'s mutex; the rest
/// is loop-confined.
package final class EventLoop: @unchecked Sendable {
    package typealias Job = @Sendable () -> Void

    /// What other threads leave for the loop.
    private struct Inbox {
        var jobs: [Job] = []
        var tasks: [LoopTask] = []
        /// A wake-up is on its way; no second one is needed until the loop has looked.
        var isWoken = false
        /// The async handle is being closed: it may not be touched any more.
        var isClosed = false
    }

    let uv: UnsafeMutablePointer<uv_loop_t>
    private let async: UnsafeMutablePointer<uv_async_t>
    private let timer: UnsafeMutablePointer<uv_timer_t>
    private let prepare: UnsafeMutablePointer<uv_prepare_t>
    private let check: UnsafeMutablePointer<uv_check_t>
    private let inbox = Mutex(Inbox())

    private var thread = uv_thread_t()
    /// Holds the thread back until `thread` says which one it is.
    private let startGate = UnsafeMutablePointer<uv_sem_t>.allocate(capacity: 1)
    private var isStarted = false
    private var isStopping = false
    /// The other half of the double buffer of jobs.
    private var spareJobs: [Job] = []
    /// Tasks that may run in this turn, and the other half of their double buffer.
    private var tasks: [LoopTask] = []
    private var spareTasks: [LoopTask] = []
    /// For when `armTimer` was last obeyed; `.max` while nothing is armed.
    private var armedFor = UInt64.max
    private var turnIsOpen = false
    private var wantsAnotherTurn = false
    private var turnTime: UInt64 = 0
    private var atExit: [Job] = []
    /// Keeps what has an open handle alive, and lets `stop` close it.
    private var resources: [ObjectIdentifier: any LoopResource] = [:]

    /// Shared by all connections: a read is handed on before the next one is made.
    let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)

    /// Loop-confined. Not retained by a weak reference, which would make each retain dearer; cleared
    /// when the loop stops.
    package var delegate: (any EventLoopDelegate)?

    package init() throws(LoopError) {
        var status: Int32 = 0
        guard let uv = kraft_uv_loop_new(&status) else {
            throw LoopError(status, "make an event loop")
        }
        // Of these only the async handle can fail (no file descriptor left); without it the loop is
        // useless, and it has nothing else to close.
        guard let async = kraft_uv_async_new(uv, loopWoken, uv, &status) else {
            _ = kraft_uv_loop_free(uv)
            throw LoopError(status, "make an event loop's wake-up")
        }
        guard
            let timer = kraft_uv_timer_new(uv, uv, &status),
            let prepare = kraft_uv_prepare_new(uv, uv, &status),
            let check = kraft_uv_check_new(uv, uv, &status)
        else { fatalError("out of memory") }
        (self.uv, self.async, self.timer) = (uv, async, timer)
        (self.prepare, self.check) = (prepare, check)
        let context = Unmanaged.passUnretained(self).toOpaque()
        async.pointee.data = context
        timer.pointee.data = context
        prepare.pointee.data = context
        check.pointee.data = context
        uv_sem_init(startGate, 0)
        uv_prepare_start(prepare, loopPrepared)
        uv_check_start(check, loopChecked)
    }

    deinit {
        precondition(!isStarted || isStopping, "an event loop was let go while it ran")
        if !isStarted {
            closeOwnHandles()
            uv_run(uv, UV_RUN_DEFAULT)
            _ = kraft_uv_loop_free(uv)
        }
        readBuffer.deallocate()
        uv_sem_destroy(startGate)
        startGate.deallocate()
    }

    // MARK: Life

    /// Starts the thread. Once.
    package func start() throws(LoopError) {
        precondition(!isStarted, "an event loop is started once")
        isStarted = true
        let context = Unmanaged.passRetained(self)
        var id = uv_thread_t()
        let status = uv_thread_create(&id, loopThread, context.toOpaque())
        guard status == 0 else {
            context.release()
            isStarted = false
            throw LoopError(status, "start a thread")
        }
        thread = id
        uv_sem_post(startGate)
    }

    /// Closes everything on the loop and ends its thread when work under way is done; `then` runs
    /// last of all on that thread. Doing it twice is harmless while the first is under way.
    package func stop(then: @escaping Job = {}) {
        execute { [self] in
            atExit.append(then)
            guard !isStopping else { return }
            isStopping = true
            delegate = nil
            for resource in Array(resources.values) { resource.closeNow() }
            closeOwnHandles()
        }
    }

    /// Waits for the thread's end. Not on the loop, and once.
    package func join() {
        precondition(!isOnLoop, "an event loop can't wait for itself")
        var id = thread
        uv_thread_join(&id)
    }

    private func closeOwnHandles() {
        // Whoever holds the mutex with `isClosed` unset may still send; nobody after that.
        inbox.withLock { $0.isClosed = true }
        for handle in [
            kraft_uv_handle(async), kraft_uv_handle(timer), kraft_uv_handle(prepare),
            kraft_uv_handle(check),
        ] { uv_close(handle, freeHandle) }
    }

    fileprivate func runThread() {
        kraft_block_sigpipe()
        uv_sem_wait(startGate)
        uv_run(uv, UV_RUN_DEFAULT)
        precondition(isStopping, "an event loop ran out of handles before it was stopped")
        let status = kraft_uv_loop_free(uv)
        precondition(status == 0, "an event loop was left with an open handle")
        // Jobs that came between the last look and the closing of the inbox.
        runJobs()
        for task in tasks { task.runElsewhere() }
        tasks = []
        for job in atExit { job() }
        atExit = []
    }

    package var isOnLoop: Bool {
        var (mine, other) = (thread, uv_thread_self())
        return uv_thread_equal(&mine, &other) != 0
    }

    package func preconditionOnLoop() {
        precondition(isOnLoop || !isStarted, "must be called on the loop")
    }

    // MARK: Jobs from other threads

    /// Runs `job` on the loop, soon and in order. From any thread. False, and the job is dropped,
    /// after `stop`; a job that was taken will run.
    @discardableResult
    package func execute(_ job: @escaping Job) -> Bool {
        inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            inbox.jobs.append(job)
            wake(&inbox)
            return true
        }
    }

    /// Runs a task's next piece on the loop, soon. From any thread. False, and nothing happens,
    /// when the loop ends.
    func enqueue(_ task: LoopTask) -> Bool {
        if isOnLoop {
            guard !isStopping else { return false }
            tasks.append(task)
            requestTurn()
            return true
        }
        return inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            inbox.tasks.append(task)
            wake(&inbox)
            return true
        }
    }

    /// Makes the loop end a turn soon. From any thread.
    package func wake() {
        if isOnLoop { requestTurn() } else { inbox.withLock { wake(&$0) } }
    }

    /// The handle is sent to under the mutex, so that it can't be closed meanwhile.
    private func wake(_ inbox: inout Inbox) {
        guard !inbox.isClosed, !inbox.isWoken else { return }
        inbox.isWoken = true
        uv_async_send(async)
    }

    fileprivate func runJobs() {
        openTurn()
        inbox.withLock { inbox in
            swap(&inbox.jobs, &spareJobs)
            if !inbox.tasks.isEmpty {
                tasks += inbox.tasks
                inbox.tasks.removeAll(keepingCapacity: true)
            }
            inbox.isWoken = false
        }
        for job in spareJobs { job() }
        spareJobs.removeAll(keepingCapacity: spareJobs.count < 4_096)
    }

    // MARK: Time and turns

    /// Nanoseconds on the monotonic clock, from any thread.
    @inline(__always) package static var clock: UInt64 { uv_hrtime() }

    /// The time at which the current turn's first callback came; loop-confined.
    package var now: UInt64 { turnIsOpen ? turnTime : EventLoop.clock }

    /// Has `loopTimerFired` called at `deadline` (as `clock`), at most about a millisecond late.
    /// Only the earliest deadline since the timer last fired counts; arming a later one is free.
    package func armTimer(at deadline: UInt64) {
        guard deadline < armedFor, !isStopping else { return }
        armedFor = deadline
        // libuv counts in whole milliseconds of the same clock; rounded up, never early.
        let due = deadline / 1_000_000 + (deadline % 1_000_000 == 0 ? 0 : 1)
        let loopTime = uv_now(uv)
        uv_timer_start(timer, loopTimerCame, due > loopTime ? due - loopTime : 0, 0)
    }

    fileprivate func timerCame() {
        armedFor = .max
        openTurn()
        delegate?.loopTimerFired()
    }

    /// Says that something happens; every callback does so first.
    @inline(__always)
    func openTurn() {
        guard !turnIsOpen else { return }
        turnIsOpen = true
        turnTime = EventLoop.clock
    }

    /// Has one more turn end before the loop waits again: for a driver that left work undone.
    package func requestTurn() {
        wantsAnotherTurn = true
        openTurn()
    }

    @inline(__always)
    fileprivate func endTurn() {
        guard turnIsOpen, !isStopping else { return }
        wantsAnotherTurn = false
        if !tasks.isEmpty { runTasks() }
        delegate?.loopTurnEnds()
        turnIsOpen = false
    }

    /// Those that come meanwhile wait for the next turn, so that the loop's own events get theirs.
    private func runTasks() {
        swap(&tasks, &spareTasks)
        for task in spareTasks { task.run() }
        spareTasks.removeAll(keepingCapacity: true)
    }

    /// Before the loop waits: timers and closed handles may have opened a turn since the check.
    fileprivate func prepared() {
        endTurn()
        if wantsAnotherTurn { inbox.withLock { wake(&$0) } }
    }

    fileprivate func checked() {
        endTurn()
        if wantsAnotherTurn { openTurn() }
    }

    // MARK: What has handles

    func adopt(_ resource: some LoopResource) { resources[ObjectIdentifier(resource)] = resource }
    func release(_ resource: some LoopResource) {
        resources.removeValue(forKey: ObjectIdentifier(resource))
    }
    package var isStopped: Bool { isStopping }
}

/// Something with an open handle.
protocol LoopResource: AnyObject {
    /// Closes without waiting for anything.
    func closeNow()
}

// MARK: C callbacks: free functions, so that no isolation is checked on the way in

private func loop(_ context: UnsafeMutableRawPointer?) -> EventLoop {
    guard let context else { preconditionFailure("a callback without its context") }
    return Unmanaged<EventLoop>.fromOpaque(context).takeUnretainedValue()
}

private func loopThread(_ context: UnsafeMutableRawPointer?) {
    guard let context else { preconditionFailure("a thread without its context") }
    Unmanaged<EventLoop>.fromOpaque(context).takeRetainedValue().runThread()
}

private func loopWoken(_ handle: UnsafeMutablePointer<uv_async_t>?) {
    loop(handle?.pointee.data).runJobs()
}

private func loopTimerCame(_ handle: UnsafeMutablePointer<uv_timer_t>?) {
    loop(handle?.pointee.data).timerCame()
}

private func loopPrepared(_ handle: UnsafeMutablePointer<uv_prepare_t>?) {
    loop(handle?.pointee.data).prepared()
}

private func loopChecked(_ handle: UnsafeMutablePointer<uv_check_t>?) {
    loop(handle?.pointee.data).checked()
}

func freeHandle(_ handle: UnsafeMutablePointer<uv_handle_t>?) {
    guard let handle else { return }
    kraft_uv_handle_free(handle)
}
