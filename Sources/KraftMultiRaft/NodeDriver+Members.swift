extension NodeDriver {
    private static let begunLimit = 1_024

    /// Begins a change of a group's members; `call` ends with its name.
    func changeMembers(
        _ name: GroupName, _ change: MembershipChange, deadline: Instant, call: ChangeCall
    ) {
        guard isServing else { return call.fail(.notRunning(name)) }
        guard let slot = engine.slot(of: name) else { return call.fail(.noSuchGroup(name)) }
        guard let token = calls.add(call) else { return call.fail(.tooManyCalls(name)) }
        noteNews()
        call.whenBegun = { [self] change in
            begunChanges.append(change)
            if begunChanges.count > NodeDriver.begunLimit { begunChanges.removeFirst() }
        }
        engine.changeMembers(slot, change, token: token, deadline: deadline, now: now)
    }

    /// How a change stands as far as this node knows; nil where that is nothing.
    func status(of change: ChangeID) -> ChangeStatus? {
        guard let slot = engine.slot(of: change.group) else {
            return engine.state(of: change.position, inFormer: change.group).map {
                ChangeStatus(id: change, state: $0, group: nil)
            }
        }
        return ChangeStatus(
            id: change, state: engine.state(of: change.position, in: slot),
            group: engine.status(of: slot))
    }

    /// The changes that were begun through this node, then what else its groups' replicas tell.
    var changes: [ChangeStatus] {
        var ids = begunChanges
        for group in groupStatuses {
            for position in [group.finishedChange?.change, group.change].compactMap({ $0 }) {
                let id = ChangeID(group: group.name, position: position)
                if !ids.contains(id) { ids.append(id) }
            }
        }
        return ids.compactMap { status(of: $0) }
    }

    func join(_ node: NodeID, address: String, call: DoneCall) {
        roster(call) { token throws(KraftError) in
            try engine.join(node, address: address, token: token, now: now)
        }
    }

    func leave(_ node: NodeID, call: DoneCall) {
        roster(call) { token throws(KraftError) in
            try engine.leave(node, token: token, now: now)
        }
    }

    func setInfo(_ info: String) throws(KraftError) {
        noteNews()
        try engine.setInfo(info)
    }

    private func roster(_ call: DoneCall, _ body: (RequestToken) throws(KraftError) -> Void) {
        guard isServing else { return call.fail(.notRunning()) }
        guard let token = calls.add(call) else {
            return call.fail(KraftError(.overloaded, "too many requests are under way"))
        }
        noteNews()
        do throws(KraftError) { try body(token) } catch {
            _ = calls.take(token)
            call.fail(error)
        }
    }

    // MARK: What the engine tells

    /// A leader took this node into a group: its machine comes from the configuration.
    func openInvited(_ slot: GroupSlot, _ name: GroupName) {
        let isOpen = groups.indices.contains(slot.rawValue) && groups[slot.rawValue] != nil
        guard !isOpen, engine.slot(of: name) == slot, isServing, let box = machines?.make(name)
        else { return }
        openGroup(
            name, voters: [], options: GroupOptions(), box: box, call: OpeningCall(group: name))
    }

    /// A group is gone from this node: its slot may be another's already.
    func forget(_ slot: GroupSlot, _ name: GroupName, _ id: GroupID) {
        releaseIfGone(name)
        if groups.indices.contains(slot.rawValue), groups[slot.rawValue]?.id == id {
            groups[slot.rawValue] = nil
        }
        if let entry = registry.find(name), entry.id == id, entry.slot == slot {
            registry.remove(name)
        }
    }

    func reportMembers(_ slot: GroupSlot) {
        guard groups.indices.contains(slot.rawValue), let name = groups[slot.rawValue]?.name
        else { return }
        logger.info("members changed", metadata: ["group": "\(name)"])
        hub.publish(.membersChanged(group: name))
    }
}

/// A request to change members; ends with the change's name.
final class ChangeCall: WaitingCall<Result<ChangeID, KraftError>>, @unchecked Sendable {
    private let name: GroupName
    var whenBegun: (ChangeID) -> Void = { _ in }

    init(group: GroupName) {
        name = group
        super.init(group: group)
    }

    override func value(for error: KraftError) -> Result<ChangeID, KraftError> { .failure(error) }

    override func completed(
        _ position: Int, _ outcome: Completion.Outcome, reply: UnsafeRawBufferPointer
    ) {
        if let error = KraftError(outcome, group: group) { return fail(error) }
        var reader = ByteReader(reply)
        guard let term = try? reader.read(UInt64.self), let index = try? reader.read(UInt64.self)
        else { preconditionFailure("a change has begun without a name") }
        let change = ChangeID(
            group: name, position: .init(index: LogIndex(index), term: Term(term)))
        whenBegun(change)
        resume(.success(change))
    }
}
