import KraftRouting
import RaftCore

/// Fetching a snapshot that a leader offers: part by part, each checked as it comes, written to a file
/// that gets its name when all of it is there and right.
extension Engine {
    private var limits: EngineConfiguration.Snapshots { configuration.snapshots }

    /// Parts that are asked for, or have come and wait for the disk.
    private static let chunksInFlight: UInt64 = 2
    /// Without a part for so long, they are asked for again; after the longer one it is given up.
    private static let chunkTimeout = Nanoseconds.seconds(2)
    private static let fetchTimeout = Nanoseconds.seconds(15)

    // MARK: Offers

    mutating func onOffer(
        _ slot: Int, _ offer: Message.Snapshot, _ reference: SnapshotReference?, from node: NodeID,
        now: Instant
    ) {
        rare.offersReceived += 1
        if groups[slot].isWitness {
            return installWitness(slot, offer, now: now)
        }
        guard let reference else { return }
        if let number = snapshots.fetches.firstIndex(where: { isOf($0, slot) }) {
            groups[slot].offer = SnapshotOffer(reference: reference, source: node)
            let fetch = snapshots.fetches[number]
            let isCut = peerPlace(of: fetch.source).map { !peers[$0].isReady } ?? true
            if fetch.reference == reference, fetch.source != node {
                snapshots.fetches[number].source = node
                snapshots.fetches[number].asked = fetch.received
                fetchOn(number, now: now)
            } else if fetch.reference != reference, isCut {
                abandon(number, reason: "node \(fetch.source) can't be reached", now: now)
                startFetches(now: now)
            }
            // Else what is under way is newer than what this replica holds, and will end.
            return
        }
        let isQueued = groups[slot].offer != nil
        groups[slot].offer = SnapshotOffer(reference: reference, source: node)
        if !isQueued { snapshots.fetchQueue.append((slot, groups[slot].serial)) }
        startFetches(now: now)
    }

    private func isOf(_ fetch: SnapshotTraffic.Fetch, _ slot: Int) -> Bool {
        fetch.slot == slot && fetch.serial == groups[slot].serial && !fetch.isAbandoned
    }

    mutating func startFetches(now: Instant) {
        while snapshots.fetches.count < limits.installLimit,
            let (slot, serial) = snapshots.fetchQueue.popFirst()
        {
            guard isLive[slot], groups[slot].serial == serial, let offer = groups[slot].offer else {
                continue
            }
            groups[slot].offer = nil
            let name = offer.reference.name
            // Its log may have caught up while it waited; and the last file of this name may not be
            // removed yet.
            guard name.position.index > groups[slot].raft.commitIndex, !groups[slot].isStopped,
                !groups[slot].isLeaving,
                !snapshots.fetches.contains(where: { $0.reference.name == name })
            else { continue }
            rare.fetchesBegun += 1
            snapshots.fetches.append(
                .init(
                    slot: slot, serial: serial, reference: offer.reference, source: offer.source,
                    stream: SnapshotStream(name), lastProgress: now,
                    nextLook: now + Engine.chunkTimeout))
            fetchOn(snapshots.fetches.count - 1, now: now)
        }
        updateNodeDeadline()
    }

    // MARK: Asking

    private func chunkCount(at offset: UInt64, of fetch: SnapshotTraffic.Fetch) -> UInt64 {
        min(UInt64(limits.chunkSizeBytes), fetch.reference.byteCount - offset)
    }

    private mutating func fetchOn(_ number: Int, now: Instant) {
        let fetch = snapshots.fetches[number]
        guard !fetch.isAbandoned, now >= fetch.nextTry,
            let place = peerPlace(of: fetch.source), peers[place].isReady
        else { return }
        if !peers[place].bulk.isReady {
            openBulk(place, now: now)
            // Where it's the other side's to dial, asking has it do so.
            guard configuration.node > peers[place].node else { return }
        }
        let most = Engine.chunksInFlight * UInt64(limits.chunkSizeBytes)
        var asked = fetch.asked
        while asked < fetch.reference.byteCount, asked - fetch.written < most {
            let count = chunkCount(at: asked, of: fetch)
            var out = FieldWriter(reserve(NodeMessage.Fetch.size, to: place), .fetch)
            out.put(fetch.reference.name)
            out.put(asked)
            out.put(UInt32(count))
            asked += count
        }
        snapshots.fetches[number].asked = asked
    }

