import KraftRouting
import RaftCore

/// Checks a snapshot that comes from nobody in particular (a file, a socket) as its bytes come, in
/// whatever portions, and tells whose it is. Holds one frame's bytes at most, and the sessions'.
public struct SnapshotScan {
    /// As the first bytes say; nil before they have come.
    public private(set) var name: SnapshotName?
    private var front: [UInt8] = []
    private var stream: SnapshotStream?

    public init() {}

    /// Takes the next bytes. Throws for what no snapshot begins with; then it is good for nothing
    /// more.
    ///
    /// - `visit`: gets what each part turned out to be; valid during the call.
    public mutating func receive(
        _ bytes: UnsafeRawBufferPointer, visit: (SnapshotDecoder.Item) -> Void = { _ in }
    ) throws(SnapshotDecoder.Damage) {
        guard stream == nil else {
            try stream?.receive(bytes, visit: visit)
            return
        }
        front.append(contentsOf: bytes)
        guard front.count >= SnapshotName.preambleSizeBytes else { return }
        var whole: [UInt8] = []
        swap(&whole, &front)
        var damage: SnapshotDecoder.Damage?
        whole.withUnsafeBytes { whole in
            do throws(SnapshotDecoder.Damage) {
                let preamble = whole[..<SnapshotName.preambleSizeBytes]
                let name = try SnapshotName(preamble: .init(rebasing: preamble))
                self.name = name
                var stream = SnapshotStream(name)
                try stream.receive(whole, visit: visit)
                self.stream = stream
            } catch { damage = error }
        }
        if let damage { throw damage }
    }

    /// The end has come, and all before it is sound.
    public var isWhole: Bool { stream?.isWhole ?? false }

    /// What the engine kept with the state, as far as it has come: all of it before the first piece.
    var engineState: [UInt8] { stream?.engineState ?? [] }

    /// Whose state it is. Once the first piece or the end has come. Throws when that is not what any
    /// node has written.
    public func owner() throws(SnapshotDecoder.Damage) -> SnapshotOwner { try state().owner }

    func state() throws(SnapshotDecoder.Damage) -> EngineState {
        let state = name.flatMap { name in
            engineState.withUnsafeBytes { try? EngineState.decode($0, at: name.position) }
        }
        guard let state else {
            throw SnapshotDecoder.Damage(offset: 0, reason: "the engine state is malformed")
        }
        return state
    }
}
