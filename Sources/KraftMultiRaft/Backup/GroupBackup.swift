import KraftLoop

/// One group's backup, to be read: a snapshot of its state that holds every write that was
/// acknowledged, through any node, before it was asked for.
///
/// It can be read to its end although newer snapshots take its place meanwhile. Let it go when it has
/// been read: until then its file takes space.
public final class GroupBackup: Sendable {
    /// The file's name in the node's folder, which says what it holds.
    public let name: SnapshotName
    public let group: GroupName
    public let byteCount: Int
    private let file: File

    init(_ file: File, _ name: SnapshotName, group: GroupName, byteCount: Int) {
        (self.file, self.name) = (file, name)
        (self.group, self.byteCount) = (group, byteCount)
    }

    /// The last entry that it holds.
    public var position: EntryPosition { name.position }

    /// The next bytes from `offset` on, at most `count`; none at the end.
    ///
    /// Throws `storage` when the disk does. Whether the bytes are those that were written only the
    /// reader of the whole can tell: see `SnapshotScan`.
    public func read(at offset: Int, count: Int) async throws(KraftError) -> [UInt8] {
        let wanted = min(count, byteCount - offset)
        guard wanted > 0 else { return [] }
        return try await BackupQueue.run { [file] () -> Result<[UInt8], KraftError> in
            do throws(LoopError) {
                let bytes = try file.part(at: offset, wanted)
                guard bytes.count == wanted else {
                    return .failure(KraftError(.storage, "\(file.path): shorter than it was"))
                }
                return .success(bytes)
            } catch {
                return .failure(KraftError(storage: error))
            }
        }.get()
    }
}
