import RaftCore

/// The bytes of a snapshot's file, as `docs/disk-format.md` describes them: a preamble, then frames.
/// All numbers are little-endian; every checksum is 64-bit XXH3 with the snapshot's nonce in its
/// seed, those of frames with their place in the file too.
enum SnapshotFormat {
    static let magic: UInt64 = 0x504E_5354_4641_524B  // "KRAFTSNP"
    static let version: UInt32 = 1
    static let preambleSize = 64
    /// Checksum, length of the payload, kind.
    static let frameHeaderSize = 8 + 4 + 1
    /// Of one frame. A machine's piece should have at most 1 MiB, but may hold one large record.
    static let payloadLimit = 4 << 20
    /// Of what the engine keeps, over all its frames: a table full of sessions with all their replies
    /// takes less.
    static let engineStateLimit = 512 << 20

    enum FrameKind: UInt8 {
        /// A part of what the engine keeps; all of them come before the first piece.
        case engineState = 1
        /// What the machine wrote as one piece.
        case piece = 2
        /// The last frame: how many pieces there were, and their bytes.
        case end = 3
    }

    static let endSize = 16

    static func preamble(of name: SnapshotName) -> [UInt8] {
        var writer = ByteWriter(capacity: preambleSize)
        writer.write(magic)
        writer.write(version)
        writer.write(UInt32(0))
        writer.write(name.group.rawValue)
        writer.write(name.position.index.rawValue)
        writer.write(name.position.term.rawValue)
        writer.write(name.nonce)
        writer.write(UInt64(0))
        writer.write(writer.bytes.withUnsafeBytes { LogFormat.checksum($0, seed: name.nonce) })
        return writer.bytes
    }

    /// Seeds the checksum of the frame at `offset` of the file.
    static func seed(_ name: SnapshotName, at offset: UInt64) -> UInt64 { name.nonce ^ offset }
}
