import KraftKeyValue
import RaftCore
import Testing

@testable import KraftEngine

/// All pieces of a snapshot.
private func pieces(of store: Store) -> [[UInt8]] {
    var snapshot = store.snapshot()
    var pieces: [[UInt8]] = []
    var writer = ByteWriter()
    while snapshot.writePiece(into: &writer) {
        pieces.append(writer.bytes)
        writer.removeAll()
    }
    #expect(writer.count == 0)
    return pieces
}

/// Restores from copies of the pieces, so that a store that keeps a pointer is found out.
private func restore(_ store: inout Store, from pieces: [[UInt8]]) throws {
    var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 1)
    defer { memory.deallocate() }
    var next = 0
    var source = SnapshotPieces {
        memory.deallocate()
        memory = .allocate(byteCount: next < pieces.count ? pieces[next].count : 0, alignment: 1)
        guard next < pieces.count else { return nil }
        memory.copyBytes(from: pieces[next])
        next += 1
        return UnsafeRawBufferPointer(memory)
    }
    try store.restore(from: &source)
}

private func restored(_ pieces: [[UInt8]], seed: UInt64 = 77) throws -> Store {
    var store = Store(tableSeed: seed)
    store.apply(.put("left-over", value: .init(text: "of before")), 1)
    try restore(&store, from: pieces)
    return store
}

/// A store with a history: overwritten, grown, deleted and new keys.
private func randomStore(
    seed: UInt64, keys: Int, writes: Int, longest: Int
) -> (store: Store, keys: [Store.Key]) {
    var random = SeededGenerator(state: seed)
    var store = Store(tableSeed: seed)
    let keys = (0..<keys).map { number in
        Store.Key(String(repeating: "k", count: number % 23) + "\(number)")!
    }
    for index in 1...UInt64(writes) {
        let key = keys.randomElement(using: &random)!
        let size = Int.random(in: 0...longest, using: &random)
        let value = [UInt8](repeating: .random(in: 0...255, using: &random), count: size)
        switch Int.random(in: 0..<8, using: &random) {
        case 0...3: store.apply(.put(key, value: value), index)
        case 4: store.apply(.append(key, value: value), index)
        case 5: store.apply(.increment(key, by: 3), index)
        default: store.apply(.delete(key), index)
        }
    }
    return (store, keys)
}

