import KraftLoop
import Logging

/// What a running node consists of.
final class NodeRuntime: Sendable {
    let loop: EventLoop
    let driver: NodeDriver
    let queue: SubmissionQueue
    let boundAddress: String
    let bootID: UInt64
    let executor: LoopExecutor
    private let lock: FolderLock

    private init(
        loop: EventLoop, driver: NodeDriver, queue: SubmissionQueue, boundAddress: String,
        bootID: UInt64, lock: FolderLock
    ) {
        (self.loop, self.driver, self.queue) = (loop, driver, queue)
        (self.boundAddress, self.bootID, self.lock) = (boundAddress, bootID, lock)
        executor = LoopExecutor(loop)
    }

    /// Locks the folder, recovers, listens. On the loop's thread, which it blocks: nothing else runs
    /// there yet.
    static func boot(
        _ configuration: KraftConfiguration, loop: EventLoop, hub: EventHub,
        registry: GroupRegistry, whenFenced: @escaping @Sendable () -> Void
    ) throws(KraftError) -> NodeRuntime {
        var logger = configuration.logger
        logger[metadataKey: "node"] = "\(configuration.node)"
        let lock = try lockFolder(configuration)
        let folder = Folder(configuration.dataDirectory)
        var directory = try FileLogDirectory(dataFolder: folder)
        var dice = SystemRandomNumberGenerator()
        let bootID = UInt64.random(in: 1...(.max), using: &dice)
        var settings = configuration.engine
        if let size = folder.fileSystemSizeBytes {
            settings.log = settings.log.fitted(
                diskSizeBytes: size, commandSizeBytes: settings.limits.commandSizeBytes)
        }
        let engine = try Engine(
            settings, directory: &directory, boot: bootID, seed: dice.next(),
            now: Instant(nanoseconds: EventLoop.clock), wire: configuration.wireFormat)
        let transport =
            configuration.makeTransport?()
            ?? TCPTransport(inboundLimit: configuration.inboundConnectionLimit)
        let queue = SubmissionQueue(
            loop, requestLimit: configuration.submissionLimit,
            sizeLimitBytes: configuration.submissionSizeLimitBytes)
        let driver = NodeDriver(
            engine: engine, loop: loop, transport: transport, files: LogFiles(loop, directory),
            snapshots: FileSnapshots(
                loop, directory.snapshots,
                bytesPerSecond: configuration.snapshotWriteBytesPerSecond),
            queue: queue, hub: hub, registry: registry, logger: logger, node: configuration.node,
            machines: configuration.machines, whenFenced: whenFenced)
        let address = try transport.start(
            listen: configuration.listen, loop: loop, delegate: driver)
        loop.delegate = driver
        loop.requestTurn()
        logger.info(
            "node started",
            metadata: ["listen": "\(address)", "cluster": "\(configuration.clusterID)"])
        return NodeRuntime(
            loop: loop, driver: driver, queue: queue, boundAddress: address, bootID: bootID,
            lock: lock)
    }

    private static func lockFolder(
        _ configuration: KraftConfiguration
    ) throws(KraftError) -> FolderLock {
        let folder = Folder(configuration.dataDirectory)
        do throws(LoopError) {
            try folder.make()
            if let lock = try FolderLock.take(folder) { return lock }
        } catch {
            throw KraftError(storage: error)
        }
        throw KraftError(
            .conflict, "data folder \(configuration.dataDirectory) is in use by another process")
    }

    /// Answers with what `body` returned on the loop; nil when the loop has ended.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (NodeDriver) -> Value
    ) async -> Value? {
        await withUnsafeContinuation { continuation in
            let isTaken = loop.execute { [driver] in continuation.resume(returning: body(driver)) }
            if !isTaken { continuation.resume(returning: nil) }
        }
    }
}
