import Foundation
import KraftLoop
import Synchronization
import Testing

@testable import KraftEngine
@testable import KraftMultiRaft

@Suite("The log's files")
struct LogFilesTests {
    @Test("a segment is zeroed at twice the log's pace, or slowly")
    func pace() {
        let slice = PreparationPace.sliceSizeBytes
        var pace = PreparationPace(begunAt: 1_000, loggedBefore: 50_000)
        #expect(pace.due(logged: 50_000) == 1_000)
        pace.zeroedBytes = 4 * slice
        // A mebibyte at 32 a second.
        #expect(pace.due(logged: 50_000) == 1_000 + 1_000_000_000 / 32)
        #expect(pace.due(logged: 50_000 + slice) == 1_000 + 1_000_000_000 / 64)
        #expect(pace.due(logged: 50_000 + 2 * slice) == 1_000)
        #expect(pace.due(logged: 50_000 + 20 * slice) == 1_000)
        // When the segment before it is half full, all of it is due.
        pace.zeroedBytes = 32 << 20
        #expect(pace.due(logged: 50_000 + 16 << 20) == 1_000)
    }

    /// A segment of 16 MiB is prepared; whether it is there then, and whether that paused.
    private func prepare(
        isUrgent: Bool, _ then: @escaping @Sendable (LogFiles) -> Void = { _ in }
    ) async throws -> (isDone: Bool, hasRested: Bool) {
        let path = FileManager.default.temporaryDirectory.appending(path: "kraft-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try FileLogDirectory(dataFolder: Folder(path))
        let loop = try EventLoop()
        try loop.start()
        let (results, source) = AsyncStream<Bool>.makeStream()
        let rested = Rested()
        loop.execute {
            let files = LogFiles(loop, directory)
            var segment = SegmentPreparation(number: 7, sizeBytes: 16 << 20, header: [1, 2, 3])
            segment.isUrgent = isUrgent
            files.prepare(segment) { error in
                source.yield(error == nil && files.pendingCount == 0)
                source.finish()
            }
            let driver = Driver(files, loop, rested)
            loop.delegate = driver
            loop.requestTurn()
            then(files)
        }
        let isDone = await results.first { _ in true } ?? false
        let isThere = FileManager.default.fileExists(atPath: directory.path(of: 7))
        loop.stop()
        loop.join()
        return (isDone && isThere, rested.value.withLock { $0 })
    }

    @Test("a segment that nobody waits for is made bit by bit, and comes to its end by itself")
    func atLeisure() async throws {
        let result = try await prepare(isUrgent: false)
        #expect(result.isDone)
        #expect(result.hasRested)
    }

    @Test("one that writes wait for is made without a pause, and so it is when the node shuts down")
    func urgent() async throws {
        let urgent = try await prepare(isUrgent: true)
        #expect(urgent.isDone)
        #expect(!urgent.hasRested)
        let hurried = try await prepare(isUrgent: false) { $0.hurry() }
        #expect(hurried.isDone)
        #expect(!hurried.hasRested)
    }
}

private final class Rested: Sendable {
    let value = Mutex(false)
}

/// Wakes the files when they want to be.
private final class Driver: EventLoopDelegate {
    private let files: LogFiles
    private let loop: EventLoop
    private let rested: Rested

    init(_ files: LogFiles, _ loop: EventLoop, _ rested: Rested) {
        (self.files, self.loop, self.rested) = (files, loop, rested)
    }

    func loopTimerFired() {}

    func loopTurnEnds() {
        files.wake()
        guard let due = files.nextWakeUp else { return }
        rested.value.withLock { $0 = true }
        loop.armTimer(at: due)
    }
}
