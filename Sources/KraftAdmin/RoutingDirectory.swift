import KraftMultiRaft
import Synchronization

/// The routing table that a node's requests go by, replaced when groups say that it is stale. A node
/// that joins has none until it has learned the cluster's.
final class RoutingDirectory: Sendable {
    private let router: Mutex<Router?>

    init(_ router: Router?) { self.router = Mutex(router) }

    var current: Router? { router.withLock { $0 } }

    /// Takes up the cluster's routing, if there is none yet.
    func settle(_ router: Router) { self.router.withLock { if $0 == nil { $0 = router } } }

    func route(_ key: [UInt8]) throws(KraftError) -> Route {
        guard let route = router.withLock({ $0?.route(key) }) else {
            // It did nothing, and others may know better.
            throw KraftError(.notFound, "this node has not learned the cluster's routing yet")
        }
        return route
    }

    /// Whether keys are spread over a group of this name, so that it must be somewhere.
    func owns(_ group: GroupName) -> Bool {
        router.withLock { $0?.owners.contains { $0.group == group } ?? false }
    }

    /// Takes up epochs that are newer than the table's. False when there were none.
    func learn(_ epochs: [(group: GroupName, epoch: Epoch)]) -> Bool {
        router.withLock { (current: inout Router?) in
            guard let router = current else { return false }
            var newer: [Router.Owner] = []
            for owner in router.owners {
                guard let heard = epochs.first(where: { $0.group == owner.group }),
                    heard.epoch > owner.epoch
                else { continue }
                newer.append(Router.Owner(group: owner.group, epoch: heard.epoch))
            }
            guard !newer.isEmpty, let next = try? router.settingEpochs(newer) else { return false }
            current = next
            return true
        }
    }
}

/// Tries a request by the newest route until the group takes it, or the deadline comes.
///
/// Safe to repeat: a `stale_route` promises that nothing took effect.
func withFreshRoute<Answer>(
    deadline: ContinuousClock.Instant,
    route: () throws(KraftError) -> Route,
    refresh: () async -> Void,
    attempt: (Route, Duration) async throws(KraftError) -> Answer
) async throws(KraftError) -> Answer {
    while true {
        let found = try route()
        let remaining = deadline - .now
        guard remaining > .zero else {
            throw KraftError(
                .unavailable, "no route to the key's group was found in time", group: found.group)
        }
        do throws(KraftError) {
            return try await attempt(found, remaining)
        } catch {
            guard error.code == .staleRoute else { throw error }
        }
        await refresh()
    }
}
