import Logging

extension NodeDriver {
    /// Takes the states that the engine wants captured, before anything more is applied to them.
    func takeCaptures() {
        guard !engine.effects.snapshotCaptures.isEmpty else { return }
        for capture in engine.effects.snapshotCaptures {
            guard let box = groups[capture.slot.rawValue]?.box else {
                preconditionFailure("the engine captures only groups that were opened")
            }
            precondition(
                engine.appliedIndex(of: capture.slot) == capture.name.position.index,
                "a snapshot of another index than the one applied")
            snapshots.capture(capture, box.snapshot()) { [self] result in
                captured(capture.name, result)
            }
        }
        engine.effects.snapshotCaptures.removeAll()
    }

    private func captured(
        _ name: SnapshotName, _ result: Result<UInt64, FileSnapshots.Failure>
    ) {
        switch result {
        case .success(let byteCount): step(.snapshotCaptured(name, byteCount: byteCount))
        case .failure(let failure):
            warn("a snapshot could not be written", name, failure.description)
            step(.snapshotCaptureFailed(name, reason: failure.description))
        }
    }

    func carryOutSnapshots() {
        for write in effects.snapshotWrites {
            snapshots.write(write) { [self] error in
                if let error {
                    warn("a snapshot could not be received", write.name, error.description)
                    step(.snapshotWriteFailed(write.id, reason: error.description))
                } else {
                    step(.snapshotWritten(write.id))
                }
            }
        }
        for read in effects.snapshotReads {
            snapshots.read(read) { [self] result in
                switch result {
                case .success(let block): step(.snapshotRead(read.id, block.bytes))
                case .failure(let error):
                    step(.snapshotReadFailed(read.id, reason: error.description))
                }
            }
        }
        for name in effects.snapshotRemovals {
            snapshots.remove(name) { [self] error in
                if let error { warn("a snapshot could not be removed", name, error.description) }
            }
        }
        for restore in effects.snapshotRestores { begin(restore) }
    }

    private func begin(_ restore: SnapshotRestore) {
        guard let box = groups[restore.slot.rawValue]?.box else {
            preconditionFailure("the engine restores only groups that were opened")
        }
        precondition(box.readiness != .restoring, "two restores of one machine at once")
        box.readiness = .restoring
        snapshots.restore(restore.name, into: box) { [self] result in
            ended(restore, box, result)
        }
    }

    private func ended(
        _ restore: SnapshotRestore, _ box: MachineBox,
        _ result: Result<[UInt8], FileSnapshots.Failure>
    ) {
        // The replica went meanwhile; one that took its place, of the same group and from the same
        // snapshot too, has a machine of its own.
        guard groups[restore.slot.rawValue]?.box === box else { return }
        switch result {
        case .success(let engineState):
            box.readiness = .ready
            engineState.withUnsafeBytes { step(.restored(restore.slot, restore.name, $0)) }
        case .failure(let failure):
            box.readiness = .broken
            // Broken off by the shutdown: that says nothing of the file.
            guard !snapshots.isAbandoned else { return }
            warn("a snapshot could not be restored", restore.name, failure.description)
            step(.restoreFailed(restore.slot, restore.name, reason: failure.description))
        }
    }

    // MARK: Orders and news

    /// Makes a snapshot of a group's state on this node; `call` ends when it is durable.
    func snapshot(_ name: GroupName, deadline: Instant, call: SnapshotCall) {
        guard isServing else { return call.fail(.notRunning(name)) }
        guard let slot = engine.slot(of: name) else { return call.fail(.noSuchGroup(name)) }
        guard engine.holdsData(slot) else {
            return call.fail(KraftError(.conflict, "a witness holds no data", group: name))
        }
        guard let token = calls.add(call) else { return call.fail(.tooManyCalls(name)) }
        noteNews()
        engine.snapshot(slot, token: token, deadline: deadline, now: now)
    }

