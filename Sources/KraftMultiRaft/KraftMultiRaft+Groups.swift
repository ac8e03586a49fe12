extension KraftMultiRaft {
    /// Creates a group on this node, or opens the one that the data folder holds under this name
    /// (then what is on disk wins over `voters`). Every voter has to do the same, in any order.
    /// A group that is open already is left as it is.
    ///
    /// - `voters`: nil is all nodes of the configuration, or of the adapter's.
    /// - `make`: makes the state machine, empty; it is filled from the log.
    ///
    /// Throws `badRequest` for an illegal name or an adapter that there isn't, `conflict` when the group
    /// is open as another type, or is on another adapter.
    public func createGroup<S: StateMachine & Sendable>(
        _ name: String, voters: [NodeID]? = nil, options: GroupOptions = .init(),
        _ make: @Sendable () -> S
    ) async throws(KraftError) -> Group<S> {
        let name = try GroupName(checking: name)
        let runtime = try runtime(adapter: options.adapter)
        let voters = voters ?? runtime.configuration.nodes
        let box = TypedMachineBox(make())
        let entry = try await runtime.result(of: OpeningCall(group: name)) { driver, call in
            driver.openGroup(name, voters: voters, options: options, box: box, call: call)
        }
        return try group(entry, on: runtime)
    }

    /// As `createGroup`, for many at once: they share their syncs, so that a hundred thousand take
    /// seconds. The groups come in the order of their names.
    ///
    /// - `make`: makes the state machine of the group of this name.
    ///
    /// Throws as `createGroup` does for the first that can't be created; others may have been.
    public func createGroups<S: StateMachine & Sendable>(
        _ names: [String], voters: [NodeID]? = nil, options: GroupOptions = .init(),
        _ make: @escaping @Sendable (_ name: String) -> S
    ) async throws(KraftError) -> [Group<S>] {
        var groups: [Group<S>] = []
        groups.reserveCapacity(names.count)
        for start in stride(from: 0, to: names.count, by: KraftMultiRaft.openingsAtOnce) {
            let slice = names[start..<min(names.count, start + KraftMultiRaft.openingsAtOnce)]
            let results = await withTaskGroup(
                of: (place: Int, result: Result<Group<S>, KraftError>).self
            ) { tasks in
                for (place, name) in zip(slice.indices, slice) {
                    tasks.addTask {
                        do throws(KraftError) {
                            let group = try await self.createGroup(
                                name, voters: voters, options: options
                            ) { make(name) }
                            return (place, .success(group))
                        } catch {
                            return (place, .failure(error))
                        }
                    }
                }
                return await tasks.reduce(into: []) { $0.append($1) }
            }
            for outcome in results.sorted(by: { $0.place < $1.place }) {
                groups.append(try outcome.result.get())
            }
        }
        return groups
    }

    /// Each takes a task while it is opened.
    private static let openingsAtOnce = 1_024

    /// The group of this name that was opened here. Throws `notFound`, also where the node isn't
    /// running, or `conflict` when its state machine isn't an `S`.
    public func group<S: StateMachine & Sendable>(
        _ name: String, of type: S.Type = S.self
    ) throws(KraftError) -> Group<S> {
        let name = try GroupName(checking: name)
        guard let runtime = try running?.runtime(of: name) else { throw .noSuchGroup(name) }
        guard let entry = runtime.registry.find(name) else { throw .noSuchGroup(name) }
        return try group(entry, on: runtime)
    }

    /// As `group(_:of:)`, by id.
    public func group<S: StateMachine & Sendable>(
        id: GroupID, of type: S.Type = S.self
    ) throws(KraftError) -> Group<S> {
        for runtime in running?.runtimes ?? [] {
            if let entry = runtime.registry.find(id) { return try group(entry, on: runtime) }
        }
        throw KraftError(.notFound, "no group with id \(id) is open on this node")
    }

    private func group<S: StateMachine & Sendable>(
        _ entry: GroupRegistry.Entry, on runtime: NodeRuntime
    ) throws(KraftError) -> Group<S> {
        guard entry.box is TypedMachineBox<S> else {
            throw KraftError(
                .conflict, "the state machine of \(entry.name) is of another type",
                group: entry.name)
        }
        return Group(
            name: entry.name, id: entry.id, slot: entry.slot, queue: runtime.queue,
            requestTimeout: configuration.requestTimeout,
            boxType: ObjectIdentifier(TypedMachineBox<S>.self))
    }

    /// Removes a group from this node. A new one of this name will have another id.
    public func removeGroup(_ name: String) async throws(KraftError) {
        let name = try GroupName(checking: name)
        try await onLoop(name) { driver, call in driver.removeGroup(name, call: call) }
    }

    /// Stops a group on this node: it leads, votes and applies no more here until `startGroup`.
    public func stopGroup(_ name: String) async throws(KraftError) {
        try await setStopped(name, true)
    }

    /// Resumes a group that was stopped.
    public func startGroup(_ name: String) async throws(KraftError) {
        try await setStopped(name, false)
    }

    private func setStopped(_ name: String, _ isStopped: Bool) async throws(KraftError) {
        let name = try GroupName(checking: name)
        try await onLoop(name) { driver, call in
            call.end { () throws(KraftError) in try driver.setStopped(name, isStopped) }
        }
    }

    /// Hands a group's leadership to another voter; returns when this node sees it lead.
    /// Throws `unavailable` when it could not be done in time.
    public func transferLeadership(
        of name: String, to node: NodeID, timeout: Duration? = nil
    ) async throws(KraftError) {
        let name = try GroupName(checking: name)
        let deadline = Instant.after(timeout ?? configuration.requestTimeout)
        try await onLoop(name) { driver, call in
            driver.transfer(name, to: node, deadline: deadline, call: call)
        }
    }

    /// Has this node give up leadership of a group, without a successor in mind; nothing if it
    /// doesn't lead it.
    public func stepDown(_ name: String) async throws(KraftError) {
        let name = try GroupName(checking: name)
        try await onLoop(name) { driver, call in
            call.end { () throws(KraftError) in try driver.stepDown(name) }
        }
    }

    /// Forces an election of a group: if this node leads it, it steps down and lets others go first;
    /// else it campaigns although there is a leader. Throws `conflict` if it can't lead.
    public func forceElection(_ name: String) async throws(KraftError) {
        let name = try GroupName(checking: name)
        try await onLoop(name) { driver, call in
            call.end { () throws(KraftError) in try driver.forceElection(name) }
        }
    }

    /// Hops to the group's loop and waits until `body` has ended the call.
    private func onLoop(
        _ name: GroupName, _ body: @escaping @Sendable (NodeDriver, DoneCall) -> Void
    ) async throws(KraftError) {
        try await runtime(of: name).result(of: DoneCall(group: name), body)
    }
}

extension GroupName {
    init(checking name: String) throws(KraftError) {
        guard let name = GroupName(name) else {
            throw KraftError(
                .badRequest, "a group name is 1 to 128 of A-Z a-z 0-9 . _ : - and not . or ..")
        }
        self = name
    }
}
