/// Why a router was refused. Thrown when one is built or changed, never by a lookup.
///
/// New codes may be added in any release; switch with a `default`.
public struct RoutingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong. An extensible set.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String
        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// No group at all: every key needs an owner.
        public static let noGroup = Code(rawValue: "no_group")
        /// A group, or a prefix, is given twice.
        public static let duplicate = Code(rawValue: "duplicate")
        /// The group isn't one of this router's.
        public static let unknownGroup = Code(rawValue: "unknown_group")
        /// Two ranges share a key.
        public static let overlap = Code(rawValue: "overlap")
        /// A key lies in no range.
        public static let gap = Code(rawValue: "gap")
        /// A range that holds no key: its end isn't after its start.
        public static let emptyRange = Code(rawValue: "empty_range")
        /// The empty prefix is the default group's.
        public static let emptyPrefix = Code(rawValue: "empty_prefix")
        /// A number outside its bounds (`RoutingLimits`).
        public static let outOfBounds = Code(rawValue: "out_of_bounds")
        /// This kind of router can't be changed that way.
        public static let wrongKind = Code(rawValue: "wrong_kind")
    }

    public let code: Code
    /// For a human; names the offending group, border or bound.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }
}

/// The bounds of a router. Beyond them building it throws `RoutingError.Code.outOfBounds`.
public enum RoutingLimits {
    /// Groups of one router.
    public static let groups = 1 << 20
    /// Intervals of one table, points of one ring, slots of one hash router. A full table of words
    /// takes 48 MiB.
    public static let intervals = 1 << 22
    /// Bytes of one border or prefix: as long as the longest key of the key-value store.
    public static let borderBytes = 4096
    /// Bytes of all borders of one table.
    public static let tableBytes = 1 << 28
    /// Virtual nodes for each unit of weight.
    public static let virtualNodes = 1 << 16
    /// Weight of one group on the ring.
    public static let weight = 1 << 16
    /// The largest epoch or version; no table changes often enough to get there.
    public static let epoch = Epoch(1 << 62)

    static func check(groupCount count: Int) throws(RoutingError) {
        guard count > 0 else { throw RoutingError(.noGroup, "a router needs at least one group") }
        guard count <= groups else {
            throw RoutingError(.outOfBounds, "\(count) groups; at most \(groups) in one router")
        }
    }

    static func check(epoch: Epoch) throws(RoutingError) {
        guard epoch <= self.epoch else {
            throw RoutingError(.outOfBounds, "epoch \(epoch); at most \(self.epoch)")
        }
    }
}
