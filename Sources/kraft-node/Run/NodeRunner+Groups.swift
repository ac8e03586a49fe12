import KraftKeyValue
import KraftMultiRaft

extension NodeRunner {
    /// Groups that are opened at once; their creations then share log writes.
    private static let openingLimit = 64

    /// Which slot a key takes shows nowhere; a random seed keeps clients from choosing keys that
    /// collide.
    static func makeStore() -> KeyValueStore {
        KeyValueStore(tableSeed: UInt64.random(in: .min ... .max))
    }

    /// Opens the groups that the folder holds, and makes those that a founder of the cluster still
    /// has to make. A group that this node was removed from stays away.
    func openGroups(
        _ manager: KraftMultiRaft, _ entry: NodeEntry
    ) async throws(KraftError) {
        var names = await manager.status().groups.map(\.name)
        let voters = entry.record.voters(flags: settings.peers)
        if !voters.isEmpty, let routing = entry.record.routing {
            let held = Set(names)
            names += routing.groups.filter { !held.contains($0) }
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for (position, name) in names.enumerated() {
                    if position >= NodeRunner.openingLimit { try await tasks.next() }
                    tasks.addTask {
                        try await open(name, voters: voters, manager, isNew: entry.isNew)
                    }
                }
                try await tasks.waitForAll()
            }
        } catch let error as KraftError {
            throw error
        } catch {
            throw KraftError(.configuration, "groups: \(error)")
        }
    }

    private func open(
        _ name: GroupName, voters: [NodeID], _ manager: KraftMultiRaft, isNew: Bool
    ) async throws(KraftError) {
        do throws(KraftError) {
            _ = try await manager.createGroup(name.string, voters: voters) {
                NodeRunner.makeStore()
            }
        } catch {
            // Removed from it, now or in an earlier life; or its first voters aren't all known any
            // more. If this node should have it, its leader will say so.
            guard error.code == .conflict || (error.code == .badRequest && !isNew) else {
                throw error
            }
            logger.notice(
                "the group isn't opened here",
                metadata: ["group": "\(name)", "reason": "\(error.message)"])
        }
    }
}
