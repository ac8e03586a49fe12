import CXXHash
import RaftCore

/// How a stream of bytes between two nodes is cut into frames. `FrameFormat.standard` is what nodes
/// speak; a user may bring another (encrypted or compressed, say), the same on all nodes.
public protocol WireFormat: Sendable {
    /// Bytes that `seal` puts before a body.
    var headerSize: Int { get }

    /// Fills in the header of a frame whose body lies behind it. `frame` is both.
    func seal(_ frame: UnsafeMutableRawBufferPointer, kind: FrameKind)

    /// What a header says of its frame's body; nil if these bytes can't start a frame. Called with
    /// `headerSize` bytes. The engine refuses bodies over its own limit before it waits for them.
    func parse(_ header: UnsafeRawBufferPointer) -> (kind: FrameKind, bodyCount: Int)?

    /// Whether the body is what was sealed.
    func isSound(_ header: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) -> Bool
}

/// What a frame is for.
public enum FrameKind: UInt8, Sendable {
    /// Who speaks: the first frame of each side.
    case hello = 1
    /// Why the connection will be closed: a human-readable reason.
    case refusal = 2
    /// Messages, one behind the other.
    case messages = 3
    /// In the place of a hello: a node that isn't a member asks to become one.
    case join = 4
    /// The answer to that: who is a member.
    case roster = 5
}

/// The standard frame: 4 bytes magic and kind, 4 bytes body length, 8 bytes XXH3 of the body with
/// the kind and length as seed, 4 bytes of the XXH3 of all these; little-endian.
///
/// The header has a checksum of its own because a reader believes the length before it has the
/// body: a wrong one would swallow everything that comes behind, beats included.
public struct StandardWireFormat: WireFormat {
    /// "KR", version 1, then the kind.
    static let magic: UInt32 = 0x0152_4B
    private static let checkedCount = 16

    public init() {}

    public var headerSize: Int { StandardWireFormat.checkedCount + 4 }

    public func seal(_ frame: UnsafeMutableRawBufferPointer, kind: FrameKind) {
        let bodyCount = UInt32(frame.count - headerSize)
        let tag = UInt32(kind.rawValue) << 24 | StandardWireFormat.magic
        frame.storeBytes(of: tag.littleEndian, as: UInt32.self)
        frame.storeBytes(of: bodyCount.littleEndian, toByteOffset: 4, as: UInt32.self)
        let body = UnsafeRawBufferPointer(rebasing: frame[headerSize...])
        let checksum = XXH3_64bits_withSeed(
            body.baseAddress, body.count, UInt64(tag) << 32 | UInt64(bodyCount))
        frame.storeBytes(of: checksum.littleEndian, toByteOffset: 8, as: UInt64.self)
        let check = StandardWireFormat.check(UnsafeRawBufferPointer(frame))
        frame.storeBytes(
            of: check.littleEndian, toByteOffset: StandardWireFormat.checkedCount,
            as: UInt32.self)
    }

    private static func check(_ header: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(truncatingIfNeeded: XXH3_64bits(header.baseAddress, checkedCount))
    }

    public func parse(_ header: UnsafeRawBufferPointer) -> (kind: FrameKind, bodyCount: Int)? {
        let tag = UInt32(littleEndian: header.loadUnaligned(as: UInt32.self))
        let check = UInt32(
            littleEndian: header.loadUnaligned(
                fromByteOffset: StandardWireFormat.checkedCount, as: UInt32.self))
        guard tag & 0xFF_FFFF == StandardWireFormat.magic,
            check == StandardWireFormat.check(header),
            let kind = FrameKind(rawValue: UInt8(tag >> 24))
        else { return nil }
        let count = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        return (kind, Int(count))
    }

    public func isSound(_ header: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) -> Bool {
        let tag = UInt32(littleEndian: header.loadUnaligned(as: UInt32.self))
        let sealed = UInt64(
            littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        return sealed
            == XXH3_64bits_withSeed(
                body.baseAddress, body.count, UInt64(tag) << 32 | UInt64(body.count))
    }
}

/// Cuts a received stream into frames. Holds only what is left of a frame that isn't whole.
struct FrameReader {
    /// A frame's body may not be larger.
    static let bodyLimit = 16 << 20

