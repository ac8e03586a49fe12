import KraftRouting
import RaftCore

/// Makes of one group's snapshot another group's: of the same machine's state and the same sessions,
/// under another name. All that comes in is checked; what goes out has checksums of its own.
public struct SnapshotTranscoder {
    private var scan = SnapshotScan()
    private let owner: SnapshotOwner
    private var encoder: SnapshotEncoder
    private var hasBegun = false
    private var hasEnded = false

    /// - `name`: of the snapshot that is made.
    /// - `owner`: whose it is.
    public init(into name: SnapshotName, owner: SnapshotOwner) {
        precondition(
            owner.configuration.index <= name.position.index, "members of a later entry")
        self.owner = owner
        encoder = SnapshotEncoder(name: name)
    }

    /// The snapshot that is read, once its first bytes have come.
    public var source: SnapshotName? { scan.name }
    /// Everything has come and was sound, and what was made of it is complete.
    public var isWhole: Bool { hasEnded }
    /// Of what was made so far.
    public var byteCount: UInt64 { encoder.byteCount }

    /// Takes the next bytes, in whatever portions, and appends what they become.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer, into writer: inout ByteWriter
    ) throws(SnapshotDecoder.Damage) {
        // The scan's own frames are taken in one by one; what is kept of them waits here, as the
        // engine state must be known whole before the first of them can be written.
        var items: [(isEnd: Bool, piece: [UInt8])] = []
        try scan.receive(bytes) { item in
            switch item {
            case .none, .engineState: break
            case .piece(let piece): items.append((false, Array(piece)))
            case .end: items.append((true, []))
            }
        }
        for item in items {
            if !hasBegun { try begin(&writer) }
            if item.isEnd {
                encoder.end(into: &writer)
                hasEnded = true
            } else {
                item.piece.withUnsafeBytes { encoder.piece($0, into: &writer) }
            }
        }
    }

    private mutating func begin(_ writer: inout ByteWriter) throws(SnapshotDecoder.Damage) {
        var state = ByteWriter()
        try scan.state().owned(by: owner).encode(into: &state)
        encoder.begin(engineState: state.bytes, into: &writer)
        hasBegun = true
    }
}
