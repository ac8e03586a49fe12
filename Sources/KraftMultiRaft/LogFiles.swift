import KraftLoop

/// Carries out the engine's log effects on the loop's thread pool. Loop-confined.
final class LogFiles {
    /// Segment files kept open.
    private static let openLimit = 8

    private let loop: EventLoop
    private let directory: FileLogDirectory
    /// Segments that were used last, the latest at the end.
    private var open: [(number: UInt64, file: DurableFile)] = []
    /// Work that has not come back.
    private(set) var pendingCount = 0
    private var preparing: Preparing?
    private var loggedBytes = 0
    /// Nothing rests any more: the node shuts down.
    private var isInHurry = false

    /// A segment in the making. It is filled with zeros at twice the pace at which the log fills
    /// the one before it, or a little: in one go it would keep the log's own writes from the disk
    /// for tens of milliseconds.
    private struct Preparing {
        static let sliceSizeBytes = 256 << 10
        static let leastBytesPerSecond = 32 << 20

        let file: FilePreparation
        let isUrgent: Bool
        let begunAt: UInt64
        let loggedBefore: Int
        let then: (LoopError?) -> Void
        var zeroedBytes = 0
        var isResting = false

        /// When the next slice is due.
        func due(logged: Int) -> UInt64 {
            let ahead = zeroedBytes - 2 * (logged - loggedBefore)
            guard ahead > 0 else { return begunAt }
            return begunAt + UInt64(ahead) * 1_000_000_000 / UInt64(Preparing.leastBytesPerSecond)
        }
    }

    init(_ loop: EventLoop, _ directory: FileLogDirectory) {
        (self.loop, self.directory) = (loop, directory)
    }

    /// Writes the pieces and syncs them.
    func write(_ write: LogWrite, then: @escaping (LoopError?) -> Void) {
        // Looked up here, as the engine goes on filling the blocks behind them.
        let memory = SharedMemory(
            pieces: write.pieces.map { $0.block.bytes($0.range) },
            owners: write.pieces.map(\.block))
        loggedBytes += write.byteCount
        run(on: write.segment) { (file) throws(LoopError) in
            try file.write(memory.pieces, at: write.offset)
        } then: { result in
            switch result {
            case .success: then(nil)
            case .failure(let error): then(error)
            }
        }
    }

    /// Reads a part of a segment.
    func read(_ read: LogRead, then: @escaping (Result<Block, LoopError>) -> Void) {
        run(on: read.segment) { (file) throws(LoopError) in
            let block = Block(capacity: read.count)
            try block.load { (buffer) throws(LoopError) in
                try file.file.read(into: buffer, at: read.offset)
            }
            return block
        } then: {
            then($0)
        }
    }

    /// Makes a segment, one at a time.
    func prepare(_ segment: SegmentPreparation, then: @escaping (LoopError?) -> Void) {
        precondition(preparing == nil, "two segments are prepared at once")
        pendingCount += 1
        open.removeAll { $0.number == segment.recycles }
        preparing = Preparing(
            file: directory.preparation(of: segment), isUrgent: segment.isUrgent,
            begunAt: loop.now, loggedBefore: loggedBytes, then: then)
        goOnPreparing()
    }

    private func goOnPreparing() {
        guard let file = preparing?.file else { return }
        preparing?.isResting = false
        loop.work { () -> Result<Bool, LoopError> in
            Result { () throws(LoopError) in try file.goOn(Preparing.sliceSizeBytes) }
        } then: { [self] result in
            preparing?.zeroedBytes += Preparing.sliceSizeBytes
            switch result {
            case .success(false):
                preparing?.isResting = true
                wake()
            case .success(true): endPreparing(nil)
            case .failure(let error): endPreparing(error)
            }
        }
    }

    private func endPreparing(_ error: LoopError?) {
        let then = preparing?.then
        preparing = nil
        pendingCount -= 1
        then?(error)
    }

    /// When `wake` is to be called; nil: not at all.
    var nextWakeUp: UInt64? {
        guard let preparing, preparing.isResting else { return nil }
        return preparing.due(logged: loggedBytes)
    }

    /// Has that go on whose time has come. Once a turn.
    func wake() {
        guard let preparing, preparing.isResting else { return }
        let mayRest = !preparing.isUrgent && !isInHurry
        guard !mayRest || loop.now >= preparing.due(logged: loggedBytes) else { return }
        goOnPreparing()
    }

    /// The node shuts down: what is under way ends as soon as the disk can.
    func hurry() {
        isInHurry = true
        wake()
    }

    /// Removes a segment's file. What can't be removed now is removed after the next start.
    func remove(_ number: UInt64) {
        pendingCount += 1
        open.removeAll { $0.number == number }
        loop.work { [directory] in
            try? directory.removeFile(number)
        } then: { [self] _ in
            pendingCount -= 1
        }
    }

    /// Runs `body` on the pool with the segment's file, which is opened there if need be.
    private func run<Value: Sendable>(
        on number: UInt64, _ body: @escaping @Sendable (DurableFile) throws(LoopError) -> Value,
        then: @escaping (Result<Value, LoopError>) -> Void
    ) {
        pendingCount += 1
        let known = open.last { $0.number == number }?.file
        let path = directory.path(of: number)
        loop.work { () -> (file: DurableFile?, result: Result<Value, LoopError>) in
            do throws(LoopError) {
                let file = if let known { known } else { try DurableFile(path) }
                return (file, .success(try body(file)))
            } catch {
                return (nil, .failure(error))
            }
        } then: { [self] outcome in
            pendingCount -= 1
            if known == nil, let file = outcome.file { keep(file, number) }
            then(outcome.result)
        }
    }

    private func keep(_ file: DurableFile, _ number: UInt64) {
        guard !open.contains(where: { $0.number == number }) else { return }
        open.append((number, file))
        if open.count > LogFiles.openLimit { open.removeFirst() }
    }
}

/// Bytes for another thread, with what keeps them alive.
///
/// `@unchecked Sendable`: bytes that the engine named for a write never change any more.
private struct SharedMemory: @unchecked Sendable {
    let pieces: [UnsafeRawBufferPointer]
    let owners: [Block]
}
