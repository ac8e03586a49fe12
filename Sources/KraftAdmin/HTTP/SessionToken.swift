import KraftMultiRaft

/// What a client of HTTP knows a session by: 16 hex digits of its id, a hyphen, its time to live in
/// milliseconds. To clients it is opaque. With the time to live in it, every node that sees a
/// session used knows how often to touch it elsewhere.
struct SessionToken: Hashable, Sendable {
    var id: SessionID
    var ttlMilliseconds: UInt64

    static let ttlDefaultMilliseconds: UInt64 = 60_000
    static let ttlRange: ClosedRange<UInt64> = 1_000...SessionChange.ttlLimitMilliseconds

    var text: String { "\(id)-\(ttlMilliseconds)" }
    var timeToLive: Duration { .milliseconds(Int64(ttlMilliseconds)) }

    init(id: SessionID, ttlMilliseconds: UInt64) {
        self.id = id
        self.ttlMilliseconds = ttlMilliseconds
    }

    /// Nil for a text that was never given to a client.
    init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 16, let id = UInt64(parts[0], radix: 16),
            let ttl = UInt64(parts[1]), id != 0, SessionToken.ttlRange.contains(ttl)
        else { return nil }
        self.init(id: SessionID(id), ttlMilliseconds: ttl)
        guard self.text == text else { return nil }
    }
}

/// What a write says of the session that it belongs to.
struct SessionUse: Hashable, Sendable {
    var token: SessionToken
    var sequence: UInt64

    /// From the headers `Kraft-Session` and `Kraft-Sequence`; nil when there is neither.
    ///
    /// Throws `bad_request` for one without the other and for what can't be read.
    static func read(session: String?, sequence: String?) throws(HTTPFault) -> SessionUse? {
        guard session != nil || sequence != nil else { return nil }
        guard let session, let sequence else {
            throw .badRequest("Kraft-Session and Kraft-Sequence go together")
        }
        guard let token = SessionToken(session) else {
            throw .badRequest("Kraft-Session: not one that POST /v1/sessions has answered")
        }
        let digits = sequence.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        }
        guard digits, let number = UInt64(sequence),
            SessionTag(session: token.id, sequence: number).isValid
        else { throw .badRequest("Kraft-Sequence: must be a whole number from 1 on") }
        return SessionUse(token: token, sequence: number)
    }
}