    struct Bad: Error {
        var reason: String
    }

    private var rest: [UInt8] = []

    var heldCount: Int { rest.count }

    mutating func takeHeld() -> [UInt8] {
        defer { rest = [] }
        return rest
    }

    /// Takes the next bytes of the stream and hands out the frames that they complete. Stops early
    /// when `onFrame` returns false.
    mutating func receive(
        _ bytes: UnsafeRawBufferPointer, format: some WireFormat,
        _ onFrame: (FrameKind, UnsafeRawBufferPointer) -> Bool
    ) throws(Bad) {
        if rest.isEmpty {
            let used = try cut(bytes, format: format, onFrame)
            if used < bytes.count {
                rest.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[used...]))
            }
        } else {
            rest.append(contentsOf: bytes)
            var whole: [UInt8] = []
            swap(&whole, &rest)
            var failure: Bad?
            var used = 0
            whole.withUnsafeBytes { buffer in
                do throws(Bad) { used = try cut(buffer, format: format, onFrame) } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            if used == 0 {
                swap(&whole, &rest)
            } else if used < whole.count {
                rest = Array(whole[used...])
            }
        }
    }

    /// Hands out the whole frames at the front; returns how many bytes they took.
    private func cut(
        _ bytes: UnsafeRawBufferPointer, format: some WireFormat,
        _ onFrame: (FrameKind, UnsafeRawBufferPointer) -> Bool
    ) throws(Bad) -> Int {
        var offset = 0
        let headerSize = format.headerSize
        while bytes.count - offset >= headerSize {
            let header = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + headerSize)])
            guard let frame = format.parse(header) else {
                throw Bad(reason: "not a frame of this protocol")
            }
            guard (0...FrameReader.bodyLimit).contains(frame.bodyCount) else {
                throw Bad(reason: "a frame of \(frame.bodyCount) bytes is over the limit")
            }
            let start = offset + headerSize
            guard bytes.count - start >= frame.bodyCount else { break }
            let body = UnsafeRawBufferPointer(
                rebasing: bytes[start..<(start + frame.bodyCount)])
            guard format.isSound(header, body: body) else {
                throw Bad(reason: "a frame's checksum is wrong")
            }
            offset = start + frame.bodyCount
            if !onFrame(frame.kind, body) { break }
        }
        return offset
    }
}

/// The frame that collects a turn's messages to one connection.
struct FrameWriter {
    /// A frame is sealed and another begun when the body has grown to this.
    static let softLimit = 256 << 10

    private(set) var block: Block
    private var frameStart = 0
    private let headerSize: Int

    init(headerSize: Int, block: Block) {
        self.block = block
        self.headerSize = headerSize
    }

    private var isFrameOpen: Bool { block.count > frameStart }
    var isEmpty: Bool { block.count == 0 }
    var byteCount: Int { block.count }

    /// Room for `count` bytes of one message, to be filled by the caller.
    mutating func reserve(_ count: Int, format: some WireFormat) -> UnsafeMutableRawPointer {
        if isFrameOpen, block.count - frameStart - headerSize + count > FrameWriter.softLimit,
            block.count > frameStart + headerSize
        {
            seal(.messages, format: format)
        }
        if !isFrameOpen {
            _ = grow(headerSize + count)
            block.count += headerSize
        }
        return grow(count, advance: true)
    }

    private mutating func grow(_ count: Int, advance: Bool = false) -> UnsafeMutableRawPointer {
        if block.capacity - block.count < count {
            let larger = Block(capacity: max(block.capacity * 2, block.count + count))
            larger.base.copyMemory(from: block.base, byteCount: block.count)
            larger.count = block.count
            block = larger
        }
        let place = block.base + block.count
        if advance { block.count += count }
        return place
    }

    mutating func seal(_ kind: FrameKind, format: some WireFormat) {
        guard isFrameOpen else { return }
        let frame = UnsafeMutableRawBufferPointer(
            start: block.base + frameStart, count: block.count - frameStart)
        format.seal(frame, kind: kind)
        frameStart = block.count
    }
}
