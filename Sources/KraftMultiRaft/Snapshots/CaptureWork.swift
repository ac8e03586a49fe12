import KraftLoop
import Synchronization

/// One snapshot on its way into its file, slice by slice, so that neither a thread of the pool nor
/// the disk is taken for long.
///
/// `@unchecked Sendable`: one slice runs at a time; between two of them the loop only holds it.
final class CaptureWork: @unchecked Sendable {
    enum Outcome: Sendable {
        /// So many bytes were written; there are more.
        case more(byteCount: Int)
        /// It is durable under its name.
        case done(byteCount: UInt64)
        case failed(String)
    }

    /// What one slice writes, about.
    private static let sliceSizeBytes = 1 << 20
    /// A file system that gets much to sync at once lets others wait for it, the log too.
    static let syncIntervalBytes = 1 << 20

    let name: SnapshotName
    private let folder: SnapshotFolder
    private let engineState: [UInt8]
    private let cancelled = Atomic(false)

    /// Let go on the pool: giving back its memory may take long.
    private var state: (any StateSnapshot)?
    private var file: File?
    private var encoder: SnapshotEncoder
    private var writer = ByteWriter()
    private var piece = ByteWriter()
    private var written = 0
    private var unsynced = 0

    init(_ capture: SnapshotCapture, _ state: any StateSnapshot, folder: SnapshotFolder) {
        name = capture.name
        engineState = capture.engineState
        encoder = SnapshotEncoder(name: capture.name)
        (self.state, self.folder) = (state, folder)
    }

    /// The next slice fails and leaves nothing behind. From any thread.
    func cancel() { cancelled.store(true, ordering: .relaxed) }

    /// On the pool.
    func runSlice() -> Outcome {
        do {
            guard !cancelled.load(ordering: .relaxed) else { return abandon("not wanted any more") }
            return try writeSlice()
        } catch {
            return abandon("\(error)")
        }
    }

    private func writeSlice() throws -> Outcome {
        let file: File
        if let known = self.file {
            file = known
        } else {
            file = try File(folder.unfinishedPath(of: name), .create)
            self.file = file
            encoder.begin(engineState: engineState, into: &writer)
        }
        var hasEnded = false
        while writer.count < CaptureWork.sliceSizeBytes, !hasEnded {
            hasEnded = try !encodePiece()
        }
        let count = writer.count
        try file.write(writer.bytes, at: written)
        writer.removeAll()
        written += count
        unsynced += count
        if hasEnded {
            state = nil
            try file.syncAll()
            try folder.finish(name)
            return .done(byteCount: UInt64(written))
        }
        if unsynced >= CaptureWork.syncIntervalBytes {
            try file.syncData()
            unsynced = 0
        }
        return .more(byteCount: count)
    }

    /// False when there is no further piece: then the end was encoded.
    private func encodePiece() throws -> Bool {
        piece.removeAll()
        guard state?.writePiece(into: &piece) == true else {
            encoder.end(into: &writer)
            return false
        }
        guard piece.count <= SnapshotEncoder.pieceSizeLimitBytes else {
            throw KraftError(
                .tooLarge,
                "the state machine wrote a piece of \(piece.count) bytes, and may write "
                    + "\(SnapshotEncoder.pieceSizeLimitBytes)")
        }
        piece.bytes.withUnsafeBytes { encoder.piece($0, into: &writer) }
        return true
    }

    private func abandon(_ reason: String) -> Outcome {
        state = nil
        file = nil
        // It is removed at the next start if it can't be now.
        try? folder.remove(name)
        return .failed(reason)
    }
}
