/// A state machine's whole state as it was at one index, to be written away from the loop.
public protocol StateSnapshot: Sendable {
    /// Appends the next piece to `writer`, which is empty; false, and nothing appended, once there
    /// is no more. The pieces come to `StateMachine.restore` one by one, as they were written. At
    /// most 1 MiB each; about 64 KiB is good.
    mutating func writePiece(into writer: inout ByteWriter) -> Bool
}

/// The pieces of a snapshot, in order, checked against their checksums.
public struct SnapshotPieces {
    private let nextPiece: () throws -> UnsafeRawBufferPointer?

    /// `next` answers nil after the last piece; what it answers is valid until it is called again.
    public init(_ next: @escaping () throws -> UnsafeRawBufferPointer?) { nextPiece = next }

    /// The next piece, valid until this is called again; nil after the last. Throws when the file
    /// is damaged or can't be read: pass that on.
    public mutating func next() throws -> UnsafeRawBufferPointer? { try nextPiece() }

    /// What an `EncodedSnapshot` was made of: all pieces together, to the last byte.
    public mutating func decode<State: BinaryCodable>(_: State.Type = State.self) throws -> State {
        var whole: [UInt8] = []
        while let piece = try next() { whole.append(contentsOf: piece) }
        return try whole.withUnsafeBytes { bytes throws(ByteReader.Malformed) in
            var reader = ByteReader(bytes)
            let state = try State(from: &reader)
            guard reader.remaining == 0 else { throw ByteReader.Malformed() }
            return state
        }
    }
}

/// The snapshot of a machine whose state is small: its encoding, in one piece per 1 MiB.
public struct EncodedSnapshot<State: BinaryCodable>: StateSnapshot {
    private let state: State
    private var bytes: [UInt8] = []
    private var written = -1

    public init(_ state: State) { self.state = state }

    public mutating func writePiece(into writer: inout ByteWriter) -> Bool {
        if written < 0 {
            var whole = ByteWriter()
            state.encode(into: &whole)
            bytes = whole.bytes
            written = 0
        } else if written >= bytes.count {
            return false
        }
        let end = min(bytes.count, written + (1 << 20))
        writer.write(raw: bytes[written..<end])
        written = end
        return end > 0
    }
}

/// A machine that can be encoded as a whole needs no more than that for its snapshots. Good while
/// the state is small; a large one is better written piece by piece.
extension StateMachine where Self: BinaryCodable {
    public func snapshot() -> EncodedSnapshot<Self> { EncodedSnapshot(self) }

    public mutating func restore(from pieces: inout SnapshotPieces) throws {
        self = try pieces.decode()
    }
}
