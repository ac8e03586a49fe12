extension ResultCheck {
    var words: String {
        var words: String
        if problems.isEmpty {
            words =
                "passed: \(Report.count(Double(acknowledged))) writes acknowledged, each "
                + "applied once on \(replicas) replicas"
        } else {
            words = "FAILED: " + problems.prefix(5).joined(separator: "; ")
            if problems.count > 5 { words += "; and \(problems.count - 5) more" }
        }
        if unknown > 0 { words += "; \(unknown) with unknown outcome" }
        if refused > 0 { words += "; \(refused) refused" }
        return words
    }
}
