/// One figure that is wanted, and how far.
struct Goal: Sendable {
    enum Bound: Sendable {
        case atLeast(Double)
        case atMost(Double)
    }

    var what: String
    var bound: Bound
    /// Writes a value with its unit.
    var text: @Sendable (Double) -> String

    init(_ what: String, _ bound: Bound, _ text: @escaping @Sendable (Double) -> String) {
        (self.what, self.bound, self.text) = (what, bound, text)
    }

    var target: String {
        switch bound {
        case .atLeast(let limit): "≥ \(text(limit))"
        case .atMost(let limit): "≤ \(text(limit))"
        }
    }

    func isMet(_ value: Double) -> Bool {
        switch bound {
        case .atLeast(let limit): value >= limit
        case .atMost(let limit): value <= limit
        }
    }
}

extension Goal {
    static func rate(_ what: String, atLeast limit: Double) -> Goal {
        Goal(what, .atLeast(limit)) { "\(Report.count($0))/s" }
    }

    /// CPU of all nodes, with their clients, for one request.
    static func cpu(atMost limit: Double) -> Goal {
        Goal("CPU", .atMost(limit)) { "\(Report.decimal($0, digits: $0 < 10 ? 2 : 0)) µs" }
    }

    static func times(_ what: String, atMost limit: Double) -> Goal {
        Goal(what, .atMost(limit), Report.ratio)
    }

    static func seconds(_ what: String, atMost limit: Double) -> Goal {
        Goal(what, .atMost(limit), Report.seconds)
    }

    static func percent(_ what: String, atMost limit: Double) -> Goal {
        Goal(what, .atMost(limit)) { "\(Report.decimal($0)) % of a core" }
    }

    static func memory(atMost limit: Double) -> Goal {
        Goal("memory, a group and node", .atMost(limit), Report.bytes)
    }
}
