import KraftEngine
import RaftCore

/// What a disk does for a snapshot, one step after the other.
enum SnapshotStep {
    /// A whole snapshot of this node's own is in its file, and synced.
    case capture(SnapshotName)
    /// A part of another node's is in its file; the last one is synced.
    case write(SnapshotWrite.ID)
    /// The file gets its name.
    case name(SnapshotName, SnapshotWrite.ID?)
    case syncFolder(SnapshotName, SnapshotWrite.ID?)
    case read(SnapshotRead)
    /// Into the machine of this replica, whatever takes its place meanwhile.
    case restore(SnapshotRestore, replica: AnyObject)
}

/// The driver's part in snapshots: what takes time off the loop, and what a crash leaves of it.
extension Simulation {
    func performSnapshots(_ effects: borrowing Effects, of node: SimulatedNode<Machine>) {
        for name in effects.snapshotRemovals {
            trace(node, 70, name.nonce)
            node.disk.removeSnapshot(name)
        }
        for capture in effects.snapshotCaptures { self.capture(node, capture) }
        for write in effects.snapshotWrites {
            trace(node, 71, write.id)
            node.snapshotWrites.append(write)
            schedule(
                .write(write.id), on: node, after: diskRandom.number(in: options.disk.writeDelay))
        }
        for read in effects.snapshotReads {
            trace(node, 72, read.id)
            schedule(
                .read(read), on: node, after: diskRandom.number(in: options.disk.readDelay))
        }
        for restore in effects.snapshotRestores {
            trace(node, 73, restore.name.nonce)
            guard let replica = node.replica(at: restore.slot) else {
                report((.interface, "node \(node.id) restores a group that it doesn't hold"))
                return
            }
            schedule(
                .restore(restore, replica: replica), on: node,
                after: diskRandom.number(in: options.disk.snapshotDelay))
        }
    }

    private func schedule(
        _ step: SnapshotStep, on node: SimulatedNode<Machine>, after span: UInt64
    ) {
        schedule(.disk(.snapshot(step), node: node.position, life: node.life), after: span)
    }

    /// The state is taken now; the file is written later.
    private func capture(_ node: SimulatedNode<Machine>, _ capture: SnapshotCapture) {
        trace(node, 74, capture.name.position.index.rawValue)
        guard let box = node.box, let replica = node.replica(at: capture.slot) else {
            report((.interface, "node \(node.id) captures a group that it doesn't hold"))
            return
        }
        guard box.engine.appliedIndex(of: capture.slot) == capture.name.position.index else {
            report((.interface, "node \(node.id) captures another state than it says"))
            return
        }
        let bytes = SnapshotFile.bytes(of: replica.machine, capture)
        node.captures.append((capture.name, bytes))
        schedule(
            .capture(capture.name), on: node,
            after: diskRandom.number(in: options.disk.snapshotDelay))
    }

    // MARK: Steps

    func perform(_ step: SnapshotStep, _ node: SimulatedNode<Machine>) {
        switch step {
        case .capture(let name): endCapture(name, node)
        case .write(let id): endWrite(id, node)
        case .name(let name, let id):
            node.disk.nameSnapshot(name)
            schedule(
                .syncFolder(name, id), on: node,
                after: diskRandom.number(in: options.disk.syncDelay))
        case .syncFolder(let name, let id):
            node.disk.syncSnapshotEntries()
            guard !losesPowerNow(node) else { return }
            if let id {
                deliver(.snapshotWritten(id), to: node, life: node.life)
            } else {
                let count = node.disk.snapshot(name)?.bytes.count ?? 0
                deliver(
                    .snapshotCaptured(name, byteCount: count), to: node, life: node.life)
            }
        case .read(let read):
            if node.nextSnapshotReadFails {
                node.nextSnapshotReadFails = false
                pastCoverage.count(.snapshotReadFailures)
                deliver(.snapshotReadFailed(read), to: node, life: node.life)
            } else {
                deliver(.snapshotRead(read), to: node, life: node.life)
            }
        case .restore(let restore, let replica):
            deliver(.restored(restore, replica: replica), to: node, life: node.life)
        }
    }

