import KraftTestKit

/// Tries every order of every choice of unheard operations: slow, and plainly right.
enum NaiveChecker {
    static func isLinearizable<Model: SequentialModel>(
        _ entries: [History<Model>.Entry], _ model: Model
    ) -> Bool {
        let entries = entries.filter { if case .refused = $0.outcome { false } else { true } }
        return canEnd(model.initialState, entries, model)
    }

    static func isLinearizable(_ history: KeyHistory, versionsRise: Bool = true) -> Bool {
        isLinearizable(history.entries, KeyValueModel(versionsRise: versionsRise))
    }

    private static func canEnd<Model: SequentialModel>(
        _ state: Model.State, _ rest: [History<Model>.Entry], _ model: Model
    ) -> Bool {
        let mustCome = rest.filter { if case .answered = $0.outcome { true } else { false } }
        if mustCome.isEmpty { return true }
        for (place, entry) in rest.enumerated() {
            var answer: Model.Answer?
            if case .answered(let heard, _) = entry.outcome { answer = heard }
            let isPreceded = mustCome.contains { other in
                if case .answered(_, let end) = other.outcome { end < entry.invoked } else { false }
            }
            guard !isPreceded, let next = model.step(state, entry.operation, answer) else {
                continue
            }
            var remaining = rest
            remaining.remove(at: place)
            if canEnd(next, remaining, model) { return true }
        }
        return false
    }
}
