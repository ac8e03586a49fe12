/// Everything that the demo wrote: what was acknowledged, and what may or may not have happened.
///
/// A write whose answer never came, or was `outcome_unknown`, stays open for ever: it may take
/// effect at any later time, so both outcomes are right.
struct WriteLedger: Sendable {
    /// One write, handed out by `begin` and given back to `settle`.
    struct Ticket: Sendable {
        var key: String
        fileprivate var write: Write
    }

    enum Write: Sendable, Equatable {
        case put(String)
        case increment
    }

    enum Outcome: Sendable, Equatable {
        case acknowledged
        /// Promised to have no effect.
        case refused
        /// May or may not take effect.
        case open
    }

    /// What a key that was written may hold.
    enum Expectation: Sendable, Equatable {
        /// The last acknowledged value, or any that is open.
        case value(acknowledged: String?, open: [String])
        case counter(acknowledged: Int, open: Int)
    }

    enum Verdict: Sendable, Equatable {
        case right
        /// An acknowledged write is not there.
        case lost
        /// Something is there that nobody wrote, or twice.
        case wrong
    }

    private(set) var expectations: [String: Expectation] = [:]
    private(set) var acknowledged = 0
    private(set) var refused = 0
    private(set) var open = 0

    /// A write is about to be sent. A key has at most one write on its way at a time.
    mutating func begin(_ key: String, _ write: Write) -> Ticket {
        switch (write, expectations[key]) {
        case (.put(let value), nil):
            expectations[key] = .value(acknowledged: nil, open: [value])
        case (.put(let value), .value(let acknowledged, let open)):
            expectations[key] = .value(acknowledged: acknowledged, open: open + [value])
        case (.increment, nil):
            expectations[key] = .counter(acknowledged: 0, open: 1)
        case (.increment, .counter(let acknowledged, let open)):
            expectations[key] = .counter(acknowledged: acknowledged, open: open + 1)
        default: preconditionFailure("\(key) is either a value or a counter")
        }
        open += 1
        return Ticket(key: key, write: write)
    }

    mutating func settle(_ ticket: Ticket, _ outcome: Outcome) {
        guard outcome != .open else { return }
        open -= 1
        let isAcknowledged = outcome == .acknowledged
        if isAcknowledged { acknowledged += 1 } else { refused += 1 }
        switch (ticket.write, expectations[ticket.key]) {
        case (.put(let value), .value(let before, let open)):
            expectations[ticket.key] = .value(
                acknowledged: isAcknowledged ? value : before, open: open.filter { $0 != value })
        case (.increment, .counter(let before, let open)):
            expectations[ticket.key] = .counter(
                acknowledged: before + (isAcknowledged ? 1 : 0), open: open - 1)
        default: preconditionFailure("a ticket belongs to what began it")
        }
    }

    /// Whether what a linearizable read found (nil: no value) can be.
    func judge(_ key: String, found: String?) -> Verdict {
        switch expectations[key] {
        case nil: return found == nil ? .right : .wrong
        case .value(let acknowledged, let open):
            if found == acknowledged { return .right }
            if let found, open.contains(found) { return .right }
            return acknowledged == nil ? .wrong : .lost
        case .counter(let acknowledged, let open):
            guard let found else { return acknowledged == 0 ? .right : .lost }
            guard let number = Int(found) else { return .wrong }
            if number < acknowledged { return .lost }
            return number <= acknowledged + open ? .right : .wrong
        }
    }
}
