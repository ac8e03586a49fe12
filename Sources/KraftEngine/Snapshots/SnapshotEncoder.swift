import KraftRouting
import RaftCore

// A snapshot's file, little-endian. It begins with a preamble:
//
//     offset  size
//     0       8     "KRAFTSNP"
//     8       4     version of this layout: 1
//     12      4     0
//     16      8     group
//     24      8     index of the last entry that the state holds
//     32      8     its term
//     40      8     nonce
//     48      8     0
//     56      8     checksum of the 56 bytes before
//
// Then frames, one behind the other, the last of them of kind `end`:
//
//     0       4     length of the payload
//     4       1     kind: 1 engine state, 2 a piece of the machine's state, 3 end
//     5       3     0
//     8       8     checksum of the payload, whose seed is the checksum of the 8 bytes before, whose
//                   seed is the nonce XOR the frame's offset in the file
//     16      …     the payload
//
// The engine state comes first, in as many frames as it needs. The payload of the end is the number
// of the machine's pieces and the sum of their lengths, 8 bytes each.

enum SnapshotFormat {
    static let magic: UInt64 = 0x504E_5354_4641_524B  // "KRAFTSNP"
    static let version: UInt32 = 1
    static let preambleSize = 64
    static let frameHeaderSize = 16
    /// The longest payload.
    static let payloadSizeLimitBytes = 1 << 20 + 64 << 10

    enum FrameKind: UInt8 {
        case engineState = 1
        case piece, end
    }

    static func preamble(_ name: SnapshotName) -> [UInt8] {
        var writer = ByteWriter(capacity: preambleSize)
        writer.write(magic)
        writer.write(version)
        writer.write(UInt32(0))
        writer.write(name.group.rawValue)
        writer.write(name.position.index.rawValue)
        writer.write(name.position.term.rawValue)
        writer.write(name.nonce)
        writer.write(UInt64(0))
        writer.write(writer.bytes.withUnsafeBytes { LogFormat.checksum($0, seed: 0) })
        return writer.bytes
    }

    /// Of a frame whose first 8 bytes, read as a number, are `head`.
    static func checksum(
        _ payload: UnsafeRawBufferPointer, head: UInt64, nonce: UInt64, offset: UInt64
    ) -> UInt64 {
        let seed = withUnsafeBytes(of: head.littleEndian) {
            LogFormat.checksum($0, seed: nonce ^ offset)
        }
        return LogFormat.checksum(payload, seed: seed)
    }
}

/// Makes the bytes of a snapshot's file, in parts that are to be written one behind the other.
public struct SnapshotEncoder: Sendable {
    private let name: SnapshotName
    private var offset: UInt64 = 0
    private var pieceCount: UInt64 = 0
    private var pieceBytes: UInt64 = 0

    public init(name: SnapshotName) { self.name = name }

    /// Of the whole file so far.
    public var byteCount: UInt64 { offset }

    /// Appends what comes before the machine's pieces.
    public mutating func begin(engineState: [UInt8], into writer: inout ByteWriter) {
        writer.write(raw: SnapshotFormat.preamble(name))
        offset = UInt64(SnapshotFormat.preambleSize)
        engineState.withUnsafeBytes { state in
            var start = 0
            repeat {
                let end = min(state.count, start + 1 << 20)
                frame(
                    .engineState, UnsafeRawBufferPointer(rebasing: state[start..<end]), &writer)
                start = end
            } while start < state.count
        }
    }

    /// The longest piece that can be told: 1 MiB, and room for what a machine writes around it.
    public static var pieceSizeLimitBytes: Int { SnapshotFormat.payloadSizeLimitBytes }

    /// Appends one piece of the machine's state, of at most `pieceSizeLimitBytes`.
    public mutating func piece(_ bytes: UnsafeRawBufferPointer, into writer: inout ByteWriter) {
        precondition(bytes.count <= SnapshotEncoder.pieceSizeLimitBytes, "a piece is too long")
        pieceCount += 1
        pieceBytes += UInt64(bytes.count)
        frame(.piece, bytes, &writer)
    }

    /// Appends the end: nothing may follow.
    public mutating func end(into writer: inout ByteWriter) {
        withUnsafeBytes(of: (pieceCount.littleEndian, pieceBytes.littleEndian)) { counts in
            frame(.end, counts, &writer)
        }
    }

    private mutating func frame(
        _ kind: SnapshotFormat.FrameKind, _ payload: UnsafeRawBufferPointer,
        _ writer: inout ByteWriter
    ) {
        let head = UInt64(payload.count) | UInt64(kind.rawValue) << 32
        writer.write(head)
        writer.write(
            SnapshotFormat.checksum(payload, head: head, nonce: name.nonce, offset: offset))
        writer.write(raw: payload)
        offset += UInt64(SnapshotFormat.frameHeaderSize + payload.count)
    }
}
