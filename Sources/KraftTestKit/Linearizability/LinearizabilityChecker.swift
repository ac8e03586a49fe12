/// Says whether a history is linearizable: whether each object behaved as if its operations had
/// taken effect one at a time, each at some instant between its invocation and its answer.
///
/// A history is linearizable if each object's part is (Herlihy and Wing, 1990, theorem 1), so each
/// is searched by itself. Real time is respected as the clients saw it: an operation that was
/// answered before another one was invoked comes before it.
///
/// ```swift
/// let report = LinearizabilityChecker(KeyValueModel()).check(history)
/// guard report.verdict == .linearizable else { print(report); exit(1) }
/// ```
public struct LinearizabilityChecker<Model: SequentialModel>: Sendable {
    public var model: Model
    /// How often the search of one object may ask the model before it gives up undecided. A correct
    /// history takes a few steps an operation; a step takes some 100 ns and up to 100 bytes.
    public var stepLimit = 20_000_000

    public init(_ model: Model) { self.model = model }

    /// Checks all objects, also after one was found wrong.
    public func check(_ history: History<Model>) -> LinearizabilityReport {
        var report = LinearizabilityReport()
        for (object, entries) in history.byObject {
            report.objects += 1
            report.count(entries)
            var search = LinearizationSearch(model: model, entries)
            let outcome = search.run(stepLimit: stepLimit)
            report.steps += search.steps
            switch outcome {
            case .linearizable: break
            case .undecided: report.undecided.append(object)
            case .stuck(let place):
                var counterexample = Counterexample(model: model)
                report.violations.append(
                    counterexample.explain(object, entries, stuckAt: place))
            }
        }
        return report
    }
}

/// What a check of a history found.
public struct LinearizabilityReport: Sendable, CustomStringConvertible {
    public enum Verdict: String, Sendable {
        case linearizable
        /// Some object's operations have no order.
        case violated = "NOT LINEARIZABLE"
        /// No violation was found, but the search of some object was given up.
        case undecided = "UNDECIDED"
    }

    public internal(set) var objects = 0
    public internal(set) var answered = 0
    public internal(set) var refused = 0
    /// Operations whose outcome nobody knows.
    public internal(set) var open = 0
    /// The size of the search.
    public internal(set) var steps = 0
    public internal(set) var violations: [LinearizabilityViolation] = []
    /// Objects whose search was given up.
    public internal(set) var undecided: [String] = []

    public var operations: Int { answered + refused + open }

    public var verdict: Verdict {
        if !violations.isEmpty { return .violated }
        return undecided.isEmpty ? .linearizable : .undecided
    }

    mutating func count<Model>(_ entries: [History<Model>.Entry]) {
        for entry in entries {
            switch entry.outcome {
            case .answered: answered += 1
            case .refused: refused += 1
            case .open: open += 1
            }
        }
    }

    public var description: String {
        var lines = violations.map(\.description)
        if !undecided.isEmpty {
            lines.append("given up after too many steps: \(undecided.joined(separator: ", "))")
        }
        lines.append(
            """
            \(verdict.rawValue): \(operations) operations on \(objects) objects \
            (\(answered) answered, \(refused) refused, \(open) unknown), \(steps) steps
            """)
        return lines.joined(separator: "\n")
    }
}

/// An object whose operations have no order, and why.
public struct LinearizabilityViolation: Sendable, CustomStringConvertible {
    public var object: String
    /// In words, several lines.
    public var description: String
}

extension LinearizationSearch {
    /// - `entries`: of one object, by invocation. What was refused has no place in the order.
    init(model: Model, _ entries: [History<Model>.Entry]) {
        var heard: [Heard] = []
        var unheard: [Unheard] = []
        for entry in entries {
            switch entry.outcome {
            case .answered(let answer, let time):
                heard.append(
                    Heard(
                        operation: entry.operation, answer: answer, invoked: entry.invoked,
                        returned: time))
            case .open:
                unheard.append(Unheard(operation: entry.operation, invoked: entry.invoked))
            case .refused: break
            }
        }
        self.init(model: model, heard: heard, unheard: unheard)
    }
}
