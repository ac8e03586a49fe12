import RaftCore

/// Takes a snapshot's file apart, in whatever portions its bytes come, and checks all of it. Bytes are
/// weather: what `SnapshotEncoder` could not have written, for this very name, throws.
///
/// A value without IO; holds at most one frame and what came behind it.
public struct SnapshotDecoder {
    private let name: SnapshotName
    private var buffer = Block(capacity: 64 << 10)
    /// What of the buffer has been handed out.
    private var start = 0
    /// How many bytes were handed out: where the next frame stands in the file.
    private var offset: UInt64 = 0
    private var pieceCount: UInt64 = 0
    private var pieceBytes: UInt64 = 0
    /// What the engine kept with the state: whole when the first piece or the end is handed out.
    public private(set) var engineState: [UInt8] = []
    /// The end was seen, and it agrees with what came before.
    public private(set) var isWhole = false

    public init(_ name: SnapshotName) { self.name = name }

    /// Takes the next bytes of the file.
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) {
        let held = buffer.count - start
        if buffer.capacity - buffer.count < bytes.count {
            // Pointers that were handed out are void by now.
            let needed = held + bytes.count
            let target =
                needed <= buffer.capacity ? buffer : Block(capacity: max(needed, 2 * held))
            target.base.copyMemory(from: buffer.base + start, byteCount: held)
            target.count = held
            buffer = target
            start = 0
        }
        if let source = bytes.baseAddress {
            (buffer.base + buffer.count).copyMemory(from: source, byteCount: bytes.count)
        }
        buffer.count += bytes.count
    }

    /// The next of the machine's pieces, valid until the decoder is called again; nil when more bytes
    /// are needed, and at the end (`isWhole`).
    public mutating func nextPiece() throws(KraftError) -> UnsafeRawBufferPointer? {
        if offset == 0, try !readPreamble() { return nil }
        while let (kind, payload) = try nextFrame() {
            switch kind {
            case .engineState:
                guard pieceCount == 0,
                    engineState.count + payload.count <= SnapshotFormat.engineStateLimit
                else { throw damage("what the engine keeps is out of its place") }
                engineState.append(contentsOf: payload)
            case .piece:
                pieceCount += 1
                pieceBytes += UInt64(payload.count)
                return payload
            case .end: try readEnd(payload)
            }
        }
        return nil
    }

    /// Throws unless the file ended with what was received.
    public func checkWhole() throws(KraftError) {
        guard isWhole else { throw damage("it ends too early") }
    }

    // MARK: Parts

    private mutating func readPreamble() throws(KraftError) -> Bool {
        let size = SnapshotFormat.preambleSize
        guard buffer.count - start >= size else { return false }
        guard buffer.bytes(start..<(start + size)).elementsEqual(SnapshotFormat.preamble(of: name))
        else { throw damage("it is another file") }
        start += size
        offset = UInt64(size)
        return true
    }

    private mutating func nextFrame() throws(KraftError) -> (
        SnapshotFormat.FrameKind, UnsafeRawBufferPointer
    )? {
        let held = buffer.bytes(start..<buffer.count)
        guard !isWhole else {
            guard held.isEmpty else { throw damage("it goes on behind its end") }
            return nil
        }
        guard held.count >= SnapshotFormat.frameHeaderSize else { return nil }
        let count = Int(
            UInt32(littleEndian: held.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        guard count <= SnapshotFormat.payloadLimit,
            let kind = SnapshotFormat.FrameKind(rawValue: held[12])
        else { throw damage("no frame begins at offset \(offset)") }
        let size = SnapshotFormat.frameHeaderSize + count
        guard held.count >= size else { return nil }
        let checked = UnsafeRawBufferPointer(rebasing: held[8..<size])
        guard
            UInt64(littleEndian: held.loadUnaligned(as: UInt64.self))
                == LogFormat.checksum(checked, seed: SnapshotFormat.seed(name, at: offset))
        else { throw damage("the frame at offset \(offset) has a wrong checksum") }
        start += size
        offset += UInt64(size)
        return (
            kind, UnsafeRawBufferPointer(rebasing: held[SnapshotFormat.frameHeaderSize..<size])
        )
    }

    private mutating func readEnd(_ payload: UnsafeRawBufferPointer) throws(KraftError) {
        guard payload.count == SnapshotFormat.endSize,
            UInt64(littleEndian: payload.loadUnaligned(as: UInt64.self)) == pieceCount,
            UInt64(littleEndian: payload.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                == pieceBytes
        else { throw damage("its end doesn't agree with its pieces") }
        isWhole = true
    }

    private func damage(_ reason: String) -> KraftError {
        KraftError(.storage, "snapshot \(name.fileName): \(reason)")
    }
}
