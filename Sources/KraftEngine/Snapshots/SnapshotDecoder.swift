/// Reads a snapshot's file from its beginning, in parts of the sizes that it names, and checks every
/// byte.
public struct SnapshotDecoder {
    /// The bytes are not those that were written.
    public struct Damage: Error, Hashable, Sendable, CustomStringConvertible {
        public var offset: UInt64
        public var reason: String
        public var description: String { "damaged at byte \(offset): \(reason)" }

        public init(offset: UInt64, reason: String) {
            (self.offset, self.reason) = (offset, reason)
        }
    }

    /// What a part turned out to be, with the bytes of it that count.
    public enum Item {
        /// Nothing for the reader.
        case none
        case engineState(UnsafeRawBufferPointer)
        case piece(UnsafeRawBufferPointer)
        /// The whole snapshot is sound. Nothing may follow.
        case end
    }

    private enum Stage {
        case preamble, header
        case payload(SnapshotFormat.FrameKind, head: UInt64, checksum: UInt64)
        case ended
    }

    private let name: SnapshotName
    private var stage = Stage.preamble
    /// Where the part begins that comes next.
    private var offset: UInt64 = 0
    private var hasPieces = false
    private var hasEngineState = false
    private var pieceCount: UInt64 = 0
    private var pieceBytes: UInt64 = 0

    public init(name: SnapshotName) { self.name = name }

    /// How many bytes to give to `take`; 0: none at all, the file must end here.
    public var wanted: Int {
        switch stage {
        case .preamble: SnapshotFormat.preambleSize
        case .header: SnapshotFormat.frameHeaderSize
        case .payload(_, let head, _): Int(head & 0xFFFF_FFFF)
        case .ended: 0
        }
    }

    /// Takes the next `wanted` bytes of the file. A shorter part is the end of a file that is cut.
    public mutating func take(_ part: UnsafeRawBufferPointer) throws(Damage) -> Item {
        guard part.count == wanted else { throw damage("the file ends too early") }
        let item = try takeWhole(part)
        offset += UInt64(part.count)
        return item
    }

    private mutating func takeWhole(_ part: UnsafeRawBufferPointer) throws(Damage) -> Item {
        switch stage {
        case .preamble:
            guard part.elementsEqual(SnapshotFormat.preamble(name)) else {
                throw damage("not the snapshot that its name says")
            }
            stage = .header
            return .none
        case .header: return try takeHeader(part)
        case .payload(let kind, let head, let checksum):
            let start = offset - UInt64(SnapshotFormat.frameHeaderSize)
            guard
                checksum
                    == SnapshotFormat.checksum(part, head: head, nonce: name.nonce, offset: start)
            else { throw damage("wrong checksum") }
            return try takePayload(kind, part)
        case .ended: throw damage("there is more behind the end")
        }
    }

    private mutating func takeHeader(_ part: UnsafeRawBufferPointer) throws(Damage) -> Item {
        let head = UInt64(littleEndian: part.loadUnaligned(as: UInt64.self))
        let checksum = part.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        let count = Int(head & 0xFFFF_FFFF)
        // Not yet known to be sound: only so much that nobody allocates without bound.
        guard head >> 40 == 0, count <= SnapshotFormat.payloadSizeLimitBytes,
            let kind = SnapshotFormat.FrameKind(rawValue: UInt8(head >> 32))
        else { throw damage("not the start of a frame") }
        stage = .payload(kind, head: head, checksum: UInt64(littleEndian: checksum))
        guard count == 0 else { return .none }
        offset += UInt64(SnapshotFormat.frameHeaderSize)
        defer { offset -= UInt64(SnapshotFormat.frameHeaderSize) }
        return try takeWhole(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private mutating func takePayload(
        _ kind: SnapshotFormat.FrameKind, _ part: UnsafeRawBufferPointer
    ) throws(Damage) -> Item {
        stage = .header
        switch kind {
        case .engineState:
            guard !hasPieces else { throw damage("engine state behind the machine's") }
            hasEngineState = true
            return .engineState(part)
        case .piece:
            guard hasEngineState else { throw damage("no engine state") }
            hasPieces = true
            pieceCount += 1
            pieceBytes += UInt64(part.count)
            return .piece(part)
        case .end:
            let counts = withUnsafeBytes(of: (pieceCount.littleEndian, pieceBytes.littleEndian)) {
                $0.elementsEqual(part)
            }
            guard counts, hasEngineState else { throw damage("its end counts other pieces") }
            stage = .ended
            return .end
        }
    }

    private func damage(_ reason: String) -> Damage { Damage(offset: offset, reason: reason) }
}