    private func endCapture(_ name: SnapshotName, _ node: SimulatedNode<Machine>) {
        guard let place = node.captures.firstIndex(where: { $0.name == name }) else { return }
        let bytes = node.captures.remove(at: place).bytes
        if node.nextCaptureFails || drawsFailure {
            node.nextCaptureFails = false
            pastCoverage.count(.captureFailures)
            deliver(.snapshotCaptureFailed(name), to: node, life: node.life)
            return
        }
        _ = node.disk.write(bytes, of: name, at: 0)
        schedule(.name(name, nil), on: node, after: diskRandom.number(in: options.disk.syncDelay))
    }

    private func endWrite(_ id: SnapshotWrite.ID, _ node: SimulatedNode<Machine>) {
        guard let place = node.snapshotWrites.firstIndex(where: { $0.id == id }) else { return }
        let write = node.snapshotWrites.remove(at: place)
        if node.snapshotWrites.contains(where: { $0.name == write.name }) {
            report((.interface, "node \(node.id) writes twice at once to a snapshot"))
        }
        if node.nextSnapshotWriteFails || drawsFailure {
            node.nextSnapshotWriteFails = false
            pastCoverage.count(.snapshotWriteFailures)
            deliver(.snapshotWriteFailed(id), to: node, life: node.life)
            return
        }
        guard node.disk.write(write.bytes, of: write.name, at: write.offset) else {
            report((.interface, "node \(node.id) leaves a gap in a snapshot"))
            return
        }
        guard write.isLast else {
            deliver(.snapshotWritten(id), to: node, life: node.life)
            return
        }
        schedule(
            .name(write.name, id), on: node, after: diskRandom.number(in: options.disk.syncDelay))
    }

    // MARK: Answers

    func handleSnapshot(
        _ event: NodeEvent, _ node: SimulatedNode<Machine>, _ box: EngineBox, _ now: Instant
    ) {
        switch event {
        case .snapshotCaptured(let name, let count):
            trace(node, 75, name.nonce)
            box.engine.step(.snapshotCaptured(name, byteCount: UInt64(count)), now: now)
        case .snapshotCaptureFailed(let name):
            trace(node, 76, name.nonce)
            box.engine.step(
                .snapshotCaptureFailed(name, reason: "simulated failure"), now: now)
        case .snapshotRead(let read):
            trace(node, 77, read.id)
            let bytes = node.disk.snapshot(read.name)?.bytes ?? []
            let end = min(bytes.count, read.offset + read.count)
            let part = Array(bytes[min(read.offset, end)..<end])
            part.withUnsafeBytes { box.engine.step(.snapshotRead(read.id, $0), now: now) }
        case .snapshotReadFailed(let read):
            trace(node, 78, read.id)
            box.engine.step(.snapshotReadFailed(read.id, reason: "simulated failure"), now: now)
        case .snapshotWritten(let id):
            trace(node, 79, id)
            box.engine.step(.snapshotWritten(id), now: now)
        case .snapshotWriteFailed(let id):
            trace(node, 80, id)
            box.engine.step(.snapshotWriteFailed(id, reason: "simulated failure"), now: now)
        case .restored(let restore, let replica):
            endRestore(restore, replica, node, box, now)
        default: break
        }
    }

    /// The machine takes the state over, unless the replica is gone: another one in its place, of the
    /// same group too, has a machine of its own.
    private func endRestore(
        _ restore: SnapshotRestore, _ meant: AnyObject, _ node: SimulatedNode<Machine>,
        _ box: EngineBox, _ now: Instant
    ) {
        trace(node, 81, restore.name.nonce)
        guard let replica = node.replica(at: restore.slot), replica === meant else { return }
        var engineState: [UInt8] = []
        do {
            let bytes = node.disk.snapshot(restore.name)?.bytes ?? []
            engineState = try SnapshotFile.restore(&replica.machine, bytes, restore.name)
        } catch {
            box.engine.step(
                .restoreFailed(restore.slot, restore.name, reason: "\(error)"), now: now)
            return
        }
        compare(replica, restore.name, node)
        engineState.withUnsafeBytes {
            box.engine.step(.restored(restore.slot, restore.name, $0), now: now)
        }
    }

