/// Finds the smallest part of an object's history that has no order, and puts it into words.
///
/// Two changes keep a linearizable history linearizable: leaving out a read, and forgetting the
/// answer of any other operation (it may then take effect at any time, or never). So if the history
/// still has no order after such changes, what is left proves the violation by itself.
struct Counterexample<Model: SequentialModel> {
    typealias Entry = History<Model>.Entry

    private let model: Model
    /// Steps that all trials together may take, and each of them. What isn't decided then is kept.
    private var budget = 20_000_000
    private static var trialLimit: Int { 1_000_000 }
    /// Lines of operations in a description.
    private static var lineLimit: Int { 40 }

    init(model: Model) { self.model = model }

    /// - `entries`: of the object, by invocation.
    /// - `stuckAt`: the operation, among the answered ones, whose end no order gets past.
    mutating func explain(
        _ object: String, _ entries: [Entry], stuckAt place: Int
    ) -> LinearizabilityViolation {
        let answered = entries.filter { $0.answer != nil }
        let stuck = answered[place]
        // Nothing that was invoked after its end can help it.
        let window = entries.filter { $0.invoked <= stuck.returned && !$0.isRefused }
        let kept = shrink(window, to: stuck)
        let witness = kept.filter { $0.answer != nil }
        let unheard = kept.count { $0.answer == nil && !model.isRead($0.operation, nil) }

        var lines = ["\(object.isEmpty ? "the object" : object) is not linearizable"]
        let ended = answered.count { $0.returned < stuck.returned }
        lines.append(
            "  the \(ended) operations that ended before have an order, then nothing fits:")
        lines.append("    \(line(stuck, since: entries))")
        let others =
            unheard == 0 ? "" : ", whatever became of \(unheard) that may have taken effect"
        lines.append("  these alone have no order\(others):")
        if witness.count > Self.lineLimit {
            lines.append("    … \(witness.count - Self.lineLimit) before")
        }
        for entry in witness.suffix(Self.lineLimit) {
            lines.append("    \(line(entry, since: entries))")
        }
        lines += suspects(stuck, entries)
        return LinearizabilityViolation(
            object: object, description: lines.joined(separator: "\n"))
    }

    // MARK: Shrinking

    private mutating func search(_ entries: [Entry]) -> LinearizationSearch<Model>.Outcome {
        var search = LinearizationSearch(model: model, entries)
        let outcome = search.run(stepLimit: min(budget, Self.trialLimit))
        budget -= search.steps + entries.count
        return outcome
    }

    /// Weakens ever smaller runs of entries as long as there is no order (delta debugging, Zeller
    /// and Hildebrandt, 2002).
    private mutating func shrink(_ entries: [Entry], to stuck: Entry) -> [Entry] {
        var kept = entries
        var size = kept.count
        while size > 0, budget > 0 {
            var changed = false
            var start = 0
            while start < kept.count, budget > 0 {
                let end = min(start + size, kept.count)
                let weaker = weaken(kept, start..<end, but: stuck)
                if weaker != kept, case .stuck = search(weaker) {
                    changed = true
                    // The run may have lost some entries.
                    start = end - (kept.count - weaker.count)
                    kept = weaker
                } else {
                    start = end
                }
            }
            if size == 1, changed { continue }
            size /= 2
        }
        return kept
    }

    /// The entries without the reads of a run, and without the answers of the rest of it.
    private func weaken(_ entries: [Entry], _ run: Range<Int>, but stuck: Entry) -> [Entry] {
        var weaker = Array(entries[..<run.lowerBound])
        for var entry in entries[run] {
            if entry != stuck {
                if model.isRead(entry.operation, entry.answer) { continue }
                entry.outcome = .open
            }
            weaker.append(entry)
        }
        return weaker + entries[run.upperBound...]
    }

    // MARK: Words

    private func named(_ object: String) -> String { object.isEmpty ? "the object" : object }

    private func line(_ entry: Entry, since entries: [Entry]) -> String {
        let start = entries.first?.invoked ?? 0
        let invoked = Milliseconds(entry.invoked - start)
        let process = "process \(entry.process)"
        switch entry.outcome {
        case .answered(let answer, let time):
            let returned = Milliseconds(time - start)
            return "\(invoked) to \(returned) ms, \(process): \(entry.operation) -> \(answer)"
        case .open: return "\(invoked) ms, \(process): \(entry.operation), unknown"
        case .refused(let time):
            let returned = Milliseconds(time - start)
            return "\(invoked) to \(returned) ms, \(process): \(entry.operation), refused"
        }
    }

    /// What was refused, but would make the difference.
    private mutating func suspects(_ stuck: Entry, _ entries: [Entry]) -> [String] {
        var lines: [String] = []
        let window = entries.filter { $0.invoked <= stuck.returned }
        for entry in window where entry.isRefused && !model.isRead(entry.operation, nil) {
            guard lines.count < 6, budget > 0 else { break }
            let supposed = window.map { other in
                guard other == entry else { return other }
                var other = other
                other.outcome = .open
                return other
            }
            guard search(supposed) == .linearizable else { continue }
            lines.append("  as if this had taken effect, though it was refused:")
            lines.append("    \(line(entry, since: entries))")
        }
        return lines
    }
}

/// Nanoseconds as milliseconds with three digits, without Foundation.
private struct Milliseconds: CustomStringConvertible {
    let nanoseconds: UInt64
    init(_ nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    var description: String {
        let fraction = "\(nanoseconds / 1_000 % 1_000)"
        return "\(nanoseconds / 1_000_000).\(String(repeating: "0", count: 3 - fraction.count))"
            + fraction
    }
}

extension History.Entry {
    var answer: Model.Answer? { if case .answered(let answer, _) = outcome { answer } else { nil } }
    var isRefused: Bool { if case .refused = outcome { true } else { false } }
    /// When it ended; never, for an open one.
    var returned: UInt64 {
        switch outcome {
        case .answered(_, let time), .refused(let time): time
        case .open: .max
        }
    }
}
