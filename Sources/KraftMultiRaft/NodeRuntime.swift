import KraftLoop
import Logging

/// What one adapter of a running node consists of.
final class NodeRuntime: Sendable {
    /// Nil is the shared one.
    let adapter: String?
    let configuration: KraftConfiguration
    let loop: EventLoop
    let driver: NodeDriver
    let queue: SubmissionQueue
    let registry: GroupRegistry
    let boundAddress: String
    let bootID: UInt64
    let executor: LoopExecutor
    private let lock: FolderLock

    private init(
        _ configuration: KraftConfiguration, _ driver: NodeDriver, boundAddress: String,
        bootID: UInt64, lock: FolderLock
    ) {
        (self.configuration, self.driver) = (configuration, driver)
        (self.boundAddress, self.bootID, self.lock) = (boundAddress, bootID, lock)
        (adapter, loop) = (driver.adapter, driver.loop)
        (queue, registry) = (driver.queue, driver.registry)
        executor = LoopExecutor(driver.loop)
    }

    /// Starts a loop, and the adapter on it.
    static func start(
        _ configuration: KraftConfiguration, adapter: String?,
        place: (GroupPlaces, Int)?, hub: EventHub, whenFenced: @escaping @Sendable () -> Void
    ) async throws(KraftError) -> NodeRuntime {
        let loop: EventLoop
        do throws(LoopError) {
            loop = try EventLoop()
            try loop.start()
        } catch {
            throw KraftError(.unavailable, error.description)
        }
        let result = await withUnsafeContinuation { continuation in
            loop.execute {
                continuation.resume(
                    returning: Result { () throws(KraftError) in
                        try NodeRuntime.boot(
                            configuration, adapter: adapter, place: place, loop: loop, hub: hub,
                            whenFenced: whenFenced)
                    })
            }
        }
        if case .failure = result {
            loop.stop()
            loop.join()
        }
        return try result.get()
    }

    /// Locks the folder, recovers, listens. On the loop's thread, which it blocks: nothing else runs
    /// there yet.
    private static func boot(
        _ configuration: KraftConfiguration, adapter: String?, place: (GroupPlaces, Int)?,
        loop: EventLoop, hub: EventHub, whenFenced: @escaping @Sendable () -> Void
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
            // The logs of all adapters share it.
            settings.log = settings.log.fitted(
                diskSizeBytes: size / (place?.0.count ?? 1),
                commandSizeBytes: settings.limits.commandSizeBytes)
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
            queue: queue, hub: hub, adapter: adapter, place: place, logger: logger,
            node: configuration.node, machines: configuration.machines, whenFenced: whenFenced)
        driver.claimRecovered()
        let address = try transport.start(
            listen: configuration.listen, loop: loop, delegate: driver)
        loop.delegate = driver
        loop.requestTurn()
        logger.info(
            "node started",
            metadata: ["listen": "\(address)", "cluster": "\(configuration.clusterID)"])
        return NodeRuntime(
            configuration, driver, boundAddress: address, bootID: bootID, lock: lock)
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

    /// Hands a call to the loop, and waits until `body` or what comes of it has ended it.
    func result<Value: Sendable, Waiting: WaitingCall<Result<Value, KraftError>>>(
        of call: Waiting, _ body: @escaping @Sendable (NodeDriver, Waiting) -> Void
    ) async throws(KraftError) -> Value {
        try await call.value {
            let isTaken = loop.execute { [driver] in body(driver, call) }
            return isTaken ? nil : .notRunning(call.group)
        }.get()
    }
}
