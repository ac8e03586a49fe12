import KraftLoop

/// The folder with the snapshots, `snapshots/<group>-<index>-<term>-<nonce>.snap`.
///
/// Its calls block. A file bears its name only when it is whole and durable; until then it is called
/// `….snap.part`, and what a crash left of those is removed when the folder is opened.
struct SnapshotFolder: Sendable {
    static let folderName = "snapshots"
    private static let unfinishedSuffix = ".part"

    private let folder: Folder

    init(dataFolder: Folder) throws(LoopError) {
        folder = Folder(dataFolder.path(of: SnapshotFolder.folderName))
        try folder.make()
        for name in try folder.names() where name.hasSuffix(SnapshotFolder.unfinishedSuffix) {
            try folder.remove(name)
        }
    }

    /// For who only looks: nothing is made or removed.
    init(lookingBeside log: Folder) {
        folder = Folder(Folder(log.path(of: "..")).path(of: SnapshotFolder.folderName))
    }

    func path(of name: SnapshotName) -> String { folder.path(of: name.fileName) }

    func unfinishedPath(of name: SnapshotName) -> String {
        path(of: name) + SnapshotFolder.unfinishedSuffix
    }

    /// Those that are there whole; files that aren't ours are left out.
    func names() throws(LoopError) -> [SnapshotName] {
        do throws(LoopError) {
            return try folder.names().compactMap { SnapshotName(fileName: $0) }
        } catch {
            // Only who looks at a copy of a log alone finds no folder.
            if error.isNoSuchFile { return [] }
            throw error
        }
    }

    /// Gives an unfinished file its name, for good. Its content must be durable.
    func finish(_ name: SnapshotName) throws(LoopError) {
        try folder.move(name.fileName + SnapshotFolder.unfinishedSuffix, to: name.fileName)
        try folder.sync()
    }

    /// Finished or not. It may come back after a power cut: nobody counts on its being gone.
    func remove(_ name: SnapshotName) throws(LoopError) {
        try folder.remove(name.fileName + SnapshotFolder.unfinishedSuffix)
        try folder.remove(name.fileName)
    }
}
