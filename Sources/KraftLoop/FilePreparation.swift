import CKraftUV

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file of zeros in the making, part by part, so that it leaves the disk to others in between.
///
/// It begins with a header, and is there under its name only when it is whole and durable, with its
/// directory entry. When it can't be made, nothing of it is left; when it is given up, its temporary
/// file is. Calls block, one at a time.
///
/// `@unchecked Sendable`: its owner makes one call after the other, on whichever thread.
package final class FilePreparation: @unchecked Sendable {
    /// What one write takes: it holds up others' writes for no longer than this takes the disk.
    private static let pieceSize = 256 << 10
    private static nonisolated(unsafe) let zeros: UnsafeRawBufferPointer = {
        let zeros = UnsafeMutableRawBufferPointer.allocate(
            byteCount: pieceSize, alignment: PieceList.directAlignment)
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        return UnsafeRawBufferPointer(zeros)
    }()

    private let folder: Folder
    private let path: String
    private let temporary: String
    private let sizeBytes: Int
    private let header: [UInt8]
    private let recycled: String?
    private var file: File?
    /// Past the page cache, where the file system can.
    private var direct: Int32 = -1
    private var offset = 0

    /// Nothing is done yet.
    ///
    /// - `recycling`: a file that nobody needs any more, to be made into it. It loses its name before
    ///   anything in it changes; its space is kept, so that a full disk needs none. It need not be
    ///   there.
    package init(
        _ name: String, in folder: Folder, sizeBytes: Int, header: [UInt8],
        recycling old: String? = nil
    ) {
        self.folder = folder
        (path, temporary) = (folder.path(of: name), folder.path(of: name + Folder.temporarySuffix))
        (self.sizeBytes, self.header) = (sizeBytes, header)
        recycled = old.map(folder.path)
    }

    deinit { closeDirect() }

    /// Goes on for about so many bytes; true when the file is there.
    package func goOn(_ byteCount: Int) throws(LoopError) -> Bool {
        do throws(LoopError) {
            if file == nil { try begin() }
            guard let file else { preconditionFailure("begun without a file") }
            let end = min(sizeBytes, offset + byteCount)
            while offset < end { try writeZeros(to: file, min(end - offset, Self.pieceSize)) }
            guard offset == sizeBytes else { return false }
            try file.write(header, at: 0)
            try file.syncAll()
            guard rename(temporary, path) == 0 else {
                throw LoopError(-errno, "rename \(temporary)")
            }
        } catch {
            // A full disk would stay full of it.
            _ = unlink(temporary)
            throw error
        }
        try folder.sync()
        return true
    }

    private func begin() throws(LoopError) {
        let isRecycled = recycled.map { rename($0, temporary) == 0 } ?? false
        // Tried again every second, this would fill what little is left each time.
        if !isRecycled, let free = folder.freeSizeBytes, free < sizeBytes {
            throw LoopError(LoopError.noSpace, "make \(path)")
        }
        let file = try File(temporary, .reuse)
        if try file.size() > sizeBytes { try file.truncate(to: sizeBytes) }
        direct = kraft_open_direct(temporary, 0)
        self.file = file
    }

    private func writeZeros(to file: File, _ count: Int) throws(LoopError) {
        var pieces = PieceList([UnsafeRawBufferPointer(rebasing: Self.zeros[..<count])])
        if direct >= 0, pieces.isAligned(at: offset) {
            let written = pieces.write(to: direct, at: offset)
            if written > 0 {
                offset += written
                return
            }
            // The plain way says what is really wrong.
            closeDirect()
        }
        try file.write(&pieces, at: offset)
        offset += count
    }

    private func closeDirect() {
        if direct >= 0 { _ = close(direct) }
        direct = -1
    }
}
