/// A request that another node is asked to answer.
struct PassedRequest: Sendable, Equatable {
    var method: String
    /// Still percent-encoded, without the query.
    var path: String
    var parameters: QueryParameters
    /// Those that mean something to the other node.
    var headers: [HTTPAnswer.Header] = []
    var body: [UInt8] = []

    /// With it a request isn't passed on again. Names the node that passed it on; in an answer, the
    /// node that gave it.
    static let forwardedHeader = "Kraft-Forwarded"
    /// In the answer to a request that was passed on: nothing was done, ask another node.
    static let elsewhereHeader = "Kraft-Elsewhere"

    /// To ask twice, or without hearing the answer, does no harm.
    var isRead: Bool { method == "GET" }

    /// Path and query, with the time that is left.
    func target(timeout: Duration) -> String {
        "\(path)?\(parameters.text(timeout: timeout))"
    }
}
