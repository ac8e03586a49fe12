import KraftEngine

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
        schedule(.logCached(node: node.position, life: node.life, write.id), after: delay)
        if let kind = node.endInWrite {
            node.endInWrite = nil
            let most = diskRandom.chance(500) ? delay : delay + options.disk.syncDelay.upperBound
            let (life, era) = (node.life, faultEra)
            schedule(
                .run { [self] in
                    guard node.life == life, faultEra == era else { return }
                    if kind == .powerCut { crash(node.id) } else { kill(node.id) }
                }, after: diskRandom.number(in: UInt64(0)...most))
        }
    }

    private func bytes(of write: LogWrite) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(write.byteCount)
        for piece in write.pieces {
            bytes.append(contentsOf: piece.block.bytes(piece.range))
        }
        return bytes
    }

    func logCached(_ node: SimulatedNode<Machine>, life: Int, id: LogWrite.ID) {
        guard node.life == life, let pending = node.pendingWrite else { return }
        node.pendingWrite?.isCached = true
        let write = SimulatedDisk.Write(offset: pending.write.offset, bytes: pending.bytes)
        guard node.disk.cache(write, segment: pending.write.segment) else { return }
        var delay = diskRandom.number(in: options.disk.syncDelay)
        if diskRandom.chance(options.disk.stallPermille) || time < node.slowUntil {
            pastCoverage.count(.diskStalls)
            delay += diskRandom.number(in: UInt64(100_000_000)...500_000_000)
        }
        schedule(.logSynced(node: node.position, life: life, id), after: delay)
    }

    func logSynced(_ node: SimulatedNode<Machine>, life: Int, id: LogWrite.ID) {
        guard node.life == life, let pending = node.pendingWrite else { return }
        node.pendingWrite = nil
        guard bytes(of: pending.write) == pending.bytes else {
            report((.interface, "node \(node.id) changed bytes while they were written"))
            return
        }
        if diskRandom.below(1_000_000) < options.disk.failurePerMillion {
            pastCoverage.count(.logWriteFailures)
            node.disk.failSync(segment: pending.write.segment)
            deliver(.logWriteFailed(id), to: node, life: life)
        } else {
            node.disk.sync(segment: pending.write.segment)
            deliver(.logWritten(id), to: node, life: life)
        }
    }

    func prepare(_ node: SimulatedNode<Machine>, _ preparation: SegmentPreparation) {
        trace(node, 31, preparation.number)
        node.preparations.append(preparation)
        schedule(
            .segmentReady(node: node.position, life: node.life, preparation.number),
            after: diskRandom.number(in: options.disk.prepareDelay))
    }

    func segmentReady(_ node: SimulatedNode<Machine>, life: Int, number: UInt64) {
        guard node.life == life,
            let place = node.preparations.firstIndex(where: { $0.number == number })
        else { return }
        let preparation = node.preparations.remove(at: place)
        pastCoverage.count(.segmentsPrepared)
        guard node.disk.add(preparation, isEntryDurable: true) else {
            report((.interface, "node \(node.id) prepares segment \(number), which exists"))
            return
        }
        deliver(.segmentPrepared(number), to: node, life: life)
    }

    func read(_ node: SimulatedNode<Machine>, _ read: LogRead) {
        trace(node, 32, read.id)
        note("node \(node.id) reads \(read.count) at \(read.offset) of segment \(read.segment)")
        pastCoverage.count(.logReads)
        schedule(
            .node(.logRead(read), node: node.position, life: node.life),
            after: diskRandom.number(in: options.disk.readDelay))
    }

    /// The process ends in the middle of whatever the disk was doing for it.
    func abandonDisk(of node: SimulatedNode<Machine>) {
        if let pending = node.pendingWrite, !pending.isCached {
            let count = diskRandom.below(pending.bytes.count + 1)
            if count < pending.bytes.count { pastCoverage.count(.writesCutByKill) }
            _ = node.disk.cache(
                .init(offset: pending.write.offset, bytes: Array(pending.bytes[..<count])),
                segment: pending.write.segment)
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
