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
