import KraftMultiRaft

/// To whom a request is passed on, and what comes of it: decided here, carried out by `Relay`.
enum PassingOn {
    /// A node that may hold what this one doesn't.
    struct Candidate: Sendable, Equatable {
        var node: NodeID
        /// Its HTTP port, `host:port`.
        var http: String
    }

    /// What became of one try.
    enum Delivery: Sendable, Equatable {
        case answered(HTTPAnswer)
        /// It is certain that the other node never saw the request.
        case notSent(reason: String)
        case broken(reason: String)
    }

    /// More nodes are not asked for one request.
    static let candidateLimit = 16

    /// The nodes to ask, the likeliest first: `hint`, then those that say that they have groups.
    /// Nodes that aren't heard are asked only when there are no others.
    static func candidates(_ peers: [PeerStatus], hint: NodeID?) -> [Candidate] {
        let known = peers.filter { !$0.hasLeft && NodeInfo($0.info).http != nil }
        let alive = known.filter(\.isAlive)
        let usable = alive.isEmpty ? known : alive
        func rank(_ peer: PeerStatus) -> Int {
            if peer.node == hint { return 0 }
            return peer.groups > 0 ? 1 : 2
        }
        return usable.sorted { (rank($0), $0.node) < (rank($1), $1.node) }
            .prefix(candidateLimit)
            .compactMap { peer in
                NodeInfo(peer.info).http.map { Candidate(node: peer.node, http: $0) }
            }
    }

    /// Whether somebody is heard who can be asked.
    static func canPass(to peers: [PeerStatus]) -> Bool {
        peers.contains { $0.isAlive && !$0.hasLeft && NodeInfo($0.info).http != nil }
    }

    /// Asks one candidate after the other until one answers for itself.
    ///
    /// Throws `fault`, with which this node would answer alone, when all say that they can't serve
    /// it either; `unavailable` when some could not be asked; `outcome_unknown` when one may have
    /// carried a write out without being able to say so. A read is then asked of the next.
    static func pass(
        _ request: PassedRequest, on candidates: [Candidate], instead fault: HTTPFault,
        deadline: ContinuousClock.Instant,
        deliver: (Candidate, Duration) async -> Delivery
    ) async throws(HTTPFault) -> (node: NodeID, answer: HTTPAnswer) {
        var trouble: String?
        for candidate in candidates {
            let remaining = deadline - .now
            guard remaining > .zero else {
                trouble = trouble ?? "the time was up"
                break
            }
            switch await deliver(candidate, remaining) {
            case .answered(let answer):
                if answer.header(PassedRequest.elsewhereHeader) == nil {
                    return (candidate.node, answer)
                }
            case .notSent(let reason):
                trouble = "node \(candidate.node) can't be reached: \(reason)"
            case .broken(let reason):
                guard request.isRead else {
                    throw HTTPFault(
                        .outcomeUnknown,
                        "the request was passed on to node \(candidate.node), whose answer is "
                            + "missing: \(reason)")
                }
                trouble = "node \(candidate.node) didn't answer: \(reason)"
            }
        }
        var fault = fault
        if let trouble {
            let group = fault.group
            fault = HTTPFault(.unavailable, "\(fault.message); \(trouble)")
            fault.group = group
        }
        fault.elsewhere = nil
        throw fault
    }
}
