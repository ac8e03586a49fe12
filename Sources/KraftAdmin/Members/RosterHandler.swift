import KraftMultiRaft

/// Takes nodes into the cluster, and out of it.
struct RosterHandler: Sendable {
    let manager: KraftMultiRaft
    let directory: RoutingDirectory
    let book: AddressBook

    let relay: Relay

    /// Asks for something of this node's own HTTP interface; what it can't answer, others may.
    typealias Ask =
        @Sendable (
            _ method: String, _ path: String, _ body: JSON?, _ deadline: ContinuousClock.Instant
        ) async throws(HTTPFault) -> HTTPAnswer

    func join(_ body: NodeBody) async throws(HTTPFault) -> HTTPAnswer {
        guard let address = body.address else { throw .badRequest("addr: missing") }
        try await checkMembership()
        do throws(KraftError) {
            try await manager.join(body.node, address: address)
        } catch {
            throw await book.fault(error)
        }
        return .json([
            "id": .node(body.node), "addr": .string(address),
            "http": body.http.map(JSON.string) ?? .null, "status": "joined",
        ])
    }

    /// Takes a node out of its groups, then out of the cluster.
    ///
    /// - `isForwarded`: another node was asked, and takes this one out of the cluster afterwards.
    func leave(
        _ node: NodeID, isForwarded: Bool, deadline: ContinuousClock.Instant, ask: @escaping Ask
    ) async throws(HTTPFault) -> HTTPAnswer {
        let left = HTTPAnswer.json(["id": .node(node), "status": "left"])
        let status = await manager.status()
        if node == manager.node {
            if status.hasLeft { return left }
            try await Departure(node: node, manager: manager, directory: directory, ask: ask)
                .run(until: deadline)
            if isForwarded { return left }
            // The others have to hear of it; from then on they don't listen any more.
            guard status.peers.isEmpty || status.peers.contains(where: \.isConnected) else {
                throw HTTPFault(.unavailable, "no other node is connected, to be told of it")
            }
        } else {
            try await checkMembership()
            guard let peer = status.peers.first(where: { $0.node == node }) else {
                throw .notFound("node_id: node \(node) is not a member")
            }
            if peer.hasLeft { return left }
            if try await !leavesByItself(peer, deadline: deadline) {
                try await Departure(node: node, manager: manager, directory: directory, ask: ask)
                    .run(until: deadline)
            }
        }
        do throws(KraftError) {
            try await manager.leave(node)
        } catch {
            // Two were asked at once.
            guard error.code != .notFound else { return left }
            throw await book.fault(error)
        }
        return left
    }

    /// What a node that has left says of the others is news to nobody.
    private func checkMembership() async throws(HTTPFault) {
        if await manager.status().hasLeft {
            throw HTTPFault(.unavailable, "this node has left the cluster; ask another one")
        }
    }

    /// Has a node that lives leave its groups by itself: it knows all of them. False if it can't be
    /// asked.
    private func leavesByItself(
        _ peer: PeerStatus, deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> Bool {
        guard peer.isAlive, NodeInfo(peer.info).http != nil else { return false }
        let request = PassedRequest(
            method: "POST", path: "/v1/cluster/leave", parameters: QueryParameters(),
            body: Array(JSON.object([.init(name: "node_id", value: .node(peer.node))]).text.utf8))
        var fault = HTTPFault(.unavailable, "node \(peer.node) can't be asked")
        fault.elsewhere = .node(peer.node)
        let answer: HTTPAnswer
        do throws(HTTPFault) {
            answer = try await relay.pass(
                request, group: nil, instead: fault, deadline: deadline)
        } catch {
            // It went away meanwhile; what it began is found in the groups.
            guard error.status != 429 else { throw error }
            return false
        }
        guard answer.status == 200 else { throw HTTPFault(passedOn: answer) }
        return true
    }
}
