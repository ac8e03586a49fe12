import RaftCore

/// Puts a snapshot's file together, part by part: call `next` until it says that there is no more,
/// and write what it appended, one behind the other.
///
/// A value without IO, so that it may work on any thread.
public struct SnapshotEncoder: Sendable {
    private enum Stage { case engineState, pieces, done }

    private let name: SnapshotName
    private var engineState: [UInt8]
    private var engineStateWritten = 0
    private var stage = Stage.engineState
    private var scratch = ByteWriter()
    private var pieceCount: UInt64 = 0
    private var pieceBytes: UInt64 = 0
    /// How many bytes the file has so far: its size, once `next` has answered false.
    public private(set) var byteCount: UInt64 = 0

    public init(_ capture: SnapshotCapture) {
        name = capture.name
        engineState = capture.engineState
    }

    /// Appends the next part of the file to `writer`, about as much as a piece of the machine; false,
    /// and nothing appended, when the file is whole.
    ///
    /// Throws `too_large` for a piece of more than 4 MiB.
    public mutating func next(
        of snapshot: inout some StateSnapshot, into writer: inout ByteWriter
    ) throws(KraftError) -> Bool {
        if byteCount == 0 {
            writer.write(raw: SnapshotFormat.preamble(of: name))
            byteCount = UInt64(SnapshotFormat.preambleSize)
        }
        switch stage {
        case .engineState:
            let end = min(engineState.count, engineStateWritten + (1 << 20))
            append(.engineState, engineState[engineStateWritten..<end], to: &writer)
            engineStateWritten = end
            if end == engineState.count {
                stage = .pieces
                engineState = []
            }
        case .pieces:
            scratch.removeAll()
            guard snapshot.writePiece(into: &scratch) else {
                end(&writer)
                return true
            }
            guard scratch.count <= SnapshotFormat.payloadLimit else {
                throw KraftError(
                    .tooLarge,
                    "a piece of a snapshot has \(scratch.count) bytes, and may have "
                        + "\(SnapshotFormat.payloadLimit)")
            }
            pieceCount += 1
            pieceBytes += UInt64(scratch.count)
            append(.piece, scratch.bytes[...], to: &writer)
        case .done: return false
        }
        return true
    }

    private mutating func end(_ writer: inout ByteWriter) {
        var counts = ByteWriter(capacity: SnapshotFormat.endSize)
        counts.write(pieceCount)
        counts.write(pieceBytes)
        append(.end, counts.bytes[...], to: &writer)
        stage = .done
        scratch = ByteWriter()
    }

    private mutating func append(
        _ kind: SnapshotFormat.FrameKind, _ payload: ArraySlice<UInt8>, to writer: inout ByteWriter
    ) {
        let start = writer.count
        writer.write(UInt64(0))
        writer.write(UInt32(payload.count))
        writer.write(kind.rawValue)
        writer.write(raw: payload)
        let checksum = writer.bytes.withUnsafeBytes {
            LogFormat.checksum(
                UnsafeRawBufferPointer(rebasing: $0[(start + 8)...]),
                seed: SnapshotFormat.seed(name, at: byteCount))
        }
        writer.overwrite(checksum, at: start)
        byteCount += UInt64(writer.count - start)
    }
}
