/// The name of a group: 1 to 128 of `A-Z a-z 0-9 . _ : -`, and neither `.` nor `..`.
public struct GroupName: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let string: String

    public static let lengthLimit = 128

    /// Nil when the string is not a legal group name.
    public init?(_ string: String) {
        let bytes = string.utf8
        guard (1...GroupName.lengthLimit).contains(bytes.count) else { return nil }
        guard bytes.allSatisfy(GroupName.isAllowed) else { return nil }
        guard string != ".", string != ".." else { return nil }
        self.string = string
    }

    @inlinable static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: ":"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    public static func < (a: GroupName, b: GroupName) -> Bool { a.string < b.string }
    public var description: String { string }
}

/// A group's identity on the wire and on disk: one life (incarnation) of one name.
///
/// A group that is removed and made anew under its name has another id, so frames and records of
/// the old life can never reach the new one.
public struct GroupID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static func < (a: GroupID, b: GroupID) -> Bool { a.rawValue < b.rawValue }
    public var description: String {
        let digits = String(rawValue, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The version of a group's borders, or of a whole routing table. Only rises.
public struct Epoch: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    @inlinable public static var first: Epoch { Epoch(1) }
    @inlinable public var next: Epoch { Epoch(rawValue + 1) }

    @inlinable public static func < (a: Epoch, b: Epoch) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(rawValue) }
}
