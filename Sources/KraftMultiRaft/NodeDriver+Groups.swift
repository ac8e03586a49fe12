extension NodeDriver {
    /// Opens or creates a group; `call` ends when it can be used. An open group is left as it is.
    func openGroup(
        _ name: GroupName, voters: [NodeID], options: GroupOptions, box: MachineBox,
        call: OpeningCall
    ) {
        guard isServing else { return call.fail(.notRunning(name)) }
        do throws(KraftError) { try claim(name) } catch { return call.fail(error) }
        if let entry = registry.find(name) { return call.resume(.success(entry)) }
        if opening[name] != nil {
            opening[name]?.append(call)
            return
        }
        noteNews()
        let opener = OpenCall(group: name, driver: self)
        do throws(KraftError) {
            guard let token = calls.add(opener) else { throw .tooManyCalls(name) }
            let slot: GroupSlot
            do throws(KraftError) {
                slot = try engine.openGroup(name, voters: voters, token: token, now: now)
            } catch {
                _ = calls.take(token)
                throw error
            }
            while groups.count <= slot.rawValue { groups.append(nil) }
            groups[slot.rawValue] = DrivenGroup(
                id: engine.id(of: slot), name: name, box: box)
            engine.setPriority(slot, options.priority)
            engine.setSnapshotPolicy(slot, options.snapshots)
            opener.slot = slot
            opening[name] = [call]
        } catch {
            releaseIfGone(name)
            call.fail(error)
        }
    }

    fileprivate func opened(_ name: GroupName, _ slot: GroupSlot, _ error: KraftError?) {
        let calls = opening.removeValue(forKey: name) ?? []
        if let error {
            groups[slot.rawValue] = nil
            releaseIfGone(name)
            for call in calls { call.fail(error) }
            return
        }
        guard let group = groups[slot.rawValue] else {
            for call in calls { call.fail(.noSuchGroup(name)) }
            return
        }
        let entry = GroupRegistry.Entry(name: name, id: group.id, slot: slot, box: group.box)
        registry.insert(entry)
        for call in calls { call.resume(.success(entry)) }
    }

    /// Removes a group, opened or not; `call` ends when that is durable. Its slot may be another
    /// group's at once.
    func removeGroup(_ name: GroupName, call: DoneCall) {
        guard isServing else { return call.fail(.notRunning(name)) }
        guard let slot = engine.slot(of: name), opening[name] == nil else {
            return call.fail(.noSuchGroup(name))
        }
        guard let token = calls.add(call) else { return call.fail(.tooManyCalls(name)) }
        if groups.indices.contains(slot.rawValue) { groups[slot.rawValue] = nil }
        registry.remove(name)
        noteNews()
        engine.removeGroup(slot, token: token, now: now)
    }

    /// Stops or starts a group on this node.
    func setStopped(_ name: GroupName, _ isStopped: Bool) throws(KraftError) {
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        noteNews()
        if isStopped {
            engine.stopGroup(slot, now: now)
        } else {
            engine.startGroup(slot, now: now)
        }
    }

    func stepDown(_ name: GroupName) throws(KraftError) {
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        noteNews()
        engine.stepDown(slot, now: now)
    }

    func forceElection(_ name: GroupName) throws(KraftError) {
        guard isServing else { throw .notRunning(name) }
        guard let slot = engine.slot(of: name) else { throw .noSuchGroup(name) }
        noteNews()
        guard engine.forceElection(slot, now: now) else {
            throw KraftError(.conflict, "this node can't lead the group", group: name)
        }
    }

    func transfer(_ name: GroupName, to node: NodeID, deadline: Instant, call: DoneCall) {
        guard isServing else { return call.fail(.notRunning(name)) }
        guard let slot = engine.slot(of: name) else { return call.fail(.noSuchGroup(name)) }
        guard let token = calls.add(call) else { return call.fail(.tooManyCalls(name)) }
        noteNews()
        engine.transfer(slot, to: node, token: token, deadline: deadline, now: now)
    }

    /// A group's digest and the index it speaks of. Throws `notFound` for one that isn't open here,
    /// or of which this node keeps no data.
    func digest(
        of name: GroupName
    ) throws(KraftError) -> (digest: UInt64, appliedIndex: LogIndex) {
        guard let entry = registry.find(name), engine.holdsData(entry.slot) else {
            throw .noSuchGroup(name)
        }
        if let obstacle = entry.box.obstacle(group: name) { throw obstacle }
        return (entry.box.digest(), engine.appliedIndex(of: entry.slot))
    }
}

/// A request to open a group; ends with what was opened. It may be gone again when the caller looks: a
/// damaged replica is replaced.
final class OpeningCall: WaitingCall<Result<GroupRegistry.Entry, KraftError>>, @unchecked Sendable {
    override func value(for error: KraftError) -> Result<GroupRegistry.Entry, KraftError> {
        .failure(error)
    }
}

/// The engine's side of opening a group, for all callers that asked for it meanwhile.
private final class OpenCall: Call, @unchecked Sendable {
    private let driver: NodeDriver
    private let name: GroupName
    var slot: GroupSlot?

    init(group: GroupName, driver: NodeDriver) {
        (self.driver, name) = (driver, group)
        super.init(group: group)
    }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) { end(KraftError(outcome, group: group)) }

    override func fail(_ error: KraftError) { end(error) }
    override func abandon() { end(.notRunning(name)) }

    private func end(_ error: KraftError?) {
        guard let slot else { preconditionFailure("opened before it had a slot") }
        driver.opened(name, slot, error)
    }
}

extension KraftError {
    static func notRunning(_ group: GroupName? = nil) -> KraftError {
        KraftError(.unavailable, "the node is not running", group: group)
    }
    static func noSuchGroup(_ name: GroupName) -> KraftError {
        KraftError(.notFound, "no group \(name) on this node", group: name)
    }
    static func tooManyCalls(_ name: GroupName) -> KraftError {
        KraftError(.overloaded, "too many requests are under way", group: name)
    }
}
