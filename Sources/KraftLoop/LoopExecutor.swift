/// Runs tasks on a loop's thread: a caller there is resumed without a change of threads.
///
/// When the loop has ended, its tasks go on on the global executor.
package final class LoopExecutor: TaskExecutor {
    private let loop: EventLoop

    package init(_ loop: EventLoop) { self.loop = loop }

    package func enqueue(_ job: consuming ExecutorJob) {
        let task = LoopTask(job: UnownedJob(job), executor: asUnownedTaskExecutor())
        if !loop.enqueue(task) { task.runElsewhere() }
    }
}

/// A piece of a task that may run.
struct LoopTask {
    var job: UnownedJob
    var executor: UnownedTaskExecutor

    func run() { job.runSynchronously(on: executor) }
    func runElsewhere() { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
}
