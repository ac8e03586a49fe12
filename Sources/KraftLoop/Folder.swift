import CKraftUV

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A folder. Calls block.
package struct Folder: Sendable {
    package let path: String

    /// Marks files that are not finished; what bears it after a crash is rubbish.
    package static let temporarySuffix = ".tmp"

    package init(_ path: String) { self.path = path }

    package func path(of name: String) -> String { "\(path)/\(name)" }

    /// Makes the folder and those above it; each new one is durable in its parent.
    package func make() throws(LoopError) {
        if (try? names()) != nil { return }
        let parent = Folder(parentPath)
        if parent.path != path { try parent.make() }
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
            throw LoopError(-errno, "make folder \(path)")
        }
        // Also says so when the path is something else than a folder.
        _ = try names()
        try parent.sync()
    }

    private var parentPath: String {
        var path = path[...]
        while path.count > 1, path.last == "/" { path.removeLast() }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Names in the folder, sorted, without `.` and `..`.
    package func names() throws(LoopError) -> [String] {
        guard let stream = opendir(path) else { throw LoopError(-errno, "open folder \(path)") }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw LoopError(-errno, "read folder \(path)") }
        return names.sorted()
    }

    /// Bytes that the file system has, used and free; nil if it doesn't say.
    package var fileSystemSizeBytes: Int? { fileSystemBytes { ($0.f_blocks, $0.f_blocks) } }
    /// Bytes that this user may still take; nil if the file system doesn't say.
    var freeSizeBytes: Int? { fileSystemBytes { ($0.f_bavail, $0.f_blocks) } }

    private func fileSystemBytes(
        _ blocks: (statvfs) -> (count: fsblkcnt_t, all: fsblkcnt_t)
    ) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        let (count, all) = blocks(status)
        let (size, overflow) = UInt64(count).multipliedReportingOverflow(
            by: UInt64(status.f_frsize))
        return overflow || all == 0 ? nil : Int(clamping: size)
    }

    package func remove(_ name: String) throws(LoopError) {
        let path = path(of: name)
        guard unlink(path) == 0 || errno == ENOENT else {
            throw LoopError(-errno, "remove \(path)")
        }
    }

    /// Gives a file another name, and takes the place of what bears that. Durable after `sync`.
    package func move(_ name: String, to newName: String) throws(LoopError) {
        let (old, new) = (path(of: name), path(of: newName))
        guard rename(old, new) == 0 else { throw LoopError(-errno, "rename \(old)") }
    }

    /// What was made, renamed and removed here survives a power cut.
    package func sync() throws(LoopError) { try File(path, .read).syncAll() }

    /// Makes a file of zeros that begins with `header`, at once: see `FilePreparation`.
    package func prepare(
        _ name: String, sizeBytes: Int, header: [UInt8], recycling old: String? = nil
    ) throws(LoopError) {
        let preparation = FilePreparation(
            name, in: self, sizeBytes: sizeBytes, header: header, recycling: old)
        while try !preparation.goOn(sizeBytes) {}
    }
}
