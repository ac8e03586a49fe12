/// Finds a small part of an object's history that has no order, and puts it into words.
///
/// What comes before the last moment at which no answered operation was under way is replaced by the
/// states in which it may have left the object. Of the rest, two changes keep a linearizable history
/// linearizable: leaving out a read, and forgetting the answer of any other operation (it may then
/// take effect at any time, or never). So if there is still no order after such changes, what is left
/// proves the violation by itself.
struct Counterexample<Model: SequentialModel> {
    typealias Entry = History<Model>.Entry

    private let model: Model
    /// Steps that all trials for all objects may take together, and each of them. What isn't decided
    /// then is kept.
    private var budget = 10_000_000
    private static var trialLimit: Int { 1_000_000 }
    /// Lines of operations in a description.
    private static var lineLimit: Int { 40 }
    private static var stateLimit: Int { 8 }

    init(model: Model) { self.model = model }

    /// - `entries`: of the object, by invocation.
    /// - `stuckAt`: the operation, among the answered ones, whose end no order gets past.
    mutating func explain(
        _ object: String, _ entries: [Entry], stuckAt place: Int
    ) -> LinearizabilityViolation {
        let answered = entries.filter { $0.answer != nil }
        let stuck = answered[place]
        let before = Counterexample.cut(answered, before: place)
        let starts = states(entries, after: before)
        // Nothing that was invoked after its end can help it.
        let window = answered[before...].filter { $0.invoked <= stuck.returned }
        let open = entries.filter {
            $0.answer == nil && !$0.isRefused && $0.invoked <= stuck.returned
                && !model.isRead($0.operation, nil)
        }
        let kept = shrink(Array(window), open, to: stuck, from: starts)

        var lines = ["\(object.isEmpty ? "the object" : object) is not linearizable"]
        let begun = answered.first?.invoked ?? 0
        if before > 0 {
            let end = Milliseconds(answered[..<before].reduce(0) { max($0, $1.returned) } - begun)
            lines.append("  at \(end) ms, after \(before) answered operations, it held")
        } else {
            lines.append("  in the beginning it held")
        }
        lines += starts.prefix(Self.stateLimit).map { "    \($0)" }
        if starts.count > Self.stateLimit {
            lines.append("    or one of \(starts.count - Self.stateLimit) others")
        }
        let others = open.count + kept.count { $0.answer == nil }
        let whatever =
            others == 0 ? "" : ", whatever became of \(others) that may have taken effect"
        lines.append("  what follows has no order from there\(whatever):")
        let witness = kept.filter { $0.answer != nil }
        if witness.count > Self.lineLimit {
            lines.append("    \(witness.count - Self.lineLimit) operations, then")
        }
        lines += witness.suffix(Self.lineLimit).map { "    \(line($0, since: begun))" }
        lines += suspects(stuck, entries)
        return LinearizabilityViolation(
            object: object, description: lines.joined(separator: "\n"))
    }

    /// How many operations had ended at the last moment before this one at which none was under way.
    private static func cut(_ answered: [Entry], before place: Int) -> Int {
        var cut = 0
        var end: UInt64 = 0
        for (count, entry) in answered[...place].enumerated() {
            if count > 0, end < entry.invoked { cut = count }
            end = max(end, entry.returned)
        }
        return cut
    }

    /// How the object may have been left by the first `count` answered operations.
    private mutating func states(_ entries: [Entry], after count: Int) -> [Model.State] {
        guard count > 0 else { return [model.initialState] }
        var search = LinearizationSearch(model: model, entries)
        search.cut = count
        // As in the search that found the violation: until all has been tried.
        _ = search.run(stepLimit: .max)
        return search.statesAtCut
    }

    // MARK: Shrinking

    private mutating func isViolated(_ entries: [Entry], from starts: [Model.State]) -> Bool {
        for start in starts {
            var search = LinearizationSearch(model: model, entries, from: start)
            let outcome = search.run(stepLimit: min(max(budget, 0), Self.trialLimit))
            // Getting ready compares unheard writes with answers.
            let heard = entries.count { $0.answer != nil }
            budget -= search.steps + entries.count + heard * (entries.count - heard) / 4
            guard case .stuck = outcome else { return false }
        }
        return true
    }

    /// Weakens ever smaller runs of entries as long as there is no order (delta debugging, Zeller
    /// and Hildebrandt, 2002).
    private mutating func shrink(
        _ entries: [Entry], _ open: [Entry], to stuck: Entry, from starts: [Model.State]
    ) -> [Entry] {
        func all(_ some: [Entry]) -> [Entry] {
            (open + some).sorted { $0.invoked < $1.invoked }
        }
        var kept = entries
        var size = kept.count
        while size > 0, budget > 0 {
            var changed = false
            var start = 0
            while start < kept.count, budget > 0 {
                let end = min(start + size, kept.count)
                let weaker = weaken(kept, start..<end, but: stuck)
                if weaker != kept, isViolated(all(weaker), from: starts) {
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

    /// - `start`: what times are counted from.
    private func line(_ entry: Entry, since start: UInt64) -> String {
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
            var search = LinearizationSearch(model: model, supposed)
            let outcome = search.run(stepLimit: min(max(budget, 0), Self.trialLimit))
            budget -= search.steps + supposed.count
            guard outcome == .linearizable else { continue }
            lines.append("  as if this had taken effect, though it was refused:")
            lines.append("    \(line(entry, since: entries.first?.invoked ?? 0))")
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
