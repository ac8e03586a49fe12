import KraftLoop

/// A backup on its way into a node's folder: made into a snapshot of the group that takes it over.
///
/// `@unchecked Sendable`: one call at a time, as its caller waits for each.
final class RestoreWork: @unchecked Sendable {
    let adoption: Engine.Adoption
    private let folder: SnapshotFolder
    private var transcoder: SnapshotTranscoder
    private var writer = ByteWriter()
    private var file: File?
    private var written = 0
    private var unsynced = 0

    init(_ adoption: Engine.Adoption, _ folder: SnapshotFolder) {
        (self.adoption, self.folder) = (adoption, folder)
        transcoder = SnapshotTranscoder(into: adoption.name, owner: adoption.owner)
    }

    var byteCount: UInt64 { UInt64(written) }

    /// Checks the next bytes and writes what becomes of them. Throws `badRequest` for what isn't a
    /// backup, `storage` when the disk fails.
    func write(_ bytes: [UInt8]) -> Result<Void, KraftError> {
        Result { () throws(KraftError) in
            try receive(bytes)
            do throws(LoopError) { try writeOut() } catch { throw KraftError(storage: error) }
        }
    }

    private func receive(_ bytes: [UInt8]) throws(KraftError) {
        let damage = bytes.withUnsafeBytes { bytes -> SnapshotDecoder.Damage? in
            do throws(SnapshotDecoder.Damage) {
                try transcoder.receive(bytes, into: &writer)
                return nil
            } catch {
                return error
            }
        }
        if let damage { throw RestoreWork.bad("the backup is \(damage)", adoption) }
    }

    private func writeOut() throws(LoopError) {
        guard writer.count > 0 else { return }
        let file: File
        if let known = self.file {
            file = known
        } else {
            file = try File(folder.unfinishedPath(of: adoption.name), .create)
            self.file = file
        }
        try file.write(writer.bytes, at: written)
        written += writer.count
        unsynced += writer.count
        writer.removeAll()
        guard unsynced >= CaptureWork.syncIntervalBytes else { return }
        try file.syncData()
        unsynced = 0
    }

    /// Nothing more comes. When it succeeds the snapshot is durable under its name.
    func close() -> Result<Void, KraftError> {
        guard transcoder.isWhole else {
            return .failure(RestoreWork.bad("the backup ends too early", adoption))
        }
        do throws(LoopError) {
            try file?.syncAll()
            try folder.finish(adoption.name)
            return .success(())
        } catch {
            return .failure(KraftError(storage: error))
        }
    }

    /// As `close`, and a machine has been brought to its state: `trial`, which is of no further use.
    func finish(trial: MachineBox) -> Result<Void, KraftError> {
        if case .failure(let error) = close() { return .failure(error) }
        let restored = SnapshotFileReader.restore(
            trial, from: folder.path(of: adoption.name), name: adoption.name,
            stop: SnapshotFileReader.Stop())
        return restored.map { _ in }.mapError { RestoreWork.bad($0.description, adoption) }
    }

    /// Leaves nothing behind.
    func abandon() {
        file = nil
        // What stays is removed at the next start.
        try? folder.remove(adoption.name)
    }

    static func bad(_ message: String, _ adoption: Engine.Adoption) -> KraftError {
        KraftError(.badRequest, message, group: adoption.owner.name)
    }
}
