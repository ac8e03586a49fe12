import KraftKeyValue
import KraftMultiRaft

/// Carries out requests on keys: finds the group, proposes or reads, answers.
struct KeyHandler: Sendable {
    let manager: KraftMultiRaft
    let directory: RoutingDirectory
    let book: AddressBook
    let sessions: SessionKeeper

    /// - `session`: which a write belongs to; reads have none.
    func handle(
        _ request: KeyRequest, session: SessionUse?, deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        switch request {
        case .read(let key, let consistency):
            let (group, result) = try await perform(key, deadline: deadline, isRead: true) {
                group, _, timeout throws(KraftError) in
                try await group.readIndexed(.get(key), consistency, timeout: timeout)
            }
            return try KeyRequest.answer(result.answer, group: group, index: result.index)
        case .write(let command):
            let (group, result) = try await perform(
                command.key, deadline: deadline, isRead: false
            ) { group, epoch, timeout throws(KraftError) in
                guard let session else {
                    return try await group.proposeIndexed(command, route: epoch, timeout: timeout)
                }
                let result = try await group.proposeIndexed(
                    command, session: session.token.id, sequence: session.sequence, route: epoch,
                    timeout: timeout)
                sessions.used(session.token)
                return result
            }
            return try KeyRequest.answer(result.reply, group: group, index: result.index)
        }
    }

    private func perform<Answer>(
        _ key: KeyValueStore.Key, deadline: ContinuousClock.Instant, isRead: Bool,
        _ body: (Group<KeyValueStore>, Epoch, Duration) async throws(KraftError) -> Answer
    ) async throws(HTTPFault) -> (GroupName, Answer) {
        do throws(KraftError) {
            return try await withFreshRoute(
                deadline: deadline,
                route: { () throws(KraftError) in try directory.route(key.bytes) },
                refresh: { await refresh() },
                attempt: { route, timeout throws(KraftError) in
                    let group = try manager.group(route.group.string, of: KeyValueStore.self)
                    return (route.group, try await body(group, route.epoch, timeout))
                })
        } catch {
            throw await fault(
                error, group: error.group ?? (try? directory.route(key.bytes).group),
                isRead: isRead)
        }
    }

    private func fault(
        _ error: KraftError, group: GroupName?, isRead: Bool
    ) async -> HTTPFault {
        var leader: String?
        if let node = error.leader { leader = await book.address(of: node) }
        var fault = HTTPFault.ofKey(error, group: group, isRead: isRead) { _ in leader }
        // A witness has nothing to read.
        if isRead, error.code == .unavailable, let group,
            let status = try? await manager.status(of: group.string), status.role == .witness
        {
            fault.elsewhere = .anyHolder
        }
        return fault
    }

    /// Asks this node's groups for their epochs. They may lag behind the leader that refused the
    /// route, so without news a moment passes before the next try.
    private func refresh() async {
        let groups = await manager.status().groups
        if !directory.learn(groups.map { ($0.name, $0.epoch) }) {
            try? await Task.sleep(for: .milliseconds(10))
        }
    }
}
