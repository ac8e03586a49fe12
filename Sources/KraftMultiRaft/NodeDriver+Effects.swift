import KraftLoop

extension NodeDriver {
    /// Takes the engine's effects and carries them out. Events that come of it at once go straight
    /// back into the engine, and are part of the next round.
    func carryOutEffects() {
        swap(&engine.effects, &effects)
        carryOutLog()
        carryOutSnapshots()
        carryOutConnections()
        complete()
        for ready in effects.readsReady { answer(ready.token, ready.slot) }
        for notice in effects.notices { report(notice) }
        effects.removeAll()
    }

    // MARK: The log

    private func carryOutLog() {
        for write in effects.logWrites {
            files.write(write) { [self] error in
                if let error {
                    step(
                        .logWriteFailed(
                            write.id, reason: error.description,
                            isOutOfSpace: error.isOutOfSpace && !error.isOfSync))
                } else {
                    step(.logWritten(write.id))
                }
            }
        }
        for preparation in effects.segmentPreparations {
            let number = preparation.number
            files.prepare(preparation) { [self] error in
                if let error {
                    step(
                        .segmentFailed(
                            number: number, reason: error.description,
                            isOutOfSpace: error.isOutOfSpace))
                } else {
                    step(.segmentPrepared(number: number))
                }
            }
        }
        for number in effects.segmentRemovals { files.remove(number) }
        for read in effects.logReads {
            files.read(read) { [self] result in
                switch result {
                case .success(let block): step(.logRead(read.id, block.bytes))
                case .failure(let error):
                    step(.logReadFailed(read.id, reason: error.description))
                }
            }
        }
    }

    // MARK: Connections

    private func carryOutConnections() {
        for connect in effects.connects {
            transport.connect(connect.connection, to: connect.address)
        }
        for send in effects.sends { transport.send(send.block, on: send.connection) }
        for connection in effects.closes { transport.close(connection) }
    }

    // MARK: Answers

    private func complete() {
        guard !effects.completions.isEmpty else { return }
        effects.replyBytes.bytes.withUnsafeBytes { bytes in
            for completion in effects.completions {
                complete(completion, bytes)
            }
        }
    }

    @inline(__always)
    private func complete(_ completion: Completion, _ bytes: UnsafeRawBufferPointer) {
        if completion.token & NodeDriver.localBit != 0 {
            sink?.completed(completion.token & ~NodeDriver.localBit, completion.outcome)
            return
        }
        var reply = UnsafeRawBufferPointer(start: nil, count: 0)
        if case .done(_, let start, let count) = completion.outcome {
            reply = UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
        }
        guard let (call, position) = take(completion.token) else { return }
        call.completed(position, completion.outcome, reply: reply)
    }

    /// Who waits for a token. A fenced node has told all of them already.
    @inline(__always)
    private func take(_ token: RequestToken) -> (call: Call, position: Int)? {
        let taken = calls.take(token)
        precondition(taken != nil || isFenced, "the engine completed a token twice")
        return taken
    }

    private func answer(_ token: RequestToken, _ slot: GroupSlot) {
        if token & NodeDriver.localBit != 0 {
            sink?.readReady(token & ~NodeDriver.localBit, slot)
            return
        }
        guard let (call, _) = take(token) else { return }
        answer(call, slot)
    }

    func answer(_ call: Call, _ slot: GroupSlot) {
        guard let box = groups[slot.rawValue]?.box else {
            return call.fail(KraftError(.notFound, "no such group here", group: call.group))
        }
        if box.readiness != .ready, let obstacle = box.obstacle(group: call.group) {
            return call.fail(obstacle)
        }
        call.answer(from: box, index: engine.appliedIndex(of: slot))
    }
}

extension NodeDriver: TransportDelegate {
    package func transportAccepted() -> ConnectionID? {
        guard isServing else { return nil }
        let connection = nextInboundConnection()
        step(.accepted(connection))
        return connection
    }

    package func transportConnected(_ connection: ConnectionID) { step(.connected(connection)) }

    package func transportReceived(_ connection: ConnectionID, _ bytes: UnsafeRawBufferPointer) {
        // Read after the bytes were: what a beat promises may not begin before it came.
        refreshClock()
        step(.received(connection, bytes))
    }

    package func transportSent(_ connection: ConnectionID, byteCount: Int) {
        step(.sent(connection, byteCount: byteCount))
    }

    package func transportClosed(_ connection: ConnectionID) { step(.closed(connection)) }
}
