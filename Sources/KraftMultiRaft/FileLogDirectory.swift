import KraftLoop

/// The folder with the log's segment files, `wal/0000000000000001.seg` and so on, and beside it the
/// one with the snapshots.
///
/// Its calls block. What a crash left unfinished (`*.tmp`) is removed when it is opened.
struct FileLogDirectory: LogDirectory {
    static let folderName = "wal"
    private static let suffix = ".seg"
    private static let digits = 16

    let folder: Folder
    let snapshots: SnapshotFolder

    init(dataFolder: Folder) throws(KraftError) {
        folder = Folder(dataFolder.path(of: FileLogDirectory.folderName))
        do throws(LoopError) {
            snapshots = try SnapshotFolder(dataFolder: dataFolder)
            try folder.make()
            for name in try folder.names() where name.hasSuffix(Folder.temporarySuffix) {
                try folder.remove(name)
            }
        } catch {
            throw KraftError(storage: error)
        }
    }

    /// For who only looks: nothing is made or removed.
    ///
    /// - `folder`: the one with the segments.
    init(lookingAt folder: Folder) {
        self.folder = folder
        snapshots = SnapshotFolder(lookingBeside: folder)
    }

    static func name(of number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, FileLogDirectory.digits - digits.count))
            + digits + suffix
    }

    /// Nil for files that are not ours.
    static func number(of name: String) -> UInt64? {
        guard name.hasSuffix(suffix), let number = UInt64(name.dropLast(suffix.count)),
            FileLogDirectory.name(of: number) == name
        else { return nil }
        return number
    }

    func path(of number: UInt64) -> String { folder.path(of: FileLogDirectory.name(of: number)) }

    func segmentNumbers() throws(KraftError) -> [UInt64] {
        do {
            return try folder.names().compactMap(FileLogDirectory.number).sorted()
        } catch {
            throw KraftError(storage: error)
        }
    }

    func load(segment number: UInt64) throws(KraftError) -> Block {
        do throws(LoopError) {
            let file = try File(path(of: number), .read)
            let block = Block(capacity: try file.size())
            try block.load { (buffer) throws(LoopError) in try file.read(into: buffer, at: 0) }
            return block
        } catch {
            throw KraftError(storage: error)
        }
    }

    func snapshotNames() throws(KraftError) -> [SnapshotName] {
        do {
            return try snapshots.names()
        } catch {
            throw KraftError(storage: error)
        }
    }

    func prepare(_ segment: SegmentPreparation) throws(KraftError) {
        let preparation = preparation(of: segment)
        do {
            while try !preparation.goOn(segment.sizeBytes) {}
        } catch {
            throw KraftError(storage: error)
        }
    }

    func preparation(of segment: SegmentPreparation) -> FilePreparation {
        FilePreparation(
            FileLogDirectory.name(of: segment.number), in: folder, sizeBytes: segment.sizeBytes,
            header: segment.header, recycling: segment.recycles.map(FileLogDirectory.name))
    }

    func removeFile(_ number: UInt64) throws(LoopError) {
        try folder.remove(FileLogDirectory.name(of: number))
    }

    func rewrite(
        segment number: UInt64, offset: Int, _ bytes: UnsafeRawBufferPointer
    ) throws(KraftError) {
        do throws(LoopError) {
            try File(path(of: number), .write).write([bytes], at: offset)
        } catch {
            throw KraftError(storage: error)
        }
    }

    func sync() throws(KraftError) {
        do throws(LoopError) {
            for name in try folder.names() where FileLogDirectory.number(of: name) != nil {
                try File(folder.path(of: name), .write).syncAll()
            }
            try folder.sync()
        } catch {
            throw KraftError(storage: error)
        }
    }
}

extension KraftError {
    init(storage error: LoopError) { self.init(.storage, error.description) }
}
