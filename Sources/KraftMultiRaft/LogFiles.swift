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
    private var isGivingUp = false

    /// A segment in the making.
    private struct Preparing {
        let file: FilePreparation
        let sizeBytes: Int
        let isUrgent: Bool
        let then: (LoopError?) -> Void
        var pace: PreparationPace
        var isResting = false
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
            file: directory.preparation(of: segment), sizeBytes: segment.sizeBytes,
            isUrgent: segment.isUrgent, then: then,
            pace: PreparationPace(begunAt: loop.now, loggedBefore: loggedBytes))
        goOnPreparing(
            segment.isUrgent ? segment.sizeBytes : PreparationPace.leastSliceBytes)
    }

    private func goOnPreparing(_ count: Int) {
        guard let file = preparing?.file else { return }
        preparing?.isResting = false
        preparing?.pace.zeroedBytes += count
        loop.work { () -> Result<Bool, LoopError> in
            Result { () throws(LoopError) in try file.goOn(count) }
        } then: { [self] result in
            switch result {
            // `wake`, at the turn's end, says when it goes on.
            case .success(false): preparing?.isResting = true
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
        return preparing.pace.due(logged: loggedBytes)
    }

    /// Has that go on whose time has come. Once a turn, when the engine has had its say.
    ///
    /// - `isAwaited`: writes wait for the segment that is prepared.
    func wake(isAwaited: Bool) {
        guard let preparing, preparing.isResting else { return }
        if isAwaited || preparing.isUrgent { return goOnPreparing(preparing.sizeBytes) }
        if isGivingUp {
            // What there is of it is removed at the next start.
            self.preparing = nil
            pendingCount -= 1
        } else if loop.now >= preparing.pace.due(logged: loggedBytes) {
            goOnPreparing(preparing.pace.slice(logged: loggedBytes))
        }
    }

    /// The node shuts down: a segment that nobody waits for isn't made any more.
    func giveUp() { isGivingUp = true }

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
