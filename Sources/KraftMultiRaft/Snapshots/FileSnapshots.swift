import KraftLoop

/// Carries out the engine's snapshot effects on the loop's thread pool. Loop-confined.
///
/// Of the pool's threads (four for each loop, unless `UV_THREADPOOL_SIZE` says otherwise) it takes at
/// most three, two of them only while machines are restored: the log's writes always find one.
final class FileSnapshots {
    typealias Failure = SnapshotFileReader.Failure

    /// Files kept open, of each kind.
    private static let openLimit = 8

    private let loop: EventLoop
    let folder: SnapshotFolder
    /// What captures may write; nil: as fast as the disk takes it.
    private let bytesPerSecond: Int?
    private let fileLane: PoolLane
    private let restoreLane: PoolLane

    private typealias Captured = (Result<UInt64, Failure>) -> Void
    private var captures: [SnapshotName: (work: CaptureWork, then: Captured)] = [:]
    /// What goes on later: captures that wait for their share of the disk, restores that could not
    /// open a file.
    private var resting: [(until: UInt64, goOn: () -> Void)] = []
    private static let retryPause: UInt64 = 500_000_000
    /// When all that captures have written so far may have been written.
    private var paidUntil: UInt64 = 0
    /// Files that are read from, and files that are being received; the latest at the end.
    private var outgoing: [(name: SnapshotName, file: File)] = []
    private var incoming: [(name: SnapshotName, file: File)] = []
    private let stop = SnapshotFileReader.Stop()

    init(_ loop: EventLoop, _ folder: SnapshotFolder, bytesPerSecond: Int? = nil) {
        (self.loop, self.folder, self.bytesPerSecond) = (loop, folder, bytesPerSecond)
        fileLane = PoolLane(loop, limit: 1)
        restoreLane = PoolLane(loop, limit: 2)
    }

    /// Work that has not come back.
    var pendingCount: Int {
        captures.count + resting.count + fileLane.pendingCount + restoreLane.pendingCount
    }

    /// The node shuts down: what is under way ends soon, and fails if it is long.
    func abandon() {
        stop.set()
        for capture in captures.values { capture.work.cancel() }
        wake(at: .max)
    }

    /// What fails from now on says nothing of the files.
    var isAbandoned: Bool { stop.isSet }

    // MARK: Captures

    /// Writes a state that was taken just now. `then` gets the size of the file.
    func capture(
        _ capture: SnapshotCapture, _ state: any StateSnapshot,
        then: @escaping (Result<UInt64, Failure>) -> Void
    ) {
        let work = CaptureWork(capture, state, folder: folder)
        if isAbandoned { work.cancel() }
        captures[capture.name] = (work, then)
        goOn(work)
    }

    private func goOn(_ work: CaptureWork) {
        fileLane.run {
            work.runSlice()
        } then: { [self] outcome in
            switch outcome {
            case .more(let byteCount): rest(work, after: byteCount)
            case .done(let byteCount): end(work, .success(byteCount))
            case .failed(let reason): end(work, .failure(Failure(description: reason)))
            }
        }
    }

    private func end(_ work: CaptureWork, _ result: Result<UInt64, Failure>) {
        captures.removeValue(forKey: work.name)?.then(result)
    }

    private func rest(_ work: CaptureWork, after byteCount: Int) {
        guard let bytesPerSecond, !isAbandoned else { return goOn(work) }
        let cost = UInt64(byteCount) * 1_000_000_000 / UInt64(max(1, bytesPerSecond))
        paidUntil = max(paidUntil, loop.now) + cost
        resting.append((paidUntil, { [self] in goOn(work) }))
    }

    /// When `wake` is to be called; nil: not at all.
    var nextWakeUp: UInt64? { resting.lazy.map(\.until).min() }

    /// Has that go on whose time has come. Once a turn.
    func wake() {
        if !resting.isEmpty { wake(at: loop.now) }
    }

    private func wake(at time: UInt64) {
        let due = resting.filter { $0.until <= time }
        resting.removeAll { $0.until <= time }
        for work in due { work.goOn() }
    }

    // MARK: Files

