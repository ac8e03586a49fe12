#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What is still to be written: pieces of memory one behind the other.
struct PieceList {
    /// Pieces in one call to the kernel.
    private static let pieceLimit = 512
    /// What a write past the page cache must be a multiple of, in memory and in the file.
    static let directAlignment = 4_096

    private var rest: ArraySlice<iovec>

    init(_ pieces: [UnsafeRawBufferPointer]) {
        rest =
            pieces.compactMap { piece in
                guard let base = piece.baseAddress, piece.count > 0 else { return nil }
                return iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: base), iov_len: piece.count)
            }[...]
    }

    var isEmpty: Bool { rest.isEmpty }

    /// Writes as much as one call takes; how many bytes, or a negative errno.
    func write(to descriptor: Int32, at offset: Int) -> Int {
        while true {
            let count = rest.withUnsafeBufferPointer { pieces in
                pwritev(
                    descriptor, pieces.baseAddress,
                    Int32(min(pieces.count, PieceList.pieceLimit)), off_t(offset))
            }
            if count >= 0 { return count }
            if errno != EINTR { return -Int(errno) }
        }
    }

    /// Takes out what has been written.
    mutating func advance(by count: Int) {
        var count = count
        while let first = rest.first, count >= first.iov_len {
            count -= first.iov_len
            rest.removeFirst()
        }
        guard count > 0, let first = rest.first, let base = first.iov_base else { return }
        rest[rest.startIndex] = iovec(iov_base: base + count, iov_len: first.iov_len - count)
    }

    /// Whether it may go past the page cache.
    func isAligned(at offset: Int) -> Bool {
        let mask = PieceList.directAlignment - 1
        return offset & mask == 0
            && rest.allSatisfy { (Int(bitPattern: $0.iov_base) | Int($0.iov_len)) & mask == 0 }
    }
}
