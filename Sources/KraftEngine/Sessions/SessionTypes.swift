/// Names a session: 64 bits that its opener draws at random, so that an id is used once. Never 0.
public struct SessionID: RawRepresentable, Hashable, Comparable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (a: SessionID, b: SessionID) -> Bool { a.rawValue < b.rawValue }
}

extension SessionID: CustomStringConvertible {
    /// 16 hex digits.
    public var description: String {
        let digits = String(rawValue, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Marks a command of a session, so that it takes effect once however often it is proposed.
public struct SessionTag: Hashable, Sendable {
    public var session: SessionID
    /// From 1, below 2^62. Retries of a command have its number; new commands have higher ones.
    public var sequence: UInt64

    public init(session: SessionID, sequence: UInt64) {
        self.session = session
        self.sequence = sequence
    }

    /// Whether neither part is one that can't be.
    public var isValid: Bool {
        session.rawValue != 0 && (1..<ByteReader.numberLimit).contains(sequence)
    }
}

/// What may be done to a group's sessions, besides using one. Each is an entry of the group's log.
public enum SessionChange: Hashable, Sendable {
    /// Opens a session that expires when it hasn't been used for so long, by the group's clock. The
    /// same opening again answers the same; an id that has had a session before is refused.
    case open(SessionID, ttlMilliseconds: UInt64)
    /// Counts as a use of each. The reply holds the ids that aren't open, 8 bytes each.
    case touch([SessionID])
    /// Ends a session; what isn't open is left as it is.
    case close(SessionID)

    /// How long a session may live without being used: one day.
    public static let ttlLimitMilliseconds: UInt64 = 86_400_000
    /// Sessions in one `touch`.
    public static let touchLimit = 1_024

    /// Whether every value is within its bounds.
    public var isValid: Bool {
        switch self {
        case .open(let id, let ttl):
            id.rawValue != 0 && (1...SessionChange.ttlLimitMilliseconds).contains(ttl)
        case .touch(let ids):
            (1...SessionChange.touchLimit).contains(ids.count)
                && ids.allSatisfy { $0.rawValue != 0 }
        case .close(let id): id.rawValue != 0
        }
    }
}
