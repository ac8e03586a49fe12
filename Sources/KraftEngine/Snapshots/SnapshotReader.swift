/// Brings a state machine to the state of a snapshot, whose file somebody else reads: what carries
/// out a `SnapshotRestore`.
public final class SnapshotReader {
    private var decoder: SnapshotDecoder
    private let read: (UnsafeMutableRawBufferPointer) throws -> Int
    private let chunk: UnsafeMutableRawBufferPointer

    /// `read` fills its buffer with the next bytes of the file and says how many there were; 0 at the
    /// file's end.
    public init(
        _ name: SnapshotName, chunkSizeBytes: Int = 256 << 10,
        read: @escaping (UnsafeMutableRawBufferPointer) throws -> Int
    ) {
        decoder = SnapshotDecoder(name)
        self.read = read
        chunk = .allocate(byteCount: chunkSizeBytes, alignment: 8)
    }

    deinit { chunk.deallocate() }

    /// Reads and checks the whole file. Returns what the engine kept with the state, for the event
    /// `restored`. When it throws, the machine's state is undefined.
    public func restore(_ machine: inout some StateMachine) throws -> [UInt8] {
        var pieces = SnapshotPieces { [self] in try nextPiece() }
        try machine.restore(from: &pieces)
        while try nextPiece() != nil {}
        try decoder.checkWhole()
        // The decoder refuses what stands behind the end.
        while try readOn() { _ = try decoder.nextPiece() }
        return decoder.engineState
    }

    private func nextPiece() throws -> UnsafeRawBufferPointer? {
        while true {
            if let piece = try decoder.nextPiece() { return piece }
            guard !decoder.isWhole, try readOn() else { return nil }
        }
    }

    private func readOn() throws -> Bool {
        let count = try read(chunk)
        guard count > 0 else { return false }
        decoder.receive(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
        return true
    }
}