@Suite("Snapshots of the store")
struct SnapshotTests {
    @Test(
        "come back equal: content, versions, sizes and digest, whatever the table's seed",
        arguments: [(1, 1), (2, 40), (3, 127), (4, 128), (5, 129), (6, 3_000), (7, 20_000)])
    func roundTrip(seed: UInt64, keys: Int) throws {
        let (store, keys) = randomStore(seed: seed, keys: keys, writes: keys * 3, longest: 90)
        let pieces = pieces(of: store)
        var copy = try restored(pieces, seed: seed + 1)
        #expect(copy.digest() == store.digest())
        #expect(copy.keyCount == store.keyCount)
        #expect(copy.contentSizeBytes == store.contentSizeBytes)
        for key in keys { #expect(copy.answer(.get(key)) == store.answer(.get(key))) }
        #expect(copy.value(of: "left-over") == nil)
        #expect(pieces.allSatisfy { $0.count > 0 && $0.count < 70_000 })

        // Both go on alike.
        var original = store
        var random = SeededGenerator(state: seed)
        for index in 1_000_000...1_000_300 as ClosedRange<UInt64> {
            let key = keys.randomElement(using: &random)!
            let command: Store.Command =
                index.isMultiple(of: 3) ? .delete(key) : .append(key, value: [1, 2])
            #expect(original.apply(command, index) == copy.apply(command, index))
        }
        #expect(copy.digest() == original.digest())
    }

    @Test("of an empty store come back empty")
    func empty() throws {
        #expect(try restored(pieces(of: Store())).digest() == Store().digest())
    }

    @Test("carry the longest keys and values over the borders of pieces")
    func longest() throws {
        var store = Store()
        for (number, size) in [0, 1, 65_500, 65_536, 200_000, 1 << 20, 1 << 20, 7].enumerated() {
            let key = Store.Key([UInt8](repeating: UInt8(number), count: number < 6 ? 4_096 : 3))!
            store.apply(
                .put(key, value: [UInt8](repeating: UInt8(number), count: size)),
                UInt64(number + 1))
        }
        let pieces = pieces(of: store)
        #expect(pieces.allSatisfy { $0.count <= 64 << 10 + 4_110 })
        #expect(try restored(pieces).digest() == store.digest())
    }

    @Test("show the state as it was, whatever is written while they are read")
    func isolated() throws {
        var (store, keys) = randomStore(seed: 11, keys: 2_000, writes: 4_000, longest: 300)
        let digest = store.digest()
        var snapshot = store.snapshot()
        var random = SeededGenerator(state: 12)
        var pieces: [[UInt8]] = []
        var writer = ByteWriter()
        var index: UInt64 = 10_000
        while snapshot.writePiece(into: &writer) {
            pieces.append(writer.bytes)
            writer.removeAll()
            for _ in 0..<400 {
                index += 1
                let key = keys.randomElement(using: &random)!
                switch index % 4 {
                case 0: store.apply(.delete(key), index)
                case 1: store.apply(.append(key, value: [9]), index)
                case 2: store.apply(.put(key, value: []), index)
                default: store.apply(.put(Store.Key("new-\(index)")!, value: [1]), index)
                }
            }
        }
        #expect(pieces.count > 4)
        #expect(store.digest() != digest)
        #expect(try restored(pieces).digest() == digest)
    }

    // MARK: Bytes that no store writes

    @Test("with one byte changed, cut, doubled or added are refused", arguments: UInt64(1)...4)
    func mutated(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        let (store, _) = randomStore(seed: seed, keys: 60, writes: 200, longest: 30)
        let good = pieces(of: store)
        for _ in 0..<3_000 {
            var bad = good
            let piece = Int.random(in: bad.indices, using: &random)
            let place = Int.random(in: bad[piece].indices, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bad[piece][place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bad[piece][place] = bad[piece][place] &+ .random(in: 1...255, using: &random)
            case 2: bad[piece].removeSubrange(place...)
            case 3: bad[piece].insert(.random(in: 0...255, using: &random), at: place)
            case 4: bad.remove(at: piece)
            case 5: bad.insert(bad[piece], at: Int.random(in: bad.indices, using: &random))
            default: bad[piece].remove(at: place)
            }
            guard bad != good else { continue }
            #expect(throws: ByteReader.Malformed.self, "seed \(seed)") { try restored(bad) }
        }
    }

    @Test("in pieces of other sizes are either refused or the same")
    func otherPieces() throws {
        var random = SeededGenerator(state: 5)
        let (store, _) = randomStore(seed: 5, keys: 40, writes: 100, longest: 2_000)
        let good = pieces(of: store)
        let stream = good[1...].flatMap { $0 }
        for _ in 0..<300 {
            var bad = [good[0]]
            var start = 0
            while start < stream.count {
                let end = min(stream.count, start + .random(in: 1...4_000, using: &random))
                bad.append(Array(stream[start..<end]))
                start = end
            }
            if let copy = try? restored(bad) { #expect(copy.digest() == store.digest()) }
        }
    }

    @Test("of rubbish are refused and leave a store that can be restored again")
    func rubbish() throws {
        var random = SeededGenerator(state: 6)
        var store = Store()
        for _ in 0..<2_000 {
            let count = Int.random(in: 0...3, using: &random)
            var rubbish = (0..<count).map { _ in
                (0..<Int.random(in: 0...80, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            }
            // Half of them get as far as the records.
            if Bool.random(using: &random) { rubbish.insert(pieces(of: Store())[0], at: 0) }
            if rubbish == pieces(of: Store()) { continue }
            #expect(throws: ByteReader.Malformed.self) { try restore(&store, from: rubbish) }
        }
        let (other, _) = randomStore(seed: 9, keys: 30, writes: 90, longest: 10)
        try restore(&store, from: pieces(of: other))
        #expect(store.digest() == other.digest())
    }

    @Test("pass on what the reading of the pieces throws")
    func passesOn() {
        struct Rot: Error {}
        var store = Store()
        var first = true
        let header = pieces(of: store)[0]
        header.withUnsafeBytes { header in
            var source = SnapshotPieces {
                defer { first = false }
                if first { return header }
                throw Rot()
            }
            #expect(throws: Rot.self) { try store.restore(from: &source) }
        }
    }
}
