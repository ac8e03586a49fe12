import RaftCore

/// What a group replicates: the user's own state, changed only by committed commands.
///
/// Promises to keep: `apply` is deterministic (no clock, no dice, no unordered iteration), never
/// blocks, and answers the same on every replica. A group's machine is used by one thread at a
/// time. Commands come in log order, each exactly once per life of the machine; after a restart
/// the machine is rebuilt from the log.
public protocol StateMachine {
    associatedtype Command: BinaryCodable
    associatedtype Reply: BinaryCodable
    associatedtype Query: Sendable
    associatedtype Answer: Sendable
    associatedtype Snapshot: StateSnapshot

    /// Carries out one committed command and says what the proposer is answered.
    mutating func apply(_ command: Command, at index: LogIndex) -> Reply

    /// Carries out a run of committed commands at once: one reply each, in order.
    ///
    /// The default decodes each command and calls `apply(_:at:)`. A fast machine implements this
    /// one instead and reads the bytes in place.
    mutating func apply(_ batch: CommittedBatch, replies: inout ReplyBuffer)

    /// Answers a query from the state as it is. Runs on the node that was asked.
    func answer(_ query: Query) -> Answer

    /// The whole state as it is now. Cheap, as the loop waits for it: a copy-on-write copy, say. What
    /// it answers is read on another thread, piece by piece, while commands go on.
    func snapshot() -> Snapshot

    /// Takes over the state that `snapshot` had on some replica; what was before is forgotten. Runs
    /// on another thread than the loop's, and nobody else uses the machine meanwhile.
    ///
    /// Throws `ByteReader.Malformed` for pieces that no snapshot of this machine writes.
    mutating func restore(from pieces: inout SnapshotPieces) throws

    /// 64-bit hash of the whole content: equal on every replica that has applied the same index,
    /// whatever its history.
    func digest() -> UInt64
}

extension StateMachine {
    public mutating func apply(_ batch: CommittedBatch, replies: inout ReplyBuffer) {
        for (index, bytes) in batch {
            var reader = ByteReader(bytes)
            guard let command = try? Command(from: &reader), reader.remaining == 0 else {
                replies.appendRefusal()
                continue
            }
            replies.append(apply(command, at: index))
        }
    }
}

/// Committed commands of one group in log order. Borrows the log's memory: don't let it escape.
public struct CommittedBatch: Sequence {
    @usableFromInline var entries: UnsafeBufferPointer<Entry>

    @usableFromInline
    struct Entry {
        @usableFromInline var index: LogIndex
        @usableFromInline var bytes: UnsafeRawBufferPointer

        @usableFromInline init(index: LogIndex, bytes: UnsafeRawBufferPointer) {
            self.index = index
            self.bytes = bytes
        }
    }

    @usableFromInline init(_ entries: UnsafeBufferPointer<Entry>) { self.entries = entries }

    @inlinable public var count: Int { entries.count }
    var byteCount: Int { entries.reduce(0) { $0 + $1.bytes.count } }

    public struct Iterator: IteratorProtocol {
        @usableFromInline var entries: UnsafeBufferPointer<Entry>
        @usableFromInline var position = 0

        @usableFromInline init(_ entries: UnsafeBufferPointer<Entry>) { self.entries = entries }

        @inlinable
        public mutating func next() -> (index: LogIndex, command: UnsafeRawBufferPointer)? {
            guard position < entries.count else { return nil }
            defer { position += 1 }
            return (entries[position].index, entries[position].bytes)
        }
    }

    @inlinable public func makeIterator() -> Iterator { Iterator(entries) }
}

/// Where a state machine puts its replies, one per command and in order; one allocation for all.
public struct ReplyBuffer {
    @usableFromInline var writer = ByteWriter()
    /// Where each reply ends in `writer`; a refusal is marked by the top bit.
    @usableFromInline var ends: [UInt] = []

    static let refusalBit: UInt = 1 << 63

    public init() {}

    public var count: Int { ends.count }

    public mutating func append(_ reply: some BinaryCodable) {
        reply.encode(into: &writer)
        ends.append(UInt(writer.count))
    }

    /// An empty reply.
    @inlinable public mutating func appendEmpty() { ends.append(UInt(writer.count)) }

    /// The command's bytes could not be understood: the proposer is told `bad_request`.
    public mutating func appendRefusal() {
        ends.append(UInt(writer.count) | ReplyBuffer.refusalBit)
    }

    /// Empties it, and keeps its memory.
    package mutating func removeAll() {
        writer.removeAll()
        ends.removeAll(keepingCapacity: true)
    }

    /// The bytes of reply `position`, or nil for a refusal.
    func reply(_ position: Int) -> Range<Int>? {
        let end = ends[position]
        guard end & ReplyBuffer.refusalBit == 0 else { return nil }
        let start = position == 0 ? 0 : Int(ends[position - 1] & ~ReplyBuffer.refusalBit)
        return start..<Int(end)
    }
}
