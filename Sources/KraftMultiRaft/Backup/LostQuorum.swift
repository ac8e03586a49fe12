import KraftLoop

/// The way out when a majority of a group's replicas is lost for good, on the data folder of a node
/// that doesn't run: see `QuorumRecovery`.
package struct LostQuorum {
    /// What was found in the folder's log.
    package let report: LogReport
    package let node: NodeID
    private let folder: Folder
    private let owner: LogReport.Owner
    private let lock: FolderLock

    /// Locks the folder and reads its log; changes nothing.
    ///
    /// Throws `notFound` where there is no log, `unavailable` when a process uses the folder, `storage`
    /// when it can't be read.
    package init(_ path: String) throws(KraftError) {
        folder = Folder(path)
        guard let names = try? folder.names(), names.contains(FileLogDirectory.folderName) else {
            throw KraftError(.notFound, "no log in '\(path)'")
        }
        let taken: FolderLock?
        do throws(LoopError) { taken = try FolderLock.take(folder) } catch {
            throw KraftError(storage: error)
        }
        guard let taken else {
            throw KraftError(.unavailable, "data folder \(path) is in use by another process")
        }
        lock = taken
        guard let report = try LogFolder.report(of: path, pause: {}), let owner = report.owner
        else {
            throw KraftError(.notFound, "no log in '\(path)'")
        }
        (self.report, self.owner, node) = (report, owner, owner.node)
    }

    /// Groups of which this node has data, by name; what an interrupted recovery left is none.
    package var groups: [LogReport.Group] {
        report.groups.filter { !QuorumRecovery.isDraft($0.name) }.sorted { $0.name < $1.name }
    }

    /// What recovering a group would come to. Throws `notFound`.
    package func loss(
        of name: GroupName, lost: [NodeID], acceptsDamage: Bool
    ) throws(KraftError) -> QuorumLoss {
        guard let group = groups.first(where: { $0.name == name }) else {
            throw KraftError(.notFound, "no group \(name) on node \(node)", group: name)
        }
        return QuorumLoss(of: group, on: node, lost: lost, acceptsDamage: acceptsDamage)
    }

    /// Takes the lost nodes out of the cluster, and makes this node the only member of the groups, one
    /// after the other; each as a whole. Doing it again goes on where it ended.
    ///
    /// - `done`: called after each.
    ///
    /// Throws `conflict` for a group that can't be recovered (then nothing has changed), `storage`.
    package func recover(
        _ names: [GroupName], lost: [NodeID], acceptsDamage: Bool,
        done: (QuorumRecovery.Recovered) -> Void
    ) throws(KraftError) {
        for name in names {
            let loss = try loss(of: name, lost: lost, acceptsDamage: acceptsDamage)
            if let obstacle = loss.obstacle {
                throw KraftError(.conflict, "\(name): \(obstacle)", group: name)
            }
        }
        try change { recovery, directory throws(KraftError) in
            try recovery.leave(lost, &directory)
            let snapshots = directory.snapshots
            for name in names {
                let recovered = try recovery.recover(name, &directory) {
                    (source, target, owner) throws(KraftError) in
                    try LostQuorum.transcode(source, target, owner, snapshots)
                }
                done(recovered)
            }
        }
    }

    /// Removes this node's replicas of groups that were recovered elsewhere.
    package func forget(_ names: [GroupName]) throws(KraftError) {
        try change { recovery, directory throws(KraftError) in
            for name in names { try recovery.forget(name, &directory) }
        }
    }

    /// The smallest segment that a server's commands fit into.
    private static let segmentSizeMinimum = 4_352 << 10

    private func change(
        _ body: (inout QuorumRecovery, inout FileLogDirectory) throws(KraftError) -> Void
    ) throws(KraftError) {
        var directory = try FileLogDirectory(dataFolder: folder)
        // Of a log that is damaged all files may have been cut.
        let size = max(
            LostQuorum.segmentSizeMinimum, report.segments.map(\.byteCount).max() ?? 0)
        var recovery = try QuorumRecovery(
            &directory, owner: owner, segmentSizeBytes: (size + 4_095) / 4_096 * 4_096,
            seed: UInt64.random(in: .min ... .max))
        try recovery.removeDrafts(&directory)
        try body(&recovery, &directory)
    }

    private static let readSizeBytes = 1 << 20

    /// Makes the old group's snapshot the new one's, checked from end to end.
    private static func transcode(
        _ source: SnapshotName, _ target: SnapshotName, _ owner: SnapshotOwner,
        _ folder: SnapshotFolder
    ) throws(KraftError) -> UInt64 {
        let work = RestoreWork(Engine.Adoption(name: target, owner: owner), folder)
        do throws(KraftError) {
            let input: File
            do throws(LoopError) { input = try File(folder.path(of: source), .read) } catch {
                throw KraftError(storage: error)
            }
            var offset = 0
            while true {
                let part: [UInt8]
                do throws(LoopError) { part = try input.part(at: offset, readSizeBytes) } catch {
                    throw KraftError(storage: error)
                }
                guard !part.isEmpty else { break }
                offset += part.count
                try work.write(part).get()
            }
            try work.close().get()
            return work.byteCount
        } catch {
            work.abandon()
            throw KraftError(.storage, "\(source.fileName): \(error.message)", group: owner.name)
        }
    }
}
