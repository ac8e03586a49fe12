import Foundation
import KraftLoop
import Testing

@testable import KraftEngine
@testable import KraftMultiRaft

@Suite("The log's files")
struct LogFilesTests {
    @Test("a segment is zeroed at twice the log's pace, or slowly")
    func pace() {
        let slice = PreparationPace.leastSliceBytes
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

    @Test("what a slice is behind, it makes up for at once")
    func slices() {
        let least = PreparationPace.leastSliceBytes
        let pace = PreparationPace(begunAt: 0, loggedBefore: 100, zeroedBytes: 3 * least)
        #expect(pace.slice(logged: 100) == least)
        #expect(pace.slice(logged: 100 + least) == least)
        #expect(pace.slice(logged: 100 + 10 * least) == 17 * least)
    }

    private struct Outcome: Equatable {
        var isThere: Bool
        var hasRested: Bool

        static let madeBitByBit = Outcome(isThere: true, hasRested: true)
        static let madeAtOnce = Outcome(isThere: true, hasRested: false)
        static let notMade = Outcome(isThere: false, hasRested: false)
    }

    /// A segment of 16 MiB is prepared; whether it is there in the end, and whether that paused.
    private func prepare(
        isUrgent: Bool = false, isAwaited: Bool = false, givesUp: Bool = false
    ) async throws -> Outcome {
        let path = FileManager.default.temporaryDirectory.appending(path: "kraft-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let directory = try FileLogDirectory(dataFolder: Folder(path))
        let loop = try EventLoop()
        try loop.start()
        let (ends, source) = AsyncStream<Bool>.makeStream()
        loop.execute {
            let files = LogFiles(loop, directory)
            var segment = SegmentPreparation(number: 7, sizeBytes: 16 << 20, header: [1, 2, 3])
            segment.isUrgent = isUrgent
            files.prepare(segment) { error in #expect(error == nil) }
            if givesUp { files.giveUp() }
            loop.delegate = WakingDriver(files, loop, isAwaited: isAwaited) { hasRested in
                source.yield(hasRested)
                source.finish()
            }
            loop.requestTurn()
        }
        let hasRested = await ends.first { _ in true } ?? false
        let isThere = FileManager.default.fileExists(atPath: directory.path(of: 7))
        loop.stop()
        loop.join()
        return Outcome(isThere: isThere, hasRested: hasRested)
    }

    @Test("a segment that nobody waits for is made bit by bit, and comes to its end by itself")
    func atLeisure() async throws { #expect(try await prepare() == .madeBitByBit) }

    @Test("one that writes wait for, from the start or since, is made without a pause")
    func awaited() async throws {
        #expect(try await prepare(isUrgent: true) == .madeAtOnce)
        #expect(try await prepare(isAwaited: true) == .madeAtOnce)
    }

    @Test("a node that shuts down makes no segment that nobody waits for")
    func givenUp() async throws {
        #expect(try await prepare(givesUp: true) == .notMade)
        #expect(try await prepare(isAwaited: true, givesUp: true) == .madeAtOnce)
    }
}

/// Wakes the files when they want to be, and says when nothing is under way any more.
private final class WakingDriver: EventLoopDelegate {
    private let files: LogFiles
    private let loop: EventLoop
    private let isAwaited: Bool
    private var whenDone: ((_ hasRested: Bool) -> Void)?
    private var hasRested = false

    init(
        _ files: LogFiles, _ loop: EventLoop, isAwaited: Bool,
        _ whenDone: @escaping (_ hasRested: Bool) -> Void
    ) {
        (self.files, self.loop) = (files, loop)
        (self.isAwaited, self.whenDone) = (isAwaited, whenDone)
    }

    func loopTimerFired() {}

    func loopTurnEnds() {
        files.wake(isAwaited: isAwaited)
        if let due = files.nextWakeUp {
            hasRested = true
            loop.armTimer(at: due)
        } else if files.pendingCount == 0 {
            whenDone?(hasRested)
            whenDone = nil
        }
    }
}
