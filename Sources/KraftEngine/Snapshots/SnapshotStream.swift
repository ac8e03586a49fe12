import RaftCore

/// Checks a snapshot's file as its bytes come, in whatever portions; holds at most one frame's.
struct SnapshotStream {
    /// Of what the engine keeps: a table full of sessions with all their replies takes less.
    static let engineStateLimit = 512 << 20

    private var decoder: SnapshotDecoder
    /// The front of the part that the decoder wants next.
    private var held: [UInt8] = []
    /// What the engine kept with the state, as far as it has come.
    private(set) var engineState: [UInt8] = []

    init(_ name: SnapshotName) { decoder = SnapshotDecoder(name: name) }

    /// The end has come, and all before it is sound.
    var isWhole: Bool { decoder.wanted == 0 }

    /// - `visit`: gets what each part turned out to be; valid during the call.
    mutating func receive(
        _ bytes: UnsafeRawBufferPointer, visit: (SnapshotDecoder.Item) -> Void = { _ in }
    ) throws(SnapshotDecoder.Damage) {
        var rest = bytes
        while !rest.isEmpty {
            let wanted = decoder.wanted
            if held.isEmpty, rest.count >= wanted, wanted > 0 {
                try take(UnsafeRawBufferPointer(rebasing: rest[..<wanted]), visit)
                rest = UnsafeRawBufferPointer(rebasing: rest[wanted...])
                continue
            }
            // Behind the end nothing is wanted, and the decoder says what is wrong.
            let count = wanted == 0 ? rest.count : min(rest.count, wanted - held.count)
            held.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            guard held.count >= wanted else { return }
            var whole: [UInt8] = []
            swap(&whole, &held)
            var damage: SnapshotDecoder.Damage?
            whole.withUnsafeBytes { part in
                do throws(SnapshotDecoder.Damage) {
                    try take(part, visit)
                } catch { damage = error }
            }
            if let damage { throw damage }
        }
    }

    private mutating func take(
        _ part: UnsafeRawBufferPointer, _ visit: (SnapshotDecoder.Item) -> Void
    ) throws(SnapshotDecoder.Damage) {
        let item = try decoder.take(part)
        visit(item)
        guard case .engineState(let bytes) = item else { return }
        guard engineState.count + bytes.count <= SnapshotStream.engineStateLimit else {
            throw SnapshotDecoder.Damage(offset: 0, reason: "the engine state is too large")
        }
        engineState.append(contentsOf: bytes)
    }
}
