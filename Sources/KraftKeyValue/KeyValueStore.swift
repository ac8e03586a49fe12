import KraftEngine
import RaftCore

/// Keys with values and versions, replicated: put, delete, append, increment, all with exact
/// versions, and reads of one key.
///
/// A key's version is the log index of its last write, so it never repeats within a group's life
/// and a condition on it (`if_version`) can't be fooled by a delete and a new put. A value, as all
/// state machines; equal content gives an equal digest whatever the history.
public struct KeyValueStore: StateMachine, Sendable {
    /// The longest key in bytes; the shortest is one byte.
    public static let keySizeLimitBytes = 4_096
    /// The longest value in bytes, also after an append.
    public static let valueSizeLimitBytes = 1 << 20

    var table: RecordTable

    /// An empty store.
    ///
    /// - `tableSeed`: decides only where records lie in memory, never what anybody is answered. A
    ///   server passes a random number, so that clients can't choose keys that collide.
    public init(tableSeed: UInt64 = 0) {
        table = RecordTable(seed: tableSeed)
    }

    /// How many keys have a value.
    public var keyCount: Int { table.count }
    /// Sum of the sizes of all keys and values.
    public var contentSizeBytes: Int { table.contentSizeBytes }

    public func digest() -> UInt64 { table.digest }

    // MARK: Applying

    /// As the batch form, for one command; for tests and small tools.
    public mutating func apply(_ command: Command, at index: LogIndex) -> Reply {
        var writer = ByteWriter(capacity: 64)
        command.encode(into: &writer)
        return writer.bytes.withUnsafeBytes { bytes in
            guard let view = CommandView(bytes) else {
                preconditionFailure("a command's own encoding must decode")
            }
            return apply(view, at: index)
        }
    }

    public mutating func apply(_ batch: CommittedBatch, replies: inout ReplyBuffer) {
        for (index, bytes) in batch {
            guard let view = CommandView(bytes) else {
                replies.appendRefusal()
                continue
            }
            replies.append(apply(view, at: index))
        }
    }

    mutating func apply(_ command: CommandView, at index: LogIndex) -> Reply {
        let hash = table.hash(of: command.key)
        let place = table.find(command.key, hash: hash)
        if let expected = command.ifVersion {
            let actual = place.map { table.version(at: $0) } ?? .zero
            guard actual == expected else { return .conflict(.version(actual: actual)) }
        }
        switch command.operation {
        case .put: return put(command, hash: hash, place: place, at: index)
        case .delete: return delete(place)
        case .append: return append(command, hash: hash, place: place, at: index)
        case .increment: return increment(command, hash: hash, place: place, at: index)
        }
    }

    private mutating func put(
        _ command: CommandView, hash: RecordTable.Hash, place: RecordTable.Place?,
        at index: LogIndex
    ) -> Reply {
        guard command.value.count <= KeyValueStore.valueSizeLimitBytes else { return .tooLarge }
        write(command.key, command.value, hash: hash, place: place, version: index)
        return .written(version: index)
    }

    private mutating func delete(_ place: RecordTable.Place?) -> Reply {
        guard let place else { return .deleted(existed: false) }
        table.remove(at: place)
        return .deleted(existed: true)
    }

    private mutating func append(
        _ command: CommandView, hash: RecordTable.Hash, place: RecordTable.Place?,
        at index: LogIndex
    ) -> Reply {
        let old = place.map { table.valueCount(at: $0) } ?? 0
        // Both are at most 32 bits wide, so the sum can't overflow.
        let length = old + command.value.count
        guard length <= KeyValueStore.valueSizeLimitBytes else { return .tooLarge }
        if let place {
            table.append(command.value, at: place, version: index)
        } else {
            table.insert(command.key, command.value, hash: hash, version: index)
        }
        return .appended(version: index, length: UInt64(length))
    }

    private mutating func increment(
        _ command: CommandView, hash: RecordTable.Hash, place: RecordTable.Place?,
        at index: LogIndex
    ) -> Reply {
        var number: Int64 = 0
        if let place {
            guard let stored = table.withValue(at: place, { Decimal.parse($0) }) else {
                return .conflict(.notANumber)
            }
            number = stored
        }
        let (sum, overflow) = number.addingReportingOverflow(command.by)
        guard !overflow else { return .conflict(.overflow) }
        Decimal.withText(of: sum) { text in
            write(command.key, text, hash: hash, place: place, version: index)
        }
        return .incremented(version: index, value: sum)
    }

    private mutating func write(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, hash: RecordTable.Hash,
        place: RecordTable.Place?, version: LogIndex
    ) {
        if let place {
            table.replace(value, at: place, version: version)
        } else {
            table.insert(key, value, hash: hash, version: version)
        }
    }

    // MARK: Asking

    public func answer(_ query: Query) -> Answer {
        switch query {
        case .get(let key):
            key.bytes.withUnsafeBytes { bytes in
                guard let place = table.find(bytes, hash: table.hash(of: bytes)) else {
                    return .missing
                }
                let value = table.withValue(at: place) { [UInt8]($0) }
                return .value(value, version: table.version(at: place))
            }
        case .size:
            .size(keyCount: keyCount, contentSizeBytes: contentSizeBytes)
        }
    }
}
