/// Identifies a node of the cluster. Chosen by the operator, from 1; 0 is never a node.
public struct NodeID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    /// The value that stands for "no node": no vote, no known leader.
    @inlinable public static var none: NodeID { NodeID(0) }
    @inlinable public var isNone: Bool { rawValue == 0 }

    @inlinable public static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(rawValue) }
}

extension NodeID: ExpressibleByIntegerLiteral {
    @inlinable public init(integerLiteral value: UInt32) { self.init(value) }
}

/// A Raft term (Raft dissertation, section 3.3): a logical clock; never falls.
public struct Term: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The term before any election.
    @inlinable public static var zero: Term { Term(0) }
    @inlinable public var next: Term { Term(rawValue + 1) }

    @inlinable public static func < (a: Term, b: Term) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(rawValue) }
}

/// The place of an entry in a group's log, from 1; 0 stands before the first entry.
public struct LogIndex: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static var zero: LogIndex { LogIndex(0) }
    @inlinable public var next: LogIndex { LogIndex(rawValue + 1) }
    /// The index before this one. Traps at zero.
    @inlinable public var previous: LogIndex { LogIndex(rawValue - 1) }

    @inlinable public static func < (a: LogIndex, b: LogIndex) -> Bool { a.rawValue < b.rawValue }
    @inlinable public static func + (a: LogIndex, count: Int) -> LogIndex {
        LogIndex(a.rawValue + UInt64(count))
    }
    /// How many entries lie between: `to - from`. Traps if `from` is the later one.
    @inlinable public static func - (to: LogIndex, from: LogIndex) -> Int {
        Int(to.rawValue - from.rawValue)
    }
    public var description: String { String(rawValue) }
}

/// A point on a node's monotonic clock, in nanoseconds from an origin of the driver's choosing.
///
/// Time reaches the protocol only inside events. Two nodes' instants can't be compared.
public struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let nanoseconds: UInt64

    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    @inlinable public static var zero: Instant { Instant(nanoseconds: 0) }
    /// Later than every instant that a clock can show: "no deadline".
    @inlinable public static var never: Instant { Instant(nanoseconds: .max) }

    @inlinable public static func < (a: Instant, b: Instant) -> Bool {
        a.nanoseconds < b.nanoseconds
    }
    /// Saturates at `.never`.
    @inlinable public static func + (a: Instant, span: Nanoseconds) -> Instant {
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(span.rawValue)
        return overflow ? .never : Instant(nanoseconds: sum)
    }
    /// The time from `from` to `to`; zero if `from` is the later one.
    @inlinable public static func - (to: Instant, from: Instant) -> Nanoseconds {
        Nanoseconds(to < from ? 0 : to.nanoseconds - from.nanoseconds)
    }
    public var description: String { "\(nanoseconds / 1_000_000)ms" }
}

/// A length of time. Never negative.
public struct Nanoseconds: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static var zero: Nanoseconds { Nanoseconds(0) }
    /// Saturates, as do the other units.
    @inlinable public static func microseconds(_ n: UInt64) -> Nanoseconds { of(n, 1_000) }
    @inlinable public static func milliseconds(_ n: UInt64) -> Nanoseconds { of(n, 1_000_000) }
    @inlinable public static func seconds(_ n: UInt64) -> Nanoseconds { of(n, 1_000_000_000) }

    @inlinable static func of(_ n: UInt64, _ unit: UInt64) -> Nanoseconds {
        let (product, overflow) = n.multipliedReportingOverflow(by: unit)
        return Nanoseconds(overflow ? .max : product)
    }

    @inlinable public static func < (a: Nanoseconds, b: Nanoseconds) -> Bool {
        a.rawValue < b.rawValue
    }
}
