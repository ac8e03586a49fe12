import KraftMultiRaft

/// Answers requests that change who is a member of a group and who leads it, and on how such
/// changes stand.
struct MembershipHandler: Sendable {
    let manager: KraftMultiRaft
    let directory: RoutingDirectory
    let book: AddressBook

    /// Begins a change of a group's members.
    func change(
        _ name: GroupName, _ body: MembersBody, timeout: Duration
    ) async throws(HTTPFault) -> HTTPAnswer {
        do throws(KraftError) {
            let change = try await manager.changeMembers(
                of: name.string, add: body.add, remove: body.remove, timeout: timeout)
            return .json(["plan": .string(change.description)], status: 202)
        } catch {
            guard error.code == .badRequest else { throw await fault(error, of: name) }
            throw .inGroup(name, .badRequest, await objection(to: body, name) ?? error.message)
        }
    }

    /// The group refused the change: the words for why, by what this node knows.
    private func objection(to body: MembersBody, _ name: GroupName) async -> String? {
        guard let group = try? await manager.status(of: name.string) else { return nil }
        let nodes = await manager.peers().filter { !$0.hasLeft }.map(\.node) + [manager.node]
        return body.objection(members: group.members, nodes: nodes)
    }

    // MARK: Plans

    func plans() async -> HTTPAnswer {
        .json(.array(await manager.changes().compactMap { PlanView($0)?.json }))
    }

    func plan(_ id: String) async throws(HTTPFault) -> HTTPAnswer {
        guard let change = ChangeID(id) else { throw .notFound("no such plan") }
        do throws(KraftError) {
            guard let plan = PlanView(try await manager.status(of: change)) else {
                throw KraftError(.notFound, "the plan ended so long ago that how is forgotten")
            }
            return .json(plan.json)
        } catch {
            // Only who doesn't know the group lets others speak.
            guard error.group != nil else { throw await book.fault(error) }
            throw await fault(error, of: change.group)
        }
    }

    // MARK: Leadership

    /// The leader gives up, whoever it is; answers when it has begun to.
    func stepDown(_ name: GroupName) async throws(HTTPFault) -> HTTPAnswer {
        var leader = manager.node
        do throws(KraftError) {
            leader = try await manager.status(of: name.string).leader
            guard !leader.isNone else {
                throw KraftError(.unavailable, "the group has no leader", group: name)
            }
            if leader == manager.node { try await manager.stepDown(name.string) }
        } catch {
            throw await fault(error, of: name)
        }
        guard leader == manager.node else { throw elsewhere(leader, name) }
        return .json(["group": .string(name.string), "node": .node(leader)])
    }

    /// Has a node campaign, this one unless another is named; answers when it has begun to. The
    /// leader steps down instead and lets others go first.
    func elect(_ name: GroupName, _ node: NodeID?) async throws(HTTPFault) -> HTTPAnswer {
        if let node, node != manager.node { throw elsewhere(node, name) }
        do throws(KraftError) {
            try await manager.forceElection(name.string)
        } catch {
            throw await fault(error, of: name)
        }
        return .json(["group": .string(name.string), "node": .node(manager.node)])
    }

    private func elsewhere(_ node: NodeID, _ name: GroupName) -> HTTPFault {
        var fault = HTTPFault.inGroup(name, .unavailable, "this is for node \(node) to do")
        fault.elsewhere = .node(node)
        return fault
    }

    /// A group that isn't here may be on other nodes.
    private func fault(_ error: KraftError, of name: GroupName) async -> HTTPFault {
        await .ofGroup(error, name, isRouted: directory.owns(name), book)
    }
}

extension HTTPFault {
    /// An error of a request about a group. One that the routing knows is never `not_found`: it is
    /// somewhere. What this node doesn't hold, others may.
    static func ofGroup(
        _ error: KraftError, _ name: GroupName, isRouted: Bool, _ book: AddressBook
    ) async -> HTTPFault {
        var error = error
        if error.group == nil { error.group = name }
        guard error.code == .notFound else { return await book.fault(error) }
        var fault = HTTPFault.inGroup(name, .notFound, error.message)
        if isRouted { fault = .inGroup(name, .unavailable, error.message) }
        fault.elsewhere = .anyHolder
        return fault
    }
}
