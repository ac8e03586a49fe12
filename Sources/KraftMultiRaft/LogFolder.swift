import KraftLoop

/// Looks at a node's log on the disk. Only ever reads: a node may be running on the folder.
package enum LogFolder {
    /// A node that writes meanwhile may be caught in the middle of it, which looks like damage:
    /// damage is believed when it is still there after this many looks.
    private static let lookLimit = 4

    /// The log of a data folder, or of its folder `wal`; nil if there is none.
    ///
    /// `pause` is called before it looks once more. Blocks for as long as reading the log takes.
    /// Throws `storage` when the files can't be read.
    package static func report(
        of path: String, pause: () -> Void
    ) throws(KraftError) -> LogReport? {
        guard let folder = find(path) else { return nil }
        var looks = 1
        while true {
            var directory = FileLogDirectory(lookingAt: folder)
            do throws(KraftError) {
                var report = try LogReport.read(&directory)
                check(&report, directory.snapshots)
                if report.isSound || looks == lookLimit { return report }
            } catch {
                // A segment may have been given back since the folder was read.
                if looks == lookLimit { throw error }
            }
            looks += 1
            pause()
        }
    }

    /// Reads the snapshots that the log counts on.
    private static func check(_ report: inout LogReport, _ folder: SnapshotFolder) {
        let names = (try? folder.names()) ?? []
        for group in report.groups {
            guard let name = group.snapshot?.name, names.contains(name),
                let failure = SnapshotFileReader.verify(folder.path(of: name), name: name)
            else { continue }
            report.damages.append(
                .init(place: nil, reason: "group \(group.name): \(failure.description)"))
        }
    }

    private static func find(_ path: String) -> Folder? {
        let wal = Folder(Folder(path).path(of: FileLogDirectory.folderName))
        if (try? wal.names()) != nil { return wal }
        let folder = Folder(path)
        guard let names = try? folder.names() else { return nil }
        let isWal = path.split(separator: "/").last == Substring(FileLogDirectory.folderName)
        return isWal || names.contains { FileLogDirectory.number(of: $0) != nil } ? folder : nil
    }
}