    /// I5: the state is the one that applying came to.
    private func compare(
        _ replica: Replica<Machine>, _ name: SnapshotName, _ node: SimulatedNode<Machine>
    ) {
        let index = oracles.applies.lastCommand(replica.track, upTo: name.position.index)
        // As if it had applied all of it.
        replica.appliedIndex = index
        let (wasCompared, finding) = oracles.applies.digest(
            replica.track, node: node.id, index: index, digest: replica.machine.digest())
        if wasCompared { pastCoverage.count(.snapshotsCompared) }
        report(finding)
    }

    // MARK: Checking

    /// I6: what a durable checkpoint names is durable, whole and sound.
    func check(_ reference: SnapshotReference?, of node: SimulatedNode<Machine>) {
        guard let reference, violations.isEmpty else { return }
        pastCoverage.count(.checkpointsChecked)
        if let file = node.disk.snapshot(reference.name), file.isEntryDurable,
            UInt64(file.bytes.count) == reference.byteCount,
            file.isRotten || SnapshotFile.isSound(file.bytes, reference.name)
        {
            return
        }
        let index = reference.name.position.index
        report(
            (
                .durability,
                "disk of node \(node.id): its log gave way to a snapshot up to \(index), "
                    + "which isn't durable"
            ))
    }
}

/// A snapshot's file that is in memory.
enum SnapshotFile {
    static func bytes(of machine: some StateMachine, _ capture: SnapshotCapture) -> [UInt8] {
        var snapshot = machine.snapshot()
        var encoder = SnapshotEncoder(name: capture.name)
        var writer = ByteWriter()
        encoder.begin(engineState: capture.engineState, into: &writer)
        var piece = ByteWriter()
        while snapshot.writePiece(into: &piece) {
            piece.bytes.withUnsafeBytes { encoder.piece($0, into: &writer) }
            piece.removeAll()
        }
        encoder.end(into: &writer)
        return writer.bytes
    }

    /// Brings a machine to its state; returns what the engine keeps.
    static func restore(
        _ machine: inout some StateMachine, _ bytes: [UInt8], _ name: SnapshotName
    ) throws -> [UInt8] {
        let reader = Reader(bytes, name)
        var pieces = SnapshotPieces { try reader.nextPiece() }
        try machine.restore(from: &pieces)
        while try pieces.next() != nil {}
        try reader.checkEnd()
        return reader.engineState
    }

    /// Whether it is whole and sound.
    static func isSound(_ bytes: [UInt8], _ name: SnapshotName) -> Bool {
        let reader = Reader(bytes, name)
        do {
            while try reader.nextPiece() != nil {}
            try reader.checkEnd()
            return true
        } catch { return false }
    }

    private final class Reader {
        private let block: Block
        private var decoder: SnapshotDecoder
        private var offset = 0
        var engineState: [UInt8] = []

        init(_ bytes: [UInt8], _ name: SnapshotName) {
            block = Block(capacity: max(1, bytes.count))
            block.load { memory in
                memory.copyBytes(from: bytes)
                return bytes.count
            }
            decoder = SnapshotDecoder(name: name)
        }

        func nextPiece() throws -> UnsafeRawBufferPointer? {
            while decoder.wanted > 0 {
                let end = min(block.count, offset + decoder.wanted)
                let part = block.bytes(offset..<end)
                offset = end
                switch try decoder.take(part) {
                case .engineState: engineState.append(contentsOf: part)
                case .piece: return part
                case .none, .end: break
                }
            }
            return nil
        }

        func checkEnd() throws {
            // There is more behind the end.
            guard offset == block.count else { throw ByteReader.Malformed() }
        }
    }
}
