import KraftMultiRaft
import Synchronization

/// The routing table that a node's requests go by, replaced when groups say that it is stale.
final class RoutingDirectory: Sendable {
    private let router: Mutex<Router>

    init(_ router: Router) { self.router = Mutex(router) }

    var current: Router { router.withLock { $0 } }

    func route(_ key: [UInt8]) -> Route { router.withLock { $0.route(key) } }

    /// Takes up epochs that are newer than the table's. False when there were none.
    func learn(_ epochs: [(group: GroupName, epoch: Epoch)]) -> Bool {
        router.withLock { router in
            var newer: [Router.Owner] = []
            for owner in router.owners {
                guard let heard = epochs.first(where: { $0.group == owner.group }),
                    heard.epoch > owner.epoch
                else { continue }
                newer.append(Router.Owner(group: owner.group, epoch: heard.epoch))
            }
            guard !newer.isEmpty, let next = try? router.settingEpochs(newer) else { return false }
            router = next
            return true
        }
    }
}

/// Tries a request by the newest route until the group takes it, or the deadline comes.
///
/// Safe to repeat: a `stale_route` promises that nothing took effect.
func withFreshRoute<Answer>(
    deadline: ContinuousClock.Instant,
    route: () -> Route,
    refresh: () async -> Void,
    attempt: (Route, Duration) async throws(KraftError) -> Answer
) async throws(KraftError) -> Answer {
    while true {
        let found = route()
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
