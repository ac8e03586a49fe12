import CKraftUV
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A file whose writes survive a power cut when they return. Calls block; one write at a time.
///
/// Where the file system can, aligned writes go past the page cache and are durable by themselves:
/// no copy, and one command to the disk instead of two. Else they are written and synced.
package final class DurableFile: Sendable {
    package let file: File
    private let direct: Int32
    /// Turned off when the file system says no to the first such write.
    private let isDirect: Atomic<Bool>

    /// An existing file.
    package init(_ path: String) throws(LoopError) {
        file = try File(path, .write)
        direct = kraft_open_direct(path, 1)
        isDirect = Atomic(direct >= 0)
    }

    deinit { if direct >= 0 { _ = close(direct) } }

    /// Writes all pieces one behind the other. After an error nothing is known of their place in
    /// the file: don't write there again.
    package func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(LoopError) {
        var pieces = PieceList(pieces)
        var offset = offset
        while isDirect.load(ordering: .relaxed), pieces.isAligned(at: offset) {
            let count = pieces.write(to: direct, at: offset)
            if count == Int(LoopError.invalid) {
                isDirect.store(false, ordering: .relaxed)
                break
            }
            guard count > 0 else {
                throw LoopError(count < 0 ? Int32(count) : LoopError.ioError, "write \(file.path)")
            }
            pieces.advance(by: count)
            if pieces.isEmpty { return }
            offset += count
        }
        try file.write(&pieces, at: offset)
        try file.syncData()
    }
}