    /// What was asked for on a connection that is gone is asked for again on the next.
    mutating func fetchesLost(from node: NodeID, now: Instant) {
        for number in snapshots.fetches.indices where snapshots.fetches[number].source == node {
            if snapshots.fetches[number].asked > snapshots.fetches[number].received {
                rare.fetchesResumed += 1
            }
            snapshots.fetches[number].asked = snapshots.fetches[number].received
            snapshots.fetches[number].nextLook = now + .milliseconds(50)
        }
    }

    mutating func fetchesReady(from node: NodeID, now: Instant) {
        for number in snapshots.fetches.indices where snapshots.fetches[number].source == node {
            fetchOn(number, now: now)
        }
    }

    func fetchesSnapshot(from node: NodeID) -> Bool {
        snapshots.fetches.contains { $0.source == node }
    }

    // MARK: Coming in

    mutating func onChunk(
        _ place: Int, _ name: SnapshotName, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer,
        now: Instant
    ) {
        let node = peers[place].node
        let found = snapshots.fetches.firstIndex {
            $0.reference.name == name && $0.source == node && !$0.isAbandoned
        }
        // Others were asked for twice, or by a fetch that is over.
        guard let number = found, offset == snapshots.fetches[number].received,
            offset < snapshots.fetches[number].asked,
            UInt64(bytes.count) == chunkCount(at: offset, of: snapshots.fetches[number])
        else { return }
        counters.snapshotBytesReceived += UInt64(bytes.count)
        do throws(SnapshotDecoder.Damage) {
            try take(bytes, number)
        } catch {
            rare.fetchesDamaged += 1
            sendFetchEnd(name, .damaged, to: place)
            return abandon(number, reason: "node \(node) has it \(error)", now: now)
        }
        snapshots.fetches[number].received += UInt64(bytes.count)
        snapshots.fetches[number].chunks.append(Array(bytes))
        snapshots.fetches[number].lastProgress = now
        writeOn(number)
    }

