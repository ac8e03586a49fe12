/// The parameters of a request's query. Strict, since a misspelt condition that is ignored would
/// make an unconditional write: unknown names, names given twice and broken escapes are errors.
struct QueryParameters: Sendable, Equatable {
    private var values: [Parameter] = []

    private struct Parameter: Sendable, Equatable {
        var name: String
        var value: String
    }

    /// None at all.
    init() {}

    static let timeoutDefaultMilliseconds = 5_000
    static let timeoutLimitMilliseconds = 600_000

    /// - `query`: what stands behind the `?`, still encoded.
    /// - `known`: the names that the endpoint has, besides `timeout_ms`.
    init(_ query: Substring, known: [String]) throws(HTTPFault) {
        for part in query.split(separator: "&") {
            let pieces = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = QueryParameters.decode(pieces[0]),
                let value = pieces.count == 1 ? "" : QueryParameters.decode(pieces[1])
            else { throw .badRequest("query: '\(part.prefix(40))' isn't percent-encoded UTF-8") }
            guard name == "timeout_ms" || known.contains(name) else {
                throw .badRequest("\(name.prefix(40)): no such parameter here")
            }
            guard self[name] == nil else { throw .badRequest("\(name): given twice") }
            values.append(Parameter(name: name, value: value))
        }
    }

    subscript(name: String) -> String? { values.first { $0.name == name }?.value }

    private static func decode(_ text: Substring) -> String? {
        PercentCoding.decode(text).flatMap { String(validating: $0, as: UTF8.self) }
    }

    /// How long the request may take.
    func timeout() throws(HTTPFault) -> Duration {
        let limit = QueryParameters.timeoutLimitMilliseconds
        guard let text = self["timeout_ms"] else {
            return .milliseconds(QueryParameters.timeoutDefaultMilliseconds)
        }
        guard let milliseconds = Int(text), (1...limit).contains(milliseconds) else {
            throw .badRequest("timeout_ms: must be a whole number from 1 to \(limit)")
        }
        return .milliseconds(milliseconds)
    }

    /// The query again, with another time limit.
    func text(timeout: Duration) -> String {
        let limit = QueryParameters.timeoutLimitMilliseconds
        let milliseconds = min(limit, max(1, Int(timeout / .milliseconds(1))))
        let others = values.filter { $0.name != "timeout_ms" }
        return (others + [Parameter(name: "timeout_ms", value: "\(milliseconds)")])
            .map { "\(PercentCoding.encode($0.name.utf8))=\(PercentCoding.encode($0.value.utf8))" }
            .joined(separator: "&")
    }

    func unsigned(_ name: String) throws(HTTPFault) -> UInt64? {
        guard let text = self[name] else { return nil }
        guard let value = UInt64(text) else {
            throw .badRequest("\(name): must be a whole number from 0 on")
        }
        return value
    }

    func signed(_ name: String) throws(HTTPFault) -> Int64? {
        guard let text = self[name] else { return nil }
        guard let value = Int64(text) else {
            throw .badRequest("\(name): must be a signed 64-bit decimal number")
        }
        return value
    }
}