    func read(_ read: SnapshotRead, then: @escaping (Result<Block, LoopError>) -> Void) {
        let known = outgoing.last { $0.name == read.name }?.file
        let path = folder.path(of: read.name)
        fileLane.run { () -> Result<(File, Block), LoopError> in
            do throws(LoopError) {
                let file = if let known { known } else { try File(path, .read) }
                let block = Block(capacity: read.count)
                try block.load { (buffer) throws(LoopError) in
                    try file.read(into: buffer, at: read.offset)
                }
                return .success((file, block))
            } catch {
                return .failure(error)
            }
        } then: { [self] result in
            if known == nil, case .success(let (file, _)) = result {
                FileSnapshots.keep(file, read.name, in: &outgoing)
            }
            then(result.map { $0.1 })
        }
    }

    func write(_ write: SnapshotWrite, then: @escaping (LoopError?) -> Void) {
        let known = incoming.last { $0.name == write.name }?.file
        fileLane.run { [folder] () -> Result<File, LoopError> in
            do throws(LoopError) {
                return .success(try FileSnapshots.write(write, known, folder))
            } catch {
                return .failure(error)
            }
        } then: { [self] result in
            switch result {
            case .success(let file):
                if write.isLast {
                    FileSnapshots.forget(write.name, in: &incoming)
                } else {
                    FileSnapshots.keep(file, write.name, in: &incoming)
                }
                then(nil)
            case .failure(let error):
                remove(write.name) { _ in }
                then(error)
            }
        }
    }

    private static func write(
        _ write: SnapshotWrite, _ known: File?, _ folder: SnapshotFolder
    ) throws(LoopError) -> File {
        let file: File
        if write.offset > 0, let known {
            file = known
        } else {
            file = try File(
                folder.unfinishedPath(of: write.name), write.offset == 0 ? .create : .write)
        }
        try file.write(write.bytes, at: write.offset)
        let end = write.offset + write.bytes.count
        if write.isLast {
            try file.syncAll()
            try folder.finish(write.name)
        } else if end / CaptureWork.syncIntervalBytes
            > write.offset / CaptureWork.syncIntervalBytes
        {
            try file.syncData()
        }
        return file
    }

    /// Removes a file, finished or not; a capture into it ends. `then` gets an error if it stays.
    func remove(_ name: SnapshotName, then: @escaping (LoopError?) -> Void) {
        captures[name]?.work.cancel()
        FileSnapshots.forget(name, in: &outgoing)
        FileSnapshots.forget(name, in: &incoming)
        fileLane.run { [folder] () -> LoopError? in
            do throws(LoopError) {
                try folder.remove(name)
                return nil
            } catch {
                return error
            }
        } then: { [self] error in
            // A read that was on its way has opened it once more.
            FileSnapshots.forget(name, in: &outgoing)
            FileSnapshots.forget(name, in: &incoming)
            then(error)
        }
    }

    private static func keep(
        _ file: File, _ name: SnapshotName, in list: inout [(name: SnapshotName, file: File)]
    ) {
        forget(name, in: &list)
        list.append((name, file))
        if list.count > openLimit { list.removeFirst() }
    }

    private static func forget(
        _ name: SnapshotName, in list: inout [(name: SnapshotName, file: File)]
    ) { list.removeAll { $0.name == name } }

    // MARK: Restoring

    /// Brings a state machine to a snapshot's state; nobody may touch it until `then`, which gets
    /// the engine's part of the state.
    func restore(
        _ name: SnapshotName, into box: MachineBox,
        then: @escaping (Result<[UInt8], Failure>) -> Void
    ) {
        let path = folder.path(of: name)
        restoreLane.run { [stop] in
            SnapshotFileReader.restore(box, from: path, name: name, stop: stop)
        } then: { [self] result in
            // That there are too many open files says nothing of this one.
            if case .failure(let failure) = result, failure.isPassing, !isAbandoned {
                let goOn = { [self] in restore(name, into: box, then: then) }
                resting.append((loop.now + FileSnapshots.retryPause, goOn))
            } else {
                then(result)
            }
        }
    }
}