    /// Checks the next bytes; with the last ones the whole.
    private mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ number: Int
    ) throws(SnapshotDecoder.Damage) {
        try snapshots.fetches[number].stream.receive(bytes)
        let fetch = snapshots.fetches[number]
        let received = fetch.received + UInt64(bytes.count)
        guard received == fetch.reference.byteCount else { return }
        guard fetch.stream.isWhole else {
            throw SnapshotDecoder.Damage(offset: received, reason: "it ends too early")
        }
        snapshots.fetches[number].state = try engineState(
            fetch.stream.engineState, of: fetch.reference.name)
    }

    /// What the engine kept in a snapshot, if it is of the group that its name says.
    func engineState(
        _ bytes: [UInt8], of name: SnapshotName
    ) throws(SnapshotDecoder.Damage) -> EngineState {
        let state = try? bytes.withUnsafeBytes {
            try EngineState.decode($0, at: name.position)
        }
        guard let state, let slot = slot(ofGroup: name.group), groups[slot].name == state.name,
            groups[slot].incarnation == state.incarnation
        else {
            throw SnapshotDecoder.Damage(offset: 0, reason: "the engine state is malformed")
        }
        return state
    }

    private mutating func writeOn(_ number: Int) {
        let fetch = snapshots.fetches[number]
        guard fetch.writing == nil, let bytes = fetch.chunks.first else { return }
        let id = snapshots.takeID()
        snapshots.fetches[number].writing = id
        let isLast = fetch.written + UInt64(bytes.count) == fetch.reference.byteCount
        effects.snapshotWrites.append(
            SnapshotWrite(
                id: id, name: fetch.reference.name, offset: Int(fetch.written), bytes: bytes,
                isLast: isLast))
    }

    mutating func snapshotWritten(_ id: SnapshotWrite.ID, now: Instant) {
        guard !isFenced,
            let number = snapshots.fetches.firstIndex(where: { $0.writing == id })
        else { return }
        snapshots.fetches[number].writing = nil
        guard !snapshots.fetches[number].isAbandoned else { return endFetch(number, now: now) }
        let chunk = snapshots.fetches[number].chunks.popFirst()
        snapshots.fetches[number].written += UInt64(chunk?.count ?? 0)
        snapshots.fetches[number].lastProgress = now
        let fetch = snapshots.fetches[number]
        guard fetch.written == fetch.reference.byteCount, let state = fetch.state else {
            writeOn(number)
            fetchOn(number, now: now)
            return
        }
        snapshots.fetches.remove(at: number)
        groups[fetch.slot].offer = nil
        if isLive[fetch.slot], groups[fetch.slot].serial == fetch.serial {
            install(fetch.slot, fetch.reference, state, now: now)
        } else {
            effects.snapshotRemovals.append(fetch.reference.name)
        }
        startFetches(now: now)
    }

    mutating func snapshotWriteFailed(_ id: SnapshotWrite.ID, reason: String, now: Instant) {
        guard !isFenced,
            let number = snapshots.fetches.firstIndex(where: { $0.writing == id })
        else { return }
        snapshots.fetches[number].writing = nil
        abandon(number, reason: reason, now: now)
    }

    // MARK: Giving up

    mutating func onFetchEnd(_ place: Int, _ end: NodeMessage.FetchEnd, now: Instant) {
        if end.reason == .damaged { return onDamagedSnapshot(place, end.name) }
        let node = peers[place].node
        let found = snapshots.fetches.firstIndex {
            $0.reference.name == end.name && $0.source == node && !$0.isAbandoned
        }
        guard let number = found else { return }
        if end.reason == .gone { return abandon(number, reason: "it is gone there", now: now) }
        rare.fetchesHeldBack += 1
        let pause = Nanoseconds(250_000_000 + dice.next() % 250_000_000)
        snapshots.fetches[number].asked = snapshots.fetches[number].received
        snapshots.fetches[number].nextTry = now + pause
        snapshots.fetches[number].lastProgress = now
        snapshots.fetches[number].nextLook = now + pause
        updateNodeDeadline()
    }

    /// A newer offer, if there is one, is taken up; else the leader will make one again.
    private mutating func abandon(_ number: Int, reason: String, now: Instant) {
        let fetch = snapshots.fetches[number]
        snapshots.fetches[number].isAbandoned = true
        snapshots.fetches[number].chunks.removeAll()
        if isLive[fetch.slot], groups[fetch.slot].serial == fetch.serial {
            rare.fetchesAbandoned += 1
            effects.notices.append(
                .snapshotFailed(slot: GroupSlot(rawValue: fetch.slot), reason: reason))
            if let offer = groups[fetch.slot].offer, offer.reference != fetch.reference {
                snapshots.fetchQueue.append((fetch.slot, fetch.serial))
            } else {
                groups[fetch.slot].offer = nil
            }
        }
        if fetch.writing == nil { endFetch(number, now: now) }
    }

    /// Nothing more is written to its file.
    private mutating func endFetch(_ number: Int, now: Instant) {
        let fetch = snapshots.fetches.remove(at: number)
        effects.snapshotRemovals.append(fetch.reference.name)
        startFetches(now: now)
    }

    /// The group is gone from this node, or its log has caught up.
    mutating func dropFetches(of slot: Int, now: Instant) {
        groups[slot].offer = nil
        let serial = groups[slot].serial
        while let number = snapshots.fetches.firstIndex(where: {
            $0.slot == slot && $0.serial == serial && !$0.isAbandoned
        }) {
            abandon(number, reason: "the group is gone", now: now)
        }
    }

    mutating func tickFetches(now: Instant) {
        var number = 0
        while number < snapshots.fetches.count {
            let fetch = snapshots.fetches[number]
            guard !fetch.isAbandoned, now >= fetch.nextLook else {
                number += 1
                continue
            }
            let isObsolete =
                !isLive[fetch.slot] || groups[fetch.slot].serial != fetch.serial
                || groups[fetch.slot].raft.commitIndex >= fetch.reference.name.position.index
            if isObsolete || now >= fetch.lastProgress + Engine.fetchTimeout {
                let count = snapshots.fetches.count
                abandon(number, reason: "nothing comes any more", now: now)
                if snapshots.fetches.count == count { number += 1 }
                continue
            }
            snapshots.fetches[number].nextLook = now + Engine.chunkTimeout
            if now >= fetch.lastProgress + Engine.chunkTimeout, fetch.writing == nil {
                snapshots.fetches[number].asked = fetch.received
            }
            fetchOn(number, now: now)
            number += 1
        }
    }

    var fetchDeadline: Instant {
        snapshots.fetches.reduce(.never) { $1.isAbandoned ? $0 : min($0, $1.nextLook) }
    }
}
