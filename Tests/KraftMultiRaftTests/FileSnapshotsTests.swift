import Foundation
import KraftKeyValue
import KraftLoop
import Testing

@testable import KraftMultiRaft

/// Writes one piece after another for ever, until it is stopped.
private struct Endless: StateSnapshot {
    mutating func writePiece(into writer: inout ByteWriter) -> Bool {
        writer.write(raw: [UInt8](repeating: 7, count: 64 << 10))
        return true
    }
}

/// Takes what it is given and complains about nothing.
private struct Careless: StateMachine {
    var pieces = 0
    mutating func apply(_ command: Int64, at index: LogIndex) -> Int64 { 0 }
    func answer(_ query: Bool) -> Int { pieces }
    func digest() -> UInt64 { 0 }
    func snapshot() -> Endless { Endless() }
    mutating func restore(from pieces: inout SnapshotPieces) throws {
        while (try? pieces.next()) ?? nil != nil { self.pieces += 1 }
    }
}

@Suite("Snapshots in files", .timeLimit(.minutes(2)))
struct FileSnapshotsTests {
    private let name = SnapshotName.test(9)

    @Test(
        "hold a machine's state and the engine's, in as many slices as it takes",
        arguments: [1, 3_000, 40_000])
    func roundTrip(keys: Int) async throws {
        try await SnapshotRig.with { rig in
            var store = KeyValueStore.filled(keys, valueSize: 100)
            let digest = store.digest()
            let engineState = (0..<5_000).map { UInt8(truncatingIfNeeded: $0) }
            let capture = Task { [snapshot = store.snapshot()] in
                try await rig.capture(name, snapshot, engineState: engineState)
            }
            // The machine goes on meanwhile.
            store = .filled(keys, valueSize: 20)
            let size = try await capture.value
            #expect(try rig.content(name).count == Int(size))
            #expect(try rig.files == [name.fileName])

            let box = TypedMachineBox(KeyValueStore(tableSeed: 3))
            #expect(try await rig.restore(name, into: box) == engineState)
            #expect(box.digest() == digest)
            #expect(await rig.pendingCount == 0)
        }
    }

