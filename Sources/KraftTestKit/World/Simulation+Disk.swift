import KraftEngine

/// What a disk does for its node, one step after the other; between any two the power may fail.
enum DiskStep {
    /// The operating system takes the bytes of a log write.
    case cache(LogWrite.ID)
    case sync(LogWrite.ID)
    /// A segment file gets its name, and then its folder a sync.
    case nameSegment(UInt64)
    case syncFolder(UInt64)
    case read(LogRead)
    case snapshot(SnapshotStep)
}

/// How a log write can fail; the node then fences itself.
public enum WriteFailure: CaseIterable, Sendable {
    /// No space is left, or the disk is broken: part of the bytes may have been taken.
    case write
    /// The sync fails, and nobody can read the bytes any more.
    case sync
    /// The sync fails, and yet everybody reads the bytes, until the power fails.
    case syncKeptReadable
}

/// The disk as the driver sees it: orders that take time, and what a crash does to them.
extension Simulation {
    func write(_ node: SimulatedNode<Machine>, _ write: LogWrite) {
        guard node.pendingWrite == nil else {
            report((.interface, "node \(node.id) orders a log write while one is under way"))
            return
        }
        let pending = SimulatedNode<Machine>.PendingWrite(write: write, bytes: bytes(of: write))
        trace(node, 30, TraceHash.of(pending.bytes))
        pastCoverage.count(.logWrites)
        guard let size = node.disk.size(of: write.segment), write.offset >= 0,
            write.offset + pending.bytes.count <= size
        else {
            report((.interface, "node \(node.id) writes outside segment \(write.segment)"))
            return
        }
        node.pendingWrite = pending
        let delay = diskRandom.number(in: options.disk.writeDelay)
        schedule(.disk(.cache(write.id), node: node.position, life: node.life), after: delay)
        guard let kind = node.endInWrite else { return }
        node.endInWrite = nil
        let most = diskRandom.chance(500) ? delay : delay + options.disk.syncDelay.upperBound
        let (life, era) = (node.life, faultEra)
        schedule(
            .run { [self] in
                guard node.life == life, faultEra == era else { return }
                pastCoverage.count(.endsInWrite)
                if kind == .powerCut { crash(node.id) } else { kill(node.id) }
            }, after: diskRandom.number(in: UInt64(0)...most))
    }