    func reportSnapshot(_ notice: Notice) {
        switch notice {
        case .snapshotTaken(let slot, let index, let byteCount):
            tell(slot, .info, "snapshot taken", ["index": "\(index)", "bytes": "\(byteCount)"]) {
                .snapshotTaken(group: $0, index: index, byteCount: byteCount)
            }
        case .snapshotInstalled(let slot, let index, let byteCount):
            tell(
                slot, .notice, "snapshot installed",
                ["index": "\(index)", "bytes": "\(byteCount)"]
            ) {
                .snapshotInstalled(group: $0, index: index, byteCount: byteCount)
            }
        case .snapshotFailed(let slot, let reason):
            tell(slot, .warning, "a snapshot failed", ["reason": "\(reason)"]) {
                .snapshotFailed(group: $0, reason: reason)
            }
        case .replicaDamaged(let slot, let reason):
            tell(slot, .error, "the group's state is lost here", ["reason": "\(reason)"]) {
                .replicaDamaged(group: $0, reason: reason)
            }
        default: preconditionFailure("not news of a snapshot")
        }
    }

    func reportRepair(_ notice: Notice) {
        switch notice {
        case .memberDamaged(let slot, let node):
            tell(slot, .warning, "a replica of the group is damaged", ["peer": "\(node)"]) {
                .memberDamaged(group: $0, node: node)
            }
        case .replacementBegun(let slot, let node):
            tell(slot, .notice, "a damaged replica is replaced", ["peer": "\(node)"]) {
                .replicaReplaced(group: $0, node: node, isDone: false)
            }
        case .replacementDone(let slot, let node):
            tell(slot, .notice, "a damaged replica has been replaced", ["peer": "\(node)"]) {
                .replicaReplaced(group: $0, node: node, isDone: true)
            }
        default: preconditionFailure("not news of a repair")
        }
    }

    /// The group may not be open here, or be gone again.
    private func tell(
        _ slot: GroupSlot, _ level: Logger.Level, _ words: String,
        _ metadata: Logger.Metadata, _ event: (GroupName) -> KraftEvent
    ) {
        guard engine.slots.contains(slot) else { return }
        let name = engine.status(of: slot).name
        var metadata = metadata
        metadata["group"] = "\(name)"
        logger.log(level: level, "\(words)", metadata: metadata)
        hub.publish(event(name))
    }

    private func warn(_ what: String, _ name: SnapshotName, _ reason: String) {
        guard !snapshots.isAbandoned else { return }
        logger.warning(
            "\(what)",
            metadata: [
                "group": "\(groupName(of: name.group))", "snapshot": "\(name.fileName)",
                "reason": "\(reason)",
            ])
    }

    private func groupName(of id: GroupID) -> String {
        groups.lazy.compactMap { $0 }.first { $0.id == id }?.name.string ?? "\(id)"
    }
}

/// A request for a snapshot; ends with what it holds and its size.
final class SnapshotCall:
    WaitingCall<Result<(index: LogIndex, byteCount: UInt64), KraftError>>, @unchecked Sendable
{
    typealias Taken = (index: LogIndex, byteCount: UInt64)

    override func value(for error: KraftError) -> Result<Taken, KraftError> { .failure(error) }

    /// Nobody is harmed by one snapshot more.
    override func errorOfUnknown(_ message: String) -> KraftError {
        KraftError(.unavailable, message, group: group)
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        guard case .done(let index, _, _) = outcome else {
            let error = KraftError(outcome, group: group)
            let isUnknown = error?.code == .outcomeUnknown
            return fail(
                KraftError(
                    isUnknown ? .unavailable : error?.code ?? .unavailable,
                    isUnknown ? "the snapshot was not done in time" : error?.message ?? "",
                    group: group, leader: error?.leader))
        }
        var reader = ByteReader(reply)
        guard let byteCount = try? reader.read(UInt64.self) else {
            preconditionFailure("a snapshot is done without its size")
        }
        resume(.success((index, byteCount)))
    }
}
