import CKraftUV

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An open file. Calls block: they belong on the loop's thread pool.
///
/// May be used from several threads, as each call says where in the file it works.
package final class File: Sendable {
    package let path: String
    private let descriptor: Int32

    package enum Mode: Sendable { case read, write, create, reuse }

    /// `write` also reads; `create` makes the file or empties it, `reuse` makes it or takes it as it
    /// is.
    package init(_ path: String, _ mode: Mode) throws(LoopError) {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .write: O_RDWR
            case .create: O_RDWR | O_CREAT | O_TRUNC
            case .reuse: O_RDWR | O_CREAT
            }
        self.path = path
        descriptor = kraft_open(path, flags, 0o644)
        guard descriptor >= 0 else { throw LoopError(descriptor, "open \(path)") }
    }

    deinit { _ = close(descriptor) }

    package func size() throws(LoopError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw LoopError(-errno, "look at \(path)") }
        return Int(status.st_size)
    }

    func truncate(to sizeBytes: Int) throws(LoopError) {
        guard ftruncate(descriptor, off_t(sizeBytes)) == 0 else {
            throw LoopError(-errno, "cut \(path)")
        }
    }

    /// Writes all pieces one behind the other, however many calls that takes.
    package func write(_ pieces: [UnsafeRawBufferPointer], at offset: Int) throws(LoopError) {
        var pieces = PieceList(pieces)
        try write(&pieces, at: offset)
    }

    package func write(_ bytes: [UInt8], at offset: Int) throws(LoopError) {
        // Typed throws don't pass through `withUnsafeBytes` of an array.
        let result = bytes.withUnsafeBytes { bytes -> Result<Void, LoopError> in
            do throws(LoopError) {
                return .success(try write([bytes], at: offset))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    func write(_ pieces: inout PieceList, at offset: Int) throws(LoopError) {
        var offset = offset
        while !pieces.isEmpty {
            let count = pieces.write(to: descriptor, at: offset)
            guard count >= 0 else { throw LoopError(Int32(count), "write \(path)") }
            // A write of nothing would repeat for ever.
            guard count > 0 else { throw LoopError(LoopError.ioError, "write \(path)") }
            pieces.advance(by: count)
            offset += count
        }
    }

    /// Fills `buffer` from the file; fewer bytes only at its end. Returns how many.
    package func read(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(LoopError) -> Int {
        var count = 0
        while count < buffer.count, let base = buffer.baseAddress {
            let got = pread(descriptor, base + count, buffer.count - count, off_t(offset + count))
            if got < 0 {
                if errno == EINTR { continue }
                throw LoopError(-errno, "read \(path)")
            }
            if got == 0 { break }
            count += got
        }
        return count
    }

    /// What was written survives a power cut when this returns. After an error the file's content
    /// is unknown: don't try again.
    package func syncData() throws(LoopError) {
        let status = kraft_sync_data(descriptor)
        guard status == 0 else { throw LoopError(status, "sync \(path)", isOfSync: true) }
    }

    /// As `syncData`, with the file's size and times.
    package func syncAll() throws(LoopError) {
        let status = kraft_sync_all(descriptor)
        guard status == 0 else { throw LoopError(status, "sync \(path)", isOfSync: true) }
    }

    /// Takes the file for this process; false when another one has it.
    func lock() throws(LoopError) -> Bool {
        let status = kraft_lock(descriptor)
        if status == LoopError.again { return false }
        guard status == 0 else { throw LoopError(status, "lock \(path)") }
        return true
    }
}
