/// A piece of memory that the log, the sockets and `apply` share: written once, then only read.
///
/// The engine fills it from the front; a driver reads the parts that effects name. Its memory is
/// aligned to 4,096 bytes, so that a log write may go past the page cache.
///
/// `@unchecked Sendable`: the bytes that an effect names never change afterwards, so a log thread
/// may read them while the engine appends behind them.
public final class Block: @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let capacity: Int
    /// How many bytes have been filled.
    ///
    /// Unchecked: only the engine's own thread writes it, and the check would cost more than the
    /// access.
    @exclusivity(unchecked) public internal(set) var count = 0

    public static let alignment = 4_096

    public init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(byteCount: capacity, alignment: Block.alignment)
    }

    deinit { base.deallocate() }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    public func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.upperBound <= count, "beyond what the block holds")
        return UnsafeRawBufferPointer(rebasing: bytes[range])
    }

    /// For drivers that load a file: fills the whole block by `fill`, which says how many bytes it
    /// wrote.
    public func load<E: Error>(
        _ fill: (UnsafeMutableRawBufferPointer) throws(E) -> Int
    ) throws(E) {
        count = try fill(UnsafeMutableRawBufferPointer(start: base, count: capacity))
        precondition(count <= capacity, "filled beyond the block")
    }
}
