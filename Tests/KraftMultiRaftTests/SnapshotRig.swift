import Foundation
import KraftKeyValue
import KraftLoop
import Testing

@testable import KraftEngine
@testable import KraftMultiRaft

/// A loop with a folder of snapshots, outside of any node.
final class SnapshotRig: EventLoopDelegate, @unchecked Sendable {
    let dataFolder: String
    let loop: EventLoop
    /// Loop-confined.
    private var snapshots: FileSnapshots

    init(bytesPerSecond: Int? = nil, dataFolder: String? = nil) throws {
        self.dataFolder =
            dataFolder
            ?? FileManager.default.temporaryDirectory
            .appending(path: "kraft-snapshots-\(UUID().uuidString)").path
        loop = try EventLoop()
        let folder = try SnapshotFolder(dataFolder: Folder(self.dataFolder))
        snapshots = FileSnapshots(loop, folder, bytesPerSecond: bytesPerSecond)
        try loop.start()
        loop.execute { self.loop.delegate = self }
    }

    /// Ends the loop and removes the folder.
    static func with(
        bytesPerSecond: Int? = nil, _ body: (SnapshotRig) async throws -> Void
    ) async throws {
        let rig = try SnapshotRig(bytesPerSecond: bytesPerSecond)
        defer { try? FileManager.default.removeItem(atPath: rig.dataFolder) }
        do {
            try await body(rig)
        } catch {
            rig.stop()
            throw error
        }
        rig.stop()
    }

    private func stop() {
        loop.stop()
        loop.join()
    }

    func loopTimerFired() {}
    func loopTurnEnds() {
        snapshots.wake()
        if let wakeUp = snapshots.nextWakeUp { loop.armTimer(at: wakeUp) }
    }

    func onLoop<Value: Sendable>(
        _ body: @escaping @Sendable (FileSnapshots, @escaping @Sendable (Value) -> Void) -> Void
    ) async -> Value {
        await withCheckedContinuation { continuation in
            loop.execute { body(self.snapshots) { continuation.resume(returning: $0) } }
        }
    }

    // MARK: The effects

    func capture(
        _ name: SnapshotName, _ state: any StateSnapshot, engineState: [UInt8] = [1, 2, 3]
    ) async throws -> UInt64 {
        let capture = SnapshotCapture(
            slot: GroupSlot(rawValue: 0), name: name, engineState: engineState)
        return try await onLoop { snapshots, then in
            snapshots.capture(capture, state) { then($0) }
        }.get()
    }

    func restore(_ name: SnapshotName, into box: MachineBox) async throws -> [UInt8] {
        try await onLoop { snapshots, then in
            snapshots.restore(name, into: box) { then($0) }
        }.get()
    }

    func read(_ name: SnapshotName, _ offset: Int, _ count: Int) async throws -> [UInt8] {
        let read = SnapshotRead(id: 1, name: name, offset: offset, count: count)
        let block: Block = try await onLoop { snapshots, then in
            snapshots.read(read) { then($0) }
        }.get()
        return Array(block.bytes)
    }

    func write(
        _ name: SnapshotName, _ offset: Int, _ bytes: [UInt8], isLast: Bool = false
    ) async throws {
        let write = SnapshotWrite(
            id: 1, name: name, offset: offset, bytes: bytes, isLast: isLast)
        let error: LoopError? = await onLoop { snapshots, then in
            snapshots.write(write) { then($0) }
        }
        if let error { throw error }
    }

    func remove(_ name: SnapshotName) async -> LoopError? {
        await onLoop { snapshots, then in snapshots.remove(name) { then($0) } }
    }

    func abandon() async {
        await onLoop { snapshots, then in then(snapshots.abandon()) }
    }

    var pendingCount: Int {
        get async { await onLoop { snapshots, then in then(snapshots.pendingCount) } }
    }

    // MARK: The folder

    var files: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: dataFolder + "/snapshots").sorted()
        }
    }

    func path(_ name: SnapshotName) -> String { "\(dataFolder)/snapshots/\(name.fileName)" }

    func content(_ name: SnapshotName) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: path(name))))
    }

    func put(_ bytes: [UInt8], as name: SnapshotName) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
    }
}

extension SnapshotName {
    static func test(_ index: UInt64, nonce: UInt64 = 77) -> SnapshotName {
        SnapshotName(
            group: GroupID(5), position: .init(index: LogIndex(index), term: Term(2)),
            nonce: nonce)
    }
}

extension KeyValueStore {
    /// So many keys with values of this size.
    static func filled(_ count: Int, valueSize: Int) -> KeyValueStore {
        var store = KeyValueStore()
        for number in 1...count {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: valueSize)
            guard let key = Key("key-\(number)") else { continue }
            _ = store.apply(.put(key, value: value), at: LogIndex(UInt64(number)))
        }
        return store
    }
}
