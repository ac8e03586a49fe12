import ArgumentParser
import AsyncHTTPClient
import Foundation
import KraftAdmin
import KraftMultiRaft
import NIOCore

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Brings a backup into the empty groups of a cluster.",
        discussion: """
            The cluster must have been begun with the router and the groups of the one that the \
            backup is of, and its groups must be empty. The whole backup is checked before anything \
            changes. Each group is brought down to one member, which takes the state over as a \
            whole, and then gets its other members back, who take it from there. What was \
            interrupted is done again with --group for the groups that are still empty.
            """)

    @OptionGroup var options: ClusterOptions
    @Option(help: "A folder that 'backup' has written.") var from: String
    @Option(
        help: """
            Who shall hold the groups afterwards: 1,2,3. (default: a group's members; of a group with \
            one member, all nodes of the cluster)
            """)
    var members: String?
    @Flag(help: "Check everything, say what would be done, and change nothing.") var dryRun = false

    func validate() throws {
        guard members == nil || memberList != nil else {
            throw ValidationError("members: node numbers, 1,2,3")
        }
    }

    private var memberList: [UInt32]? {
        guard let members else { return nil }
        let parts = members.split(separator: ",", omittingEmptySubsequences: false)
        let nodes = parts.compactMap { UInt32($0) }.filter { $0 > 0 }
        guard nodes.count == parts.count, Set(nodes).count == nodes.count, nodes.count <= 16 else {
            return nil
        }
        return nodes
    }

    func run() async throws {
        do {
            let folder = BackupFolder(from)
            let manifest = try BackupManifest(
                try folder.read(
                    BackupManifest.fileName, limit: BackupManifest.sizeLimitBytes))
            let names = try options.chosen(from: manifest.groups.map(\.name), "in the backup")
            let items = manifest.groups.filter { names.contains($0.name) }
            for item in items { try RestoreCommand.check(item, folder) }
            print(
                "the backup of cluster '\(manifest.clusterID)' is sound: \(items.count) groups, "
                    + "\(items.reduce(0) { $0 + $1.bytes }) bytes")
            let cluster = try await ClusterClient(
                options.node, timeoutMilliseconds: options.timeout)
            var restores: [GroupRestore] = []
            try RestoreCommand.check(manifest, fits: cluster)
            for item in items {
                let restore = GroupRestore(
                    item: item, folder: folder, cluster: cluster, members: memberList)
                try await restore.check()
                restores.append(restore)
            }
            for restore in restores {
                print(dryRun ? try await restore.plan() : try await restore.run())
            }
        } catch let error as KraftError {
            complain(error.message)
            throw BackupCommand.exit(error)
        }
    }

    /// Reads one group's file from end to end.
    static func check(_ item: BackupManifest.Item, _ folder: BackupFolder) throws(KraftError) {
        var check = BackupCheck()
        func spoilt(_ reason: String) -> KraftError {
            KraftError(.storage, "\(item.file): \(reason)")
        }
        try folder.read(item.file) { part throws(KraftError) in
            let damage = part.withUnsafeBytes { bytes -> SnapshotDecoder.Damage? in
                do throws(SnapshotDecoder.Damage) {
                    try check.add(bytes)
                    return nil
                } catch {
                    return error
                }
            }
            if let damage { throw spoilt("\(damage)") }
        }
        let facts: BackupFacts
        do throws(SnapshotDecoder.Damage) { facts = try check.finish() } catch {
            throw spoilt("\(error)")
        }
        guard BackupManifest.Item(facts) == item else {
            throw spoilt("not the file that the manifest speaks of")
        }
    }

    /// With another routing, keys would be looked for in other groups than they are in.
    static func check(_ manifest: BackupManifest, fits cluster: ClusterClient) throws(KraftError) {
        guard manifest.router == cluster.sharding.router,
            manifest.routedGroups == cluster.sharding.names
        else {
            throw KraftError(
                .conflict,
                "the backup is of a cluster with router '\(manifest.router)' and "
                    + "\(manifest.routedGroups.count) groups, this one has "
                    + "'\(cluster.sharding.router)' and \(cluster.sharding.names.count): begin the "
                    + "new cluster with the same --router and --groups")
        }
    }
}
