import Foundation
import KraftKeyValue
import KraftMultiRaft
import Synchronization

/// Answers requests on the cluster, its groups and its health.
final class ClusterHandler: Sendable {
    private let manager: KraftMultiRaft
    private let directory: RoutingDirectory
    private let book: AddressBook
    private let rates = Mutex(RateMeter())

    init(manager: KraftMultiRaft, directory: RoutingDirectory, book: AddressBook) {
        self.manager = manager
        self.directory = directory
        self.book = book
    }

    func info(http: String) async -> HTTPAnswer { .json(await view(http).info) }

    func members(http: String) async -> HTTPAnswer { .json(await view(http).members) }

    private func view(_ http: String) async -> ClusterView {
        ClusterView(
            status: await manager.status(), http: http, epoch: directory.current?.version,
            nowUnixMilliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
    }

    func sharding() async throws(HTTPFault) -> HTTPAnswer {
        guard let router = directory.current else {
            var fault = HTTPFault(
                .unavailable, "this node has not learned the cluster's routing yet")
            fault.elsewhere = .anyHolder
            throw fault
        }
        let status = await manager.status()
        let counters = await manager.metrics().mapValues(\.commandsApplied)
        let rates = rates.withLock { $0.look(counters, now: .now) }
        var shards: [GroupName: ShardingView.Shard] = [:]
        for group in status.groups {
            let size = await size(of: group.name)
            shards[group.name] = ShardingView.Shard(
                leader: group.leader, replicas: group.voters, keyCount: size.keyCount,
                contentSizeBytes: size.bytes, writesPerSecond: rates[group.name] ?? 0)
        }
        return .json(ShardingView(router: router, groups: shards).json)
    }

    /// What this node's replica holds; nothing for a group that isn't open here.
    private func size(of name: GroupName) async -> (keyCount: Int, bytes: Int) {
        guard let group = try? manager.group(name.string, of: KeyValueStore.self),
            case .size(let keyCount, let bytes) = try? await group.read(.size, .local)
        else { return (0, 0) }
        return (keyCount, bytes)
    }

    func groups() async -> HTTPAnswer {
        var groups: [JSON] = []
        for group in await manager.status().groups { groups.append(await view(group).json) }
        return .json(.array(groups))
    }

    func group(_ name: GroupName) async throws(HTTPFault) -> HTTPAnswer {
        do throws(KraftError) {
            return .json(await view(try await manager.status(of: name.string)).json)
        } catch {
            throw await .ofGroup(error, name, isRouted: directory.owns(name), book)
        }
    }

    private func view(_ status: GroupStatus) async -> GroupView {
        GroupView(status: status, digest: try? await manager.digest(of: status.name.string))
    }

    func transfer(
        _ name: GroupName, _ body: TransferBody, timeout: Duration
    ) async throws(HTTPFault) -> HTTPAnswer {
        do throws(KraftError) {
            try await manager.transferLeadership(of: name.string, to: body.to, timeout: timeout)
        } catch {
            throw await .ofGroup(error, name, isRouted: directory.owns(name), book)
        }
        return .json(["group": .string(name.string), "leader": .node(body.to)])
    }

    /// Of this node's replica.
    func snapshot(_ name: GroupName, timeout: Duration) async throws(HTTPFault) -> HTTPAnswer {
        do throws(KraftError) {
            let taken = try await manager.snapshot(of: name.string, timeout: timeout)
            return .json([
                "index": .unsigned(taken.index.rawValue), "bytes": .unsigned(taken.byteCount),
            ])
        } catch {
            throw await .ofGroup(error, name, isRouted: directory.owns(name), book)
        }
    }

    func health() async -> HTTPAnswer { .json(HealthView(await manager.status()).json) }

    /// Alive as long as it can answer and its disk can be trusted.
    func liveness() throws(HTTPFault) -> HTTPAnswer {
        guard !manager.isFenced else {
            throw HTTPFault(.unavailable, "the node's disk failed; it is fenced")
        }
        return .json(["status": "ok"])
    }

    func readiness() async throws(HTTPFault) -> HTTPAnswer {
        let status = await manager.status()
        let health = HealthView(status)
        guard health.isReady else {
            throw HTTPFault(.unavailable, health.reasons.first ?? "not ready")
        }
        guard let router = directory.current else {
            throw HTTPFault(.unavailable, "this node has not joined the cluster yet")
        }
        let held = Set(status.groups.map(\.name))
        let isWhole = router.owners.allSatisfy { held.contains($0.group) }
        guard isWhole || PassingOn.canPass(to: status.peers) else {
            throw HTTPFault(.unavailable, "no node is heard that may hold the other groups")
        }
        return .json(["status": "ready"])
    }

    func metrics() async -> HTTPAnswer {
        let text = MetricsText(await manager.status(), groups: await manager.metrics()).text
        return .text(text, contentType: MetricsText.contentType)
    }
}