    private func bytes(of write: LogWrite) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(write.byteCount)
        for piece in write.pieces {
            bytes.append(contentsOf: piece.block.bytes(piece.range))
        }
        return bytes
    }

    func perform(_ step: DiskStep, _ node: SimulatedNode<Machine>, life: Int) {
        guard node.life == life, node.isUp else { return }
        guard time >= node.hangsUntil else {
            schedule(
                .disk(step, node: node.position, life: life),
                after: min(node.hangsUntil - time, diskRandom.number(in: 1_000_000...20_000_000)))
            return
        }
        guard !losesPowerNow(node) else { return }
        switch step {
        case .cache(let id): cache(node, id: id)
        case .sync(let id): sync(node, id: id)
        case .nameSegment(let number): nameSegment(node, number)
        case .syncFolder(let number): syncFolder(node, number)
        case .read(let read):
            if node.nextReadFails {
                node.nextReadFails = false
                pastCoverage.count(.logReadFailures)
                deliver(.logReadFailed(read), to: node, life: life)
            } else {
                deliver(.logRead(read), to: node, life: life)
            }
        case .snapshot(let step): perform(step, node)
        }
    }

    /// Whether the power fails at this boundary between two steps of the disk.
    func losesPowerNow(_ node: SimulatedNode<Machine>) -> Bool {
        guard let left = node.diskStepsUntilCrash else { return false }
        guard left > 0 else {
            pastCoverage.count(.crashesBetweenDiskSteps)
            crash(node.id)
            return true
        }
        node.diskStepsUntilCrash = left - 1
        return false
    }

    // MARK: Writes

    private func cache(_ node: SimulatedNode<Machine>, id: LogWrite.ID) {
        guard let pending = node.pendingWrite else { return }
        var failure = node.nextWriteFailure
        node.nextWriteFailure = nil
        if failure == nil, drawsFailure, diskRandom.chance(300) { failure = .write }
        node.pendingWrite?.failure = failure
        if failure == .write {
            pastCoverage.count(.logWriteFailures)
            cache(part: sectors(of: pending), of: pending, node)
            node.pendingWrite = nil
            deliver(.logWriteFailed(id), to: node, life: node.life)
            return
        }
        if failure == nil, time < node.fullUntil, node.isFullForWrites {
            pastCoverage.count(.writesOutOfSpace)
            cache(part: sectors(of: pending), of: pending, node)
            node.pendingWrite = nil
            deliver(.logWriteFailed(id, isOutOfSpace: true), to: node, life: node.life)
            return
        }
        node.pendingWrite?.isCached = true
        cache(part: pending.bytes.count, of: pending, node)
        var delay = diskRandom.number(in: options.disk.syncDelay)
        if diskRandom.chance(options.disk.stallPermille) || time < node.slowUntil {
            pastCoverage.count(.diskStalls)
            delay += diskRandom.number(in: UInt64(100_000_000)...500_000_000)
        }
        schedule(.disk(.sync(id), node: node.position, life: node.life), after: delay)
    }

    private func cache(
        part count: Int, of pending: SimulatedNode<Machine>.PendingWrite,
        _ node: SimulatedNode<Machine>
    ) {
        guard count > 0 else { return }
        _ = node.disk.cache(
            .init(offset: pending.write.offset, bytes: Array(pending.bytes[..<count])),
            segment: pending.write.segment)
    }

    /// Some whole sectors of a write: less is never written.
    private func sectors(of pending: SimulatedNode<Machine>.PendingWrite) -> Int {
        let size = SimulatedDisk.sectorSize
        return diskRandom.below(pending.bytes.count / size + 1) * size
    }

    var drawsFailure: Bool {
        options.disk.failurePerMillion > 0
            && diskRandom.below(1_000_000) < options.disk.failurePerMillion
    }

    private func sync(_ node: SimulatedNode<Machine>, id: LogWrite.ID) {
        guard let pending = node.pendingWrite else { return }
        guard bytes(of: pending.write) == pending.bytes else {
            report((.interface, "node \(node.id) changed bytes while they were written"))
            return
        }
        var failure = pending.failure
        if failure == nil, drawsFailure {
            failure = diskRandom.pick(.sync, .syncKeptReadable)
        }
        if let failure {
            node.pendingWrite = nil
            pastCoverage.count(.syncFailures)
            note("a sync fails on node \(node.id)")
            node.disk.failSync(
                segment: pending.write.segment, bytesStay: failure == .syncKeptReadable)
            inspectDisk(of: node)
            deliver(.logWriteFailed(id), to: node, life: node.life)
            return
        }
        node.disk.sync(segment: pending.write.segment)
        followDisk(of: node)
        // It is durable, and nobody has been told.
        guard !losesPowerNow(node) else { return }
        node.pendingWrite = nil
        deliver(.logWritten(id), to: node, life: node.life)
    }

    // MARK: Segments

    func prepare(_ node: SimulatedNode<Machine>, _ preparation: SegmentPreparation) {
        trace(node, 31, preparation.number)
        node.preparations.append(preparation)
        schedule(
            .disk(.nameSegment(preparation.number), node: node.position, life: node.life),
            after: diskRandom.number(in: options.disk.prepareDelay))
    }

    private func nameSegment(_ node: SimulatedNode<Machine>, _ number: UInt64) {
        guard let preparation = node.preparations.first(where: { $0.number == number }) else {
            return
        }
        if node.nextPreparationFails {
            node.nextPreparationFails = false
            node.preparations.removeAll { $0.number == number }
            pastCoverage.count(.preparationFailures)
            deliver(.segmentFailed(number), to: node, life: node.life)
            return
        }
        if time < node.fullUntil, preparation.recycles == nil {
            node.preparations.removeAll { $0.number == number }
            pastCoverage.count(.segmentsOutOfSpace)
            deliver(.segmentFailed(number, isOutOfSpace: true), to: node, life: node.life)
            return
        }
        guard node.disk.add(preparation, isEntryDurable: false) else {
            report((.interface, "node \(node.id) prepares segment \(number), which exists"))
            return
        }
        schedule(
            .disk(.syncFolder(number), node: node.position, life: node.life),
            after: diskRandom.number(in: options.disk.syncDelay))
    }

    private func syncFolder(_ node: SimulatedNode<Machine>, _ number: UInt64) {
        pastCoverage.count(.segmentsPrepared)
        node.preparations.removeAll { $0.number == number }
        node.disk.syncEntry(segment: number)
        guard !losesPowerNow(node) else { return }
        deliver(.segmentPrepared(number), to: node, life: node.life)
    }

    // MARK: Reads

    func read(_ node: SimulatedNode<Machine>, _ read: LogRead) {
        trace(node, 32, read.id)
        detail("node \(node.id) reads \(read.count) at \(read.offset) of segment \(read.segment)")
        pastCoverage.count(.logReads)
        schedule(
            .disk(.read(read), node: node.position, life: node.life),
            after: diskRandom.number(in: options.disk.readDelay))
    }

    // MARK: Ends

    /// The process ends in the middle of whatever the disk was doing for it.
    func abandonDisk(of node: SimulatedNode<Machine>) {
        if let pending = node.pendingWrite, !pending.isCached {
            let count = sectors(of: pending)
            if count < pending.bytes.count { pastCoverage.count(.writesCutByKill) }
            cache(part: count, of: pending, node)
        }
        for preparation in node.preparations {
            if diskRandom.chance(500) {
                pastCoverage.count(.preparationsKeptAtCrash)
                _ = node.disk.add(preparation, isEntryDurable: false)
            } else {
                pastCoverage.count(.preparationsLost)
            }
        }
    }
}
