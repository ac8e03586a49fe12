import KraftKeyValue
import RaftCore

@testable import KraftEngine

typealias Store = KeyValueStore

/// SplitMix64: the same numbers from the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

extension Store.Key: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) { self.init(value)! }
}

extension [UInt8] {
    init(text: String) { self = Array(text.utf8) }
}

extension Store {
    func value(of key: Key) -> (value: String, version: UInt64)? {
        guard case .value(let bytes, let version) = answer(.get(key)) else { return nil }
        return (String(decoding: bytes, as: UTF8.self), version.rawValue)
    }

    @discardableResult
    mutating func apply(_ command: Command, _ index: UInt64) -> Reply {
        apply(command, at: LogIndex(index))
    }

    /// Applies raw command bytes as one batch from `first` on, as the engine does; nil is a
    /// refusal.
    mutating func applyBatch(_ commands: [[UInt8]], from first: UInt64) -> [Reply?] {
        var entries: [CommittedBatch.Entry] = []
        var blocks: [UnsafeMutableRawBufferPointer] = []
        defer { for block in blocks { block.deallocate() } }
        for (offset, command) in commands.enumerated() {
            // Unaligned on purpose: a log gives no alignment.
            let block = UnsafeMutableRawBufferPointer.allocate(
                byteCount: command.count + 1, alignment: 8)
            let bytes = UnsafeMutableRawBufferPointer(rebasing: block[1...])
            bytes.copyBytes(from: command)
            blocks.append(block)
            entries.append(
                CommittedBatch.Entry(
                    index: LogIndex(first + UInt64(offset)), bytes: UnsafeRawBufferPointer(bytes)))
        }
        var replies = ReplyBuffer()
        entries.withUnsafeBufferPointer { apply(CommittedBatch($0), replies: &replies) }
        return commands.indices.map { position in
            replies.reply(position).map { range in
                replies.writer.bytes.withUnsafeBytes { bytes in
                    var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[range]))
                    return try! Reply(from: &reader)
                }
            }
        }
    }
}

func encoded(_ command: Store.Command) -> [UInt8] {
    var writer = ByteWriter()
    command.encode(into: &writer)
    return writer.bytes
}
