extension NodeDriver {
    /// Restores at once on one node; each writes a file and needs the memory for a state.
    private static let restoreLimit = 2

    /// Answers when all that was acknowledged before is applied here.
    func barrier(_ name: GroupName, deadline: Instant, call: BarrierCall) {
        guard isServing else { return call.fail(.notRunning(name)) }
        guard let slot = engine.slot(of: name) else { return call.fail(.noSuchGroup(name)) }
        guard engine.holdsData(slot) else {
            return call.fail(KraftError(.conflict, "a witness holds no data", group: name))
        }
        guard let token = calls.add(call) else { return call.fail(.tooManyCalls(name)) }
        noteNews()
        engine.read(slot, .linearizable, token: token, deadline: deadline, now: now)
    }

    /// The newest snapshot of a group, and where its file is.
    func newestSnapshot(
        of name: GroupName
    ) throws(KraftError) -> (reference: SnapshotReference, path: String) {
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        guard let reference = engine.status(of: slot).snapshot else {
            throw KraftError(.unavailable, "the group has no snapshot", group: name)
        }
        return (reference, snapshots.folder.path(of: reference.name))
    }

    // MARK: Restoring

    /// Begins a restore: what the backup is to become, and a machine to try it on. `endRestore` must
    /// follow.
    func beginRestore(
        _ name: GroupName, behind index: LogIndex
    ) throws(KraftError) -> (work: RestoreWork, trial: MachineBox) {
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        guard !restores.contains(name) else {
            throw KraftError(.conflict, "the group is being restored already", group: name)
        }
        guard restores.count < NodeDriver.restoreLimit else {
            throw KraftError(.overloaded, "other groups are being restored", group: name)
        }
        let trial = try emptyMachine(name)
        try checkEmpty(name, slot, trial)
        let adoption = try engine.adoption(of: slot, behind: index)
        restores.append(name)
        return (RestoreWork(adoption, snapshots.folder), trial)
    }

    /// Has the group take over what has been written, unless it holds something now.
    func adopt(_ work: RestoreWork) throws(KraftError) {
        let name = work.adoption.owner.name
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        try checkEmpty(name, slot, try emptyMachine(name))
        noteNews()
        try engine.adopt(slot, work.adoption, byteCount: work.byteCount, now: now)
        logger.notice(
            "the group begins anew with the state of a backup",
            metadata: ["group": "\(name)", "index": "\(work.adoption.name.position.index)"])
    }

    func endRestore(_ name: GroupName) { restores.removeAll { $0 == name } }

    private func emptyMachine(_ name: GroupName) throws(KraftError) -> MachineBox {
        guard let machine = machines?.make(name) else {
            throw KraftError(
                .conflict, "this node has nothing that makes the group's state machine (machines)",
                group: name)
        }
        return machine
    }

    private func checkEmpty(
        _ name: GroupName, _ slot: GroupSlot, _ empty: MachineBox
    ) throws(KraftError) {
        guard let box = groups.indices.contains(slot.rawValue) ? groups[slot.rawValue]?.box : nil
        else { throw .noSuchGroup(name) }
        if let obstacle = box.obstacle(group: name) { throw obstacle }
        guard box.digest() == empty.digest() else {
            throw KraftError(
                .conflict, "the group isn't empty: a backup is restored into an empty one only",
                group: name)
        }
    }
}

/// Ends when everything that was acknowledged before it began is applied; with what is.
final class BarrierCall: WaitingCall<Result<LogIndex, KraftError>>, @unchecked Sendable {
    override func value(for error: KraftError) -> Result<LogIndex, KraftError> { .failure(error) }

    override func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.unavailable, message, group: group)
    }

    override func answer(from box: MachineBox, index: @autoclosure () -> LogIndex) {
        resume(.success(index()))
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        guard let error = KraftError(outcome, group: group) else {
            preconditionFailure("a read ends with its answer, not with a reply")
        }
        let code = error.code == .outcomeUnknown ? .unavailable : error.code
        fail(KraftError(code, error.message, group: group, leader: error.leader))
    }
}
