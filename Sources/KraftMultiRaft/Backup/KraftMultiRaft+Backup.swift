import KraftLoop

extension KraftMultiRaft {
    /// Takes a backup of a group: its whole state, with sessions and members, as a snapshot that holds
    /// every write that was acknowledged, through any node, before this call. Any node that holds the
    /// group's data may be asked; the leader spares others a round.
    ///
    /// Throws `notFound`, `conflict` where this node is a witness of the group, `unavailable` without
    /// a leader, or when it could not be done in time.
    public func backup(
        of name: String, timeout: Duration? = nil
    ) async throws(KraftError) -> GroupBackup {
        let group = try GroupName(checking: name)
        let timeout = timeout ?? configuration.requestTimeout
        let deadline = ContinuousClock.now + timeout
        let runtime = try runtime(of: group)
        _ = try await runtime.barrier(group, timeout: timeout)
        while true {
            _ = try await snapshot(of: name, timeout: max(.zero, deadline - .now))
            let (reference, path) = try await runtime.onDriver(group) { driver throws(KraftError) in
                try driver.newestSnapshot(of: group)
            }
            let opened = await BackupQueue.run { () -> Result<(File, Int), LoopError> in
                do throws(LoopError) {
                    let file = try File(path, .read)
                    return .success((file, try file.size()))
                } catch {
                    return .failure(error)
                }
            }
            switch opened {
            case .success(let (file, byteCount)):
                guard byteCount == reference.byteCount else {
                    throw KraftError(
                        .storage,
                        "\(path): \(byteCount) bytes, and should have \(reference.byteCount)",
                        group: group)
                }
                return GroupBackup(file, reference.name, group: group, byteCount: byteCount)
            case .failure(let error):
                // A newer one took its place just now.
                guard error.isNoSuchFile, ContinuousClock.now < deadline else {
                    throw KraftError(storage: error)
                }
            }
        }
    }

    /// Has an empty group take over the state of a backup, which may be another cluster's. This node
    /// must lead it and be its only member: others are added when it is done, and get the state from
    /// here. All of `bytes` is checked, and tried on a machine of its own, before anything changes.
    ///
    /// A crash leaves the group empty or with the whole state. The group goes on behind the greater of
    /// both logs' ends. Sessions in the backup live on: a command that was carried out in one before
    /// the backup has no second effect.
    ///
    /// - `bytes`: what `GroupBackup.read` gave, in any portions.
    /// - `timeout`: for what comes after the last of them.
    ///
    /// Returns the last index that the state stands for, when it can be read. Throws `badRequest` for
    /// what isn't a sound backup of a machine of this kind, `conflict` for a group that isn't empty,
    /// has other members, or whose machine `KraftConfiguration.machines` can't make, `unavailable`
    /// where this node doesn't lead it; then nothing has changed. `outcomeUnknown`: it was taken over,
    /// or will be unless the node crashes now.
    public func restore<Bytes: AsyncSequence & Sendable>(
        _ name: String, from bytes: Bytes, timeout: Duration? = nil
    ) async throws(KraftError) -> (index: LogIndex, byteCount: UInt64)
    where Bytes.Element == [UInt8] {
        let group = try GroupName(checking: name)
        let timeout = timeout ?? configuration.requestTimeout
        let runtime = try runtime(of: group)
        var restore: Restore?
        do throws(KraftError) {
            // A leader that was elected just now can't say yet what it holds.
            _ = try await runtime.barrier(group, timeout: timeout)
            let begun = try await receive(group, on: runtime, bytes, &restore)
            try await BackupQueue.run { begun.work.finish(trial: begun.trial) }.get()
            try await runtime.onDriver(group) { driver throws(KraftError) in
                try driver.adopt(begun.work)
            }
        } catch {
            if let restore { await end(restore, on: runtime, isAbandoned: true) }
            throw error
        }
        if let restore { await end(restore, on: runtime, isAbandoned: false) }
        do throws(KraftError) {
            _ = try await runtime.barrier(group, timeout: timeout)
        } catch {
            throw KraftError(
                .outcomeUnknown,
                "the state was taken over, but can't be read yet: \(error.message)", group: group)
        }
        guard let work = restore?.work else { preconditionFailure("restored without a restore") }
        return (work.adoption.name.position.index, work.byteCount)
    }

    private typealias Restore = (work: RestoreWork, trial: MachineBox)

    /// Writes what comes to a file. The first bytes say how far the backup's log went.
    private func receive<Bytes: AsyncSequence & Sendable>(
        _ group: GroupName, on runtime: NodeRuntime, _ bytes: Bytes, _ restore: inout Restore?
    ) async throws(KraftError) -> Restore where Bytes.Element == [UInt8] {
        var front: [UInt8] = []
        var iterator = bytes.makeAsyncIterator()
        while true {
            let next: [UInt8]?
            do { next = try await iterator.next(isolation: nil) } catch {
                throw KraftError(.badRequest, "body: could not be read: \(error)", group: group)
            }
            guard let part = next else { break }
            if let restore {
                try await BackupQueue.run { restore.work.write(part) }.get()
                continue
            }
            front += part
            guard front.count >= SnapshotName.preambleSizeBytes else { continue }
            let index = try KraftMultiRaft.index(ofBackup: front, group)
            let begun = try await runtime.onDriver(group) { driver throws(KraftError) in
                try driver.beginRestore(group, behind: index)
            }
            restore = begun
            let first = front
            try await BackupQueue.run { begun.work.write(first) }.get()
            front = []
        }
        guard let restore else {
            throw KraftError(.badRequest, "body: not a backup", group: group)
        }
        return restore
    }

    private static func index(
        ofBackup front: [UInt8], _ group: GroupName
    ) throws(KraftError) -> LogIndex {
        let name = front[..<SnapshotName.preambleSizeBytes].withUnsafeBytes { bytes in
            try? SnapshotName(preamble: bytes)
        }
        guard let name else { throw KraftError(.badRequest, "body: not a backup", group: group) }
        return name.position.index
    }

    private func end(
        _ restore: Restore, on runtime: NodeRuntime, isAbandoned: Bool
    ) async {
        if isAbandoned { await BackupQueue.run { restore.work.abandon() } }
        let name = restore.work.adoption.owner.name
        _ = await runtime.run { driver in driver.endRestore(name) }
    }
}

extension NodeRuntime {
    fileprivate func barrier(
        _ name: GroupName, timeout: Duration
    ) async throws(KraftError) -> LogIndex {
        let deadline = Instant.after(timeout)
        return try await result(of: BarrierCall(group: name)) { driver, call in
            driver.barrier(name, deadline: deadline, call: call)
        }
    }

    fileprivate func onDriver<Value: Sendable>(
        _ name: GroupName,
        _ body: @escaping @Sendable (NodeDriver) throws(KraftError) -> Value
    ) async throws(KraftError) -> Value {
        let result = await run { driver in
            Result { () throws(KraftError) in try body(driver) }
        }
        guard let result else { throw .notRunning(name) }
        return try result.get()
    }
}
