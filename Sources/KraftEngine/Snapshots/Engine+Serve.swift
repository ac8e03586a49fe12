import KraftRouting
import RaftCore

/// Sending snapshots to those that ask: part by part, a bounded number at once, at a bounded rate, on
/// connections of their own.
extension Engine {
    private var limits: EngineConfiguration.Snapshots { configuration.snapshots }

    /// Parts of one snapshot that a node may have asked for and not got.
    private static let wantedLimit = 4
    /// The largest part that may be asked for.
    static let chunkLimit = 1 << 20
    /// Whoever asks for nothing for so long is forgotten.
    private static let serveTimeout = Nanoseconds.seconds(10)
    /// What may wait in a bulk connection before more is read for it.
    private static let bulkQueueBytes = 1 << 20

    mutating func onFetch(_ place: Int, _ fetch: NodeMessage.Fetch, now: Instant) {
        let node = peers[place].node
        guard let reference = heldSnapshot(fetch.name), fetch.count > 0,
            fetch.count <= Engine.chunkLimit,
            fetch.offset + UInt64(fetch.count) <= reference.byteCount
        else { return sendFetchEnd(fetch.name, .gone, to: place) }
        var number = snapshots.serves.firstIndex {
            $0.node == node && $0.reference == reference
        }
        if number == nil {
            guard snapshots.serves.count < limits.serveLimit else {
                return sendFetchEnd(fetch.name, .busy, to: place)
            }
            number = snapshots.serves.count
            snapshots.serves.append(.init(node: node, reference: reference, lastRequest: now))
        }
        guard let number, snapshots.serves[number].wanted.count < Engine.wantedLimit else { return }
        snapshots.serves[number].lastRequest = now
        snapshots.serves[number].wanted.append((fetch.offset, Int(fetch.count)))
        if let slot = slot(ofGroup: fetch.name.group) {
            groups[slot].raft.snapshotMoves(to: node, now: now)
        }
        serveOn(now: now)
    }

    /// A snapshot of this node's that may be asked for.
    private func heldSnapshot(_ name: SnapshotName) -> SnapshotReference? {
        if let old = snapshots.retired.first(where: { $0.reference.name == name }) {
            return old.reference
        }
        guard let slot = slot(ofGroup: name.group), let newest = groups[slot].snapshot,
            newest.name == name
        else { return nil }
        return newest
    }

    func sendsSnapshot(to node: NodeID) -> Bool { snapshots.serves.contains { $0.node == node } }

    /// Reads what is wanted, as far as the rate allows and the connections take it.
    mutating func serveOn(now: Instant) {
        guard !isFenced else { return }
        var isBlocked = false
        while now >= snapshots.nextRead, !isBlocked {
            isBlocked = true
            for number in snapshots.serves.indices where now >= snapshots.nextRead {
                if readNext(number, now: now) { isBlocked = false }
            }
        }
        updateNodeDeadline()
    }

    /// False if this one must wait for something else than the rate.
    private mutating func readNext(_ number: Int, now: Instant) -> Bool {
        let serve = snapshots.serves[number]
        guard serve.reading == nil, let wanted = serve.wanted.first,
            let place = peerPlace(of: serve.node), peers[place].isReady
        else { return false }
        guard peers[place].bulk.isReady else {
            openBulk(place, now: now)
            return false
        }
        guard peers[place].bulk.queuedBytes < Engine.bulkQueueBytes else { return false }
        let id = snapshots.takeID()
        snapshots.serves[number].wanted.removeFirst()
        snapshots.serves[number].reading = (id, wanted.offset, wanted.count)
        let span = UInt64(wanted.count) * 1_000_000_000 / UInt64(limits.bytesPerSecond)
        snapshots.nextRead = max(now, snapshots.nextRead) + Nanoseconds(span)
        effects.snapshotReads.append(
            SnapshotRead(
                id: id, name: serve.reference.name, offset: Int(wanted.offset),
                count: wanted.count))
        return true
    }

