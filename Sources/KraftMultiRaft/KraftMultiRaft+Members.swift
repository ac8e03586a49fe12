extension KraftMultiRaft {
    /// Begins a change of a group's members: any number of additions and removals at once. Any
    /// node that has the group may be asked. New voters are learners until they have caught up; then
    /// the group passes through a joint configuration (dissertation sections 4.2.1 and 4.3). All of
    /// that follows of itself, through whichever leader: `state(of:)` says how far it is.
    ///
    /// Throws `conflict` while another change is under way, `badRequest` for one that doesn't fit the
    /// members or names a node that isn't in the cluster, `unavailable` without a leader,
    /// `outcomeUnknown` when the leader was lost meanwhile.
    public func changeMembers(
        of name: String, add: [MembershipChange.Addition] = [], remove: [NodeID] = [],
        timeout: Duration? = nil
    ) async throws(KraftError) -> ChangeID {
        let name = try GroupName(checking: name)
        let deadline = Instant.after(timeout ?? configuration.requestTimeout)
        return try await runtime(of: name).result(of: ChangeCall(group: name)) { driver, call in
            driver.changeMembers(
                name, .init(add: add, remove: remove), deadline: deadline, call: call)
        }
    }

    /// How a change of members stands, as far as this node knows. Throws `notFound` for a change of
    /// a group that isn't here, unless this node saw it end before it was removed from the group:
    /// then the group's members know.
    public func state(of change: ChangeID) async throws(KraftError) -> ChangeState {
        try await status(of: change).state
    }

    /// As `state(of:)`, with the step at which the change is.
    public func status(of change: ChangeID) async throws(KraftError) -> ChangeStatus {
        guard let known = await running?.all({ $0.status(of: change) }) else {
            throw .notRunning(change.group)
        }
        guard let status = known.lazy.compactMap({ $0 }).first else {
            throw .noSuchGroup(change.group)
        }
        return status
    }

    /// The changes that were begun through this node (the last 1,024 since it started), and those
    /// that run in its groups or ended last there.
    public func changes() async -> [ChangeStatus] {
        await running?.all { $0.changes }?.flatMap { $0 } ?? []
    }

    /// Takes a node into the cluster: all nodes will talk to it. `address` is where its peer port is
    /// reached. Nothing happens if it is a member already; a node that left may come back with an
    /// empty folder. Throws `conflict` for an id that is another node's.
    ///
    /// - `adapters`: where those of its dedicated adapters are reached that this node has too, by name;
    ///   `badRequest` for others.
    public func join(
        _ node: NodeID, address: String, adapters: [String: String] = [:]
    ) async throws(KraftError) {
        var targets = [(try runtime(adapter: nil), address)]
        for (name, address) in adapters.sorted(by: { $0.key < $1.key }) {
            targets.append((try runtime(adapter: name), address))
        }
        for (runtime, address) in targets {
            try await runtime.result(of: DoneCall(group: nil)) { driver, call in
                driver.join(node, address: address, call: call)
            }
        }
    }

    /// Takes a node out of the cluster, on all adapters: nobody talks to it any more. Remove it from its
    /// groups first. Throws `notFound` for a node that isn't a member.
    public func leave(_ node: NodeID) async throws(KraftError) {
        guard let running else { throw .notRunning() }
        var missing: KraftError?
        var count = 0
        for runtime in running.runtimes {
            do throws(KraftError) {
                try await runtime.result(of: DoneCall(group: nil)) { driver, call in
                    driver.leave(node, call: call)
                }
                count += 1
            } catch {
                guard error.code == .notFound else { throw error }
                missing = error
            }
        }
        if count == 0, let missing { throw missing }
    }

    /// The other nodes, as this one sees them; who left the cluster too. Of the shared adapter's
    /// connections: `status()` has those of the others.
    public func peers() async -> [PeerStatus] {
        await running?.shared.run { driver in driver.engine.peerStatus(now: driver.now) } ?? []
    }

    /// Has the other nodes know something else of this one (`KraftConfiguration.info`). Throws
    /// `configuration` for more than 256 bytes.
    public func setInfo(_ info: String) async throws(KraftError) {
        try await runtime(adapter: nil).result(of: DoneCall(group: nil)) { driver, call in
            call.end { () throws(KraftError) in try driver.setInfo(info) }
        }
    }
}