    @Test("carry an engine state of any size")
    func engineStates() async throws {
        try await SnapshotRig.with { rig in
            for size in [0, 1, 1 << 20, 3 << 20 + 5] {
                let state = (0..<size).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 8) }
                let name = SnapshotName.test(UInt64(size))
                _ = try await rig.capture(name, KeyValueStore().snapshot(), engineState: state)
                let box = TypedMachineBox(KeyValueStore())
                #expect(try await rig.restore(name, into: box) == state)
            }
        }
    }

    @Test("are refused with any bit changed, cut anywhere, or longer, whoever reads them")
    func damaged() async throws {
        try await SnapshotRig.with { rig in
            _ = try await rig.capture(name, KeyValueStore.filled(5, valueSize: 9).snapshot())
            let good = try rig.content(name)
            func isRefused(_ bytes: [UInt8], _ what: String) async throws {
                try rig.put(bytes, as: name)
                for box in [TypedMachineBox(KeyValueStore()), TypedMachineBox(Careless())] {
                    await #expect(throws: FileSnapshots.Failure.self, "\(what)") {
                        try await rig.restore(name, into: box)
                    }
                }
            }
            for place in good.indices {
                var bad = good
                bad[place] ^= 1 << UInt8(place % 8)
                try await isRefused(bad, "byte \(place) changed")
                if place % 3 == 0 { try await isRefused(Array(good[..<place]), "cut at \(place)") }
            }
            try await isRefused(good + [0], "a byte more")
            try await isRefused(good + good, "twice")
            try rig.put(good, as: name)
            _ = try await rig.restore(name, into: TypedMachineBox(KeyValueStore()))
            // Sound, but not the snapshot that the name says.
            let other = SnapshotName.test(10)
            try rig.put(good, as: other)
            await #expect(throws: FileSnapshots.Failure.self) {
                try await rig.restore(other, into: TypedMachineBox(KeyValueStore()))
            }
            await #expect(throws: FileSnapshots.Failure.self) {
                try await rig.restore(.test(11), into: TypedMachineBox(KeyValueStore()))
            }
        }
    }

    @Test("travel chunk by chunk, and appear only when they are whole")
    func received() async throws {
        try await SnapshotRig.with { sender in
            let store = KeyValueStore.filled(20_000, valueSize: 500)
            let size = Int(try await sender.capture(name, store.snapshot()))
            try await SnapshotRig.with { receiver in
                var offset = 0
                while offset < size {
                    let chunk = try await sender.read(name, offset, 256 << 10)
                    #expect(try receiver.files == (offset == 0 ? [] : [name.fileName + ".part"]))
                    let end = offset + chunk.count
                    try await receiver.write(name, offset, chunk, isLast: end == size)
                    offset = end
                }
                #expect(offset == size)
                #expect(try receiver.files == [name.fileName])
                #expect(try receiver.content(name) == sender.content(name))
                let box = TypedMachineBox(KeyValueStore())
                _ = try await receiver.restore(name, into: box)
                #expect(box.digest() == store.digest())
            }
            #expect(try await sender.read(name, size, 100) == [])
            await #expect(throws: LoopError.self) { try await sender.read(.test(1), 0, 10) }
        }
    }

    @Test("that are received anew begin anew, and go on only where there is something")
    func receivedAgain() async throws {
        try await SnapshotRig.with { rig in
            await #expect(throws: LoopError.self) { try await rig.write(name, 10, [1]) }
            #expect(try rig.files == [])
            try await rig.write(name, 0, [1, 2, 3])
            try await rig.write(name, 3, [4, 5, 6])
            try await rig.write(name, 0, [9, 8])
            try await rig.write(name, 2, [7], isLast: true)
            #expect(try rig.content(name) == [9, 8, 7])
            #expect(await rig.remove(name) == nil)
            #expect(try rig.files == [])
            await #expect(throws: LoopError.self) { try await rig.write(name, 3, [1]) }
        }
    }

    @Test("that are unfinished when a node dies are gone when it comes back; strangers stay")
    func leftOver() async throws {
        try await SnapshotRig.with { rig in
            try await rig.write(name, 0, [1, 2, 3])
            _ = try await rig.capture(.test(3), KeyValueStore().snapshot())
            try Data().write(to: URL(fileURLWithPath: rig.path(name) + ".txt"))
            let folder = try SnapshotFolder(dataFolder: Folder(rig.dataFolder))
            #expect(try folder.names() == [.test(3)])
            #expect(try rig.files == [SnapshotName.test(3).fileName, name.fileName + ".txt"])
        }
    }

    @Test("that are removed while they are captured leave nothing")
    func removedMeanwhile() async throws {
        try await SnapshotRig.with { rig in
            let capture = Task { try await rig.capture(name, Endless()) }
            try await eventually("it has begun") { try !rig.files.isEmpty }
            #expect(await rig.remove(name) == nil)
            await #expect(throws: FileSnapshots.Failure.self) { try await capture.value }
            #expect(try rig.files == [])
            #expect(await rig.pendingCount == 0)
        }
    }

    @Test("let a node shut down: a capture ends and leaves nothing, a restore ends")
    func abandoned() async throws {
        try await SnapshotRig.with(bytesPerSecond: 1 << 20) { rig in
            _ = try await rig.capture(.test(1), KeyValueStore.filled(9, valueSize: 9).snapshot())
            // One of them rests, as the first slice was paid with a second.
            let first = Task { try await rig.capture(name, Endless()) }
            let second = Task { try await rig.capture(.test(2), Endless()) }
            try await eventually("both have begun") { try rig.files.count == 3 }
            await rig.abandon()
            await #expect(throws: FileSnapshots.Failure.self) { try await first.value }
            await #expect(throws: FileSnapshots.Failure.self) { try await second.value }
            await #expect(throws: FileSnapshots.Failure.self) {
                try await rig.restore(.test(1), into: TypedMachineBox(KeyValueStore()))
            }
            await #expect(throws: FileSnapshots.Failure.self) {
                try await rig.capture(.test(4), KeyValueStore().snapshot())
            }
            #expect(try rig.files == [SnapshotName.test(1).fileName])
            #expect(await rig.pendingCount == 0)
        }
    }

    @Test("take no more of the disk than they may, together")
    func throttled() async throws {
        try await SnapshotRig.with(bytesPerSecond: 16 << 20) { rig in
            let state = KeyValueStore.filled(3_000, valueSize: 1_000).snapshot()
            let start = ContinuousClock.now
            async let first = rig.capture(name, state)
            async let second = rig.capture(.test(2), state)
            let size = try await first + second
            // Nothing is waited for behind the last slice.
            let paid = Double(size - 2 << 20) / Double(16 << 20)
            #expect(ContinuousClock.now - start > .seconds(paid * 0.9))
        }
    }

    @Test("that the disk refuses fail, and the next ones are tried again")
    func refused() async throws {
        try await SnapshotRig.with { rig in
            let folder = rig.dataFolder + "/snapshots"
            try FileManager.default.removeItem(atPath: folder)
            await #expect(throws: FileSnapshots.Failure.self) {
                try await rig.capture(name, KeyValueStore().snapshot())
            }
            await #expect(throws: LoopError.self) { try await rig.write(name, 0, [1]) }
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: false)
            _ = try await rig.capture(name, KeyValueStore().snapshot())
        }
    }
}
