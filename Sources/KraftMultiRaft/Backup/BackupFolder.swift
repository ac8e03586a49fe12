import KraftLoop

/// A folder with a backup: each file appears under its name whole and durable, or not at all. Its
/// calls block.
package struct BackupFolder: Sendable {
    private static let unfinishedSuffix = ".part"
    private static let partSizeBytes = 1 << 20

    private let folder: Folder

    package init(_ path: String) { folder = Folder(path) }

    /// Makes the folder. Throws `conflict` if there is something in it.
    package func make() throws(KraftError) {
        let names: [String]
        do throws(LoopError) {
            try folder.make()
            names = try folder.names()
        } catch {
            throw KraftError(storage: error)
        }
        guard names.isEmpty else {
            throw KraftError(.conflict, "\(folder.path): the folder isn't empty")
        }
    }

    /// Begins a file anew; nothing of its name is there before `finish`.
    package func begin(_ name: String) throws(KraftError) -> Draft {
        do throws(LoopError) {
            return Draft(
                file: try File(folder.path(of: name + BackupFolder.unfinishedSuffix), .create),
                name: name)
        } catch {
            throw KraftError(storage: error)
        }
    }

    /// A file that is being written.
    package struct Draft {
        fileprivate let file: File
        fileprivate let name: String
        fileprivate var written = 0

        package mutating func append(_ bytes: [UInt8]) throws(KraftError) {
            do throws(LoopError) { try file.write(bytes, at: written) } catch {
                throw KraftError(storage: error)
            }
            written += bytes.count
        }
    }

    package func finish(_ draft: Draft) throws(KraftError) {
        do throws(LoopError) {
            try draft.file.syncAll()
            try folder.move(draft.name + BackupFolder.unfinishedSuffix, to: draft.name)
            try folder.sync()
        } catch {
            throw KraftError(storage: error)
        }
    }

    /// A small file, whole. Throws `storage` for one that isn't there or is too large.
    package func read(_ name: String, limit: Int) throws(KraftError) -> [UInt8] {
        var whole: [UInt8] = []
        try read(name) { part throws(KraftError) in
            whole += part
            guard whole.count <= limit else {
                throw KraftError(.storage, "\(folder.path(of: name)): too large")
            }
        }
        return whole
    }

    /// Reads a file from end to end, part by part.
    package func read(
        _ name: String, _ body: ([UInt8]) throws(KraftError) -> Void
    ) throws(KraftError) {
        let file = try open(name)
        var offset = 0
        while true {
            let part = try file.part(at: offset)
            guard !part.isEmpty else { return }
            offset += part.count
            try body(part)
        }
    }

    package func open(_ name: String) throws(KraftError) -> Reader {
        do throws(LoopError) {
            return Reader(file: try File(folder.path(of: name), .read))
        } catch {
            throw KraftError(storage: error)
        }
    }

    /// A file that is read.
    package struct Reader: Sendable {
        fileprivate let file: File

        package func byteCount() throws(KraftError) -> Int {
            do throws(LoopError) { return try file.size() } catch {
                throw KraftError(storage: error)
            }
        }

        /// The next bytes; none at the end.
        package func part(at offset: Int) throws(KraftError) -> [UInt8] {
            do throws(LoopError) {
                return try file.part(at: offset, BackupFolder.partSizeBytes)
            } catch {
                throw KraftError(storage: error)
            }
        }
    }
}

extension File {
    /// At most `count` bytes; fewer at the end.
    func part(at offset: Int, _ count: Int) throws(LoopError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let result = bytes.withUnsafeMutableBytes { buffer -> Result<Int, LoopError> in
            do throws(LoopError) {
                return .success(try read(into: buffer, at: offset))
            } catch {
                return .failure(error)
            }
        }
        bytes.removeLast(count - (try result.get()))
        return bytes
    }
}
