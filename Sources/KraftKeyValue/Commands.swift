import KraftEngine
import RaftCore

extension KeyValueStore {
    /// A key: 1 to 4,096 bytes of any kind.
    public struct Key: Hashable, Sendable {
        public let bytes: [UInt8]

        /// Nil when the bytes are too few or too many.
        public init?(_ bytes: some Sequence<UInt8>) {
            let bytes = Array(bytes)
            guard (1...KeyValueStore.keySizeLimitBytes).contains(bytes.count) else { return nil }
            self.bytes = bytes
        }

        public init?(_ string: String) { self.init(string.utf8) }
    }

    /// One write. `ifVersion` is a condition on the key's version, 0 for "has no value"; a command
    /// whose condition fails changes nothing and is answered `conflict`.
    public enum Command: Hashable, Sendable {
        case put(Key, value: [UInt8], ifVersion: LogIndex? = nil)
        case delete(Key, ifVersion: LogIndex? = nil)
        /// Adds bytes at the value's end; a key without a value begins as the empty one.
        case append(Key, value: [UInt8])
        /// Adds to the decimal number that the value spells; a key without a value begins as 0.
        case increment(Key, by: Int64 = 1)

        public var key: Key {
            switch self {
            case .put(let key, _, _), .delete(let key, _), .append(let key, _),
                .increment(let key, _):
                key
            }
        }
    }

    /// What a write is answered. Only `written`, `deleted`, `appended` and `incremented` changed
    /// anything.
    public enum Reply: Hashable, Sendable {
        case written(version: LogIndex)
        case deleted(existed: Bool)
        /// `length`: of the whole value, in bytes.
        case appended(version: LogIndex, length: UInt64)
        case incremented(version: LogIndex, value: Int64)
        case conflict(Conflict)
        /// The value is, or would become, longer than the limit.
        case tooLarge
    }

    /// Why a command's condition failed.
    public enum Conflict: Hashable, Sendable {
        /// The key's version is another one; 0 means that it has no value.
        case version(actual: LogIndex)
        /// The value is not a decimal signed 64-bit number.
        case notANumber
        /// The sum doesn't fit into 64 bits.
        case overflow
    }

    public enum Query: Hashable, Sendable {
        case get(Key)
        /// How much the store holds.
        case size
    }

    public enum Answer: Hashable, Sendable {
        case value([UInt8], version: LogIndex)
        /// The key has no value.
        case missing
        case size(keyCount: Int, contentSizeBytes: Int)
    }
}
