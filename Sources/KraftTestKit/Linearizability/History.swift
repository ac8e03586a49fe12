/// What clients asked of some objects, when, and what they were told.
///
/// An object is whatever has a state of its own: a key, a queue, a whole state machine. Times are
/// nanoseconds of one monotonic clock (of the machine on which all clients ran, or of a simulation);
/// only their order counts.
public struct History<Model: SequentialModel>: Sendable {
    public typealias Operation = Model.Operation
    public typealias Answer = Model.Answer

    /// How an operation ended, from the client's view.
    public enum Outcome: Hashable, Sendable {
        /// It took effect between its invocation and `at`.
        case answered(Answer, at: UInt64)
        /// It did not take effect, and never will.
        case refused(at: UInt64)
        /// Nobody knows: it may take effect at any time after its invocation, or never. Also what
        /// hasn't ended yet.
        case open
    }

    public struct Entry: Hashable, Sendable {
        /// Who asked. A process asks one thing at a time, and nothing more after an open one.
        public var process: Int
        public var object: String
        public var operation: Operation
        public var invoked: UInt64
        public var outcome: Outcome

        public init(
            process: Int, object: String, operation: Operation, invoked: UInt64, outcome: Outcome
        ) {
            self.process = process
            self.object = object
            self.operation = operation
            self.invoked = invoked
            self.outcome = outcome
        }
    }

    /// Names an operation that has been invoked.
    public struct Ticket: Hashable, Sendable { let place: Int }

    public private(set) var entries: [Entry]

    /// - `entries`: in any order. None may end before it was invoked.
    public init(_ entries: [Entry] = []) {
        self.entries = []
        for entry in entries { append(entry) }
    }

    public mutating func append(_ entry: Entry) {
        switch entry.outcome {
        case .answered(_, let time), .refused(let time):
            precondition(time >= entry.invoked, "an operation ends before it begins: \(entry)")
        case .open: break
        }
        entries.append(entry)
    }

    /// Puts down that an operation begins; it is open until `end`.
    public mutating func invoke(
        process: Int, on object: String = "", _ operation: Operation, at time: UInt64
    ) -> Ticket {
        append(
            Entry(
                process: process, object: object, operation: operation, invoked: time,
                outcome: .open))
        return Ticket(place: entries.count - 1)
    }

    /// Puts down how it ended.
    public mutating func end(_ ticket: Ticket, _ outcome: Outcome) {
        var entry = entries[ticket.place]
        precondition(entry.outcome == .open, "an operation ends twice: \(entry)")
        entry.outcome = outcome
        switch outcome {
        case .answered(_, let time), .refused(let time):
            precondition(time >= entry.invoked, "an operation ends before it begins: \(entry)")
        case .open: break
        }
        entries[ticket.place] = entry
    }

    /// The entries of each object, objects by name, entries by invocation.
    var byObject: [(object: String, entries: [Entry])] {
        var places: [String: Int] = [:]
        var parts: [(object: String, entries: [Entry])] = []
        for entry in entries {
            if let place = places[entry.object] {
                parts[place].entries.append(entry)
            } else {
                places[entry.object] = parts.count
                parts.append((entry.object, [entry]))
            }
        }
        parts.sort { $0.object < $1.object }
        for place in parts.indices {
            // Stable, so that entries of one instant keep the order in which they were put down.
            parts[place].entries = parts[place].entries.enumerated()
                .sorted { ($0.element.invoked, $0.offset) < ($1.element.invoked, $1.offset) }
                .map(\.element)
        }
        return parts
    }
}