    mutating func snapshotRead(
        _ id: SnapshotRead.ID, _ bytes: UnsafeRawBufferPointer, now: Instant
    ) {
        guard !isFenced,
            let number = snapshots.serves.firstIndex(where: { $0.reading?.id == id }),
            let reading = snapshots.serves[number].reading
        else { return }
        let serve = snapshots.serves[number]
        guard bytes.count == reading.count else {
            return snapshotReadFailed(id, reason: "it is shorter than it was", now: now)
        }
        snapshots.serves[number].reading = nil
        if let place = peerPlace(of: serve.node), peers[place].bulk.isReady {
            counters.snapshotBytesSent += UInt64(bytes.count)
            let size = 1 + NodeMessage.Fetch.nameSize + 8 + 4 + bytes.count
            var out = FieldWriter(reserveBulk(size, to: place), .chunk)
            out.put(serve.reference.name)
            out.put(reading.offset)
            out.put(UInt32(bytes.count))
            out.put(bytes)
        }
        let isLast = reading.offset + UInt64(reading.count) == serve.reference.byteCount
        if isLast, serve.wanted.isEmpty { snapshots.serves.remove(at: number) }
        serveOn(now: now)
    }

    /// The file isn't what it was. The state is in memory still: another is made of it.
    mutating func snapshotReadFailed(_ id: SnapshotRead.ID, reason: String, now: Instant) {
        guard !isFenced,
            let number = snapshots.serves.firstIndex(where: { $0.reading?.id == id })
        else { return }
        let serve = snapshots.serves.remove(at: number)
        if let place = peerPlace(of: serve.node), peers[place].isReady {
            sendFetchEnd(serve.reference.name, .gone, to: place)
        }
        renew(serve.reference.name, reason: reason)
        serveOn(now: now)
    }

    private mutating func renew(_ name: SnapshotName, reason: String) {
        guard let slot = slot(ofGroup: name.group), groups[slot].snapshot?.name == name else {
            return
        }
        rare.snapshotsRenewed += 1
        effects.notices.append(.snapshotFailed(slot: GroupSlot(rawValue: slot), reason: reason))
        groups[slot].isSnapshotRotten = true
        considerCapture(slot)
        touch(slot)
    }

    /// Whoever fetched it found that it isn't what was written.
    mutating func onDamagedSnapshot(_ place: Int, _ name: SnapshotName) {
        let node = peers[place].node
        // A word from nowhere makes no work.
        guard snapshots.serves.contains(where: { $0.node == node && $0.reference.name == name })
        else { return }
        snapshots.serves.removeAll { $0.node == node && $0.reference.name == name }
        renew(name, reason: "node \(node) found the snapshot damaged")
    }

    mutating func sendFetchEnd(
        _ name: SnapshotName, _ reason: NodeMessage.FetchEnd.Reason, to place: Int
    ) {
        var out = FieldWriter(reserve(NodeMessage.FetchEnd.size, to: place), .fetchEnd)
        out.put(name)
        out.put(reason.rawValue)
    }

    /// What was wanted on a connection that is gone will be asked for again.
    mutating func servesLost(to node: NodeID) {
        for number in snapshots.serves.indices where snapshots.serves[number].node == node {
            snapshots.serves[number].wanted.removeAll()
        }
    }

    mutating func tickServes(now: Instant) {
        let count = snapshots.serves.count
        snapshots.serves.removeAll {
            $0.reading == nil && now >= $0.lastRequest + Engine.serveTimeout
        }
        if snapshots.serves.count < count { removeRetired(now: now) }
        serveOn(now: now)
    }

    var serveDeadline: Instant {
        var deadline = Instant.never
        for serve in snapshots.serves {
            guard serve.reading == nil else { continue }
            deadline = min(deadline, serve.lastRequest + Engine.serveTimeout)
            guard !serve.wanted.isEmpty, let place = peerPlace(of: serve.node),
                peers[place].bulk.isReady,
                peers[place].bulk.queuedBytes < Engine.bulkQueueBytes
            else { continue }
            // All that waits for anything but the rate goes on by itself.
            deadline = min(deadline, snapshots.nextRead)
        }
        return deadline
    }
}
