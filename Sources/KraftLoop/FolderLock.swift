/// Keeps a folder for this process while it lives; a crash of the process lets it go.
package final class FolderLock: Sendable {
    package static let fileName = "LOCK"
    private let file: File

    /// Nil when another one has the folder, in this process or in another.
    package static func take(_ folder: Folder) throws(LoopError) -> FolderLock? {
        let path = folder.path(of: fileName)
        let file: File
        do {
            file = try File(path, .write)
        } catch {
            guard error.isNoSuchFile else { throw error }
            file = try File(path, .create)
        }
        return try file.lock() ? FolderLock(file) : nil
    }

    private init(_ file: File) { self.file = file }
}
