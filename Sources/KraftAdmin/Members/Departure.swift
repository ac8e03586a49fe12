import Foundation
import KraftMultiRaft

/// Takes one node out of all groups that it is a member of.
///
/// How far it has come is in the groups themselves, so whoever does it again goes on from there.
struct Departure: Sendable {
    let node: NodeID
    let manager: KraftMultiRaft
    let directory: RoutingDirectory
    let ask: RosterHandler.Ask

    /// Groups that are worked on at once.
    static let parallelLimit = 8
    /// Between two looks at a group.
    static let pause = Duration.milliseconds(30)

    /// How a group's members stand, as somebody told who holds it.
    struct Look: Decodable, Equatable {
        var leader: UInt32?
        var joint: Bool
        var change: String?
        var membersCommitted: Bool
        var replicas: [Replica]

        struct Replica: Decodable, Equatable {
            var node: UInt32
            var kind: String
            var state: String
        }

        func holds(_ node: NodeID) -> Bool { replicas.contains { $0.node == node.rawValue } }

        /// The node has no say in the group any more, whoever leads it next.
        func isWithout(_ node: NodeID) -> Bool { !holds(node) && membersCommitted }

        /// Who could lead instead, those first that are known to follow.
        func heirs(of node: NodeID) -> [UInt32] {
            let others = replicas.filter { $0.kind == "voter" && $0.node != node.rawValue }
            return
                (others.filter { $0.state == "replicate" }
                + others.filter { $0.state != "replicate" }).map(\.node)
        }
    }

    /// Throws `conflict`, before anything is done, if a group would be left without a voter that
    /// has its data; `unavailable` or `outcome_unknown` if it isn't done in time: the second when
    /// something was begun.
    func run(until deadline: ContinuousClock.Instant) async throws(HTTPFault) {
        let groups = await groups(until: deadline)
        for (name, look) in groups {
            guard let look, look.holds(node), look.heirs(of: node).isEmpty else { continue }
            throw .inGroup(
                name, .conflict, "without node \(node) the group would have no voter with its data")
        }
        let mine = groups.filter { !($0.look?.isWithout(node) ?? false) }
        let ends = await Departure.parallel(mine.map(\.name)) { await leave($0, until: deadline) }
        let left = ends.filter { !$0.end.isOut }
        guard let first = left.first else { return }
        var fault = HTTPFault(
            left.contains { $0.end.hasBegun } ? .outcomeUnknown : .unavailable,
            "node \(node) is not yet out of \(left.count) of its groups (\(first.name): "
                + "\(first.end.trouble ?? "not yet")); ask again to go on")
        fault.group = first.name.string
        throw fault
    }

    /// All groups that this node or the routing knows, and how each stands: nil if that can't be
    /// learned.
    private func groups(
        until deadline: ContinuousClock.Instant
    ) async -> [(name: GroupName, look: Look?)] {
        var names = await manager.status().groups.map(\.name)
        let local = Set(names)
        names += directory.current?.owners.map(\.group).filter { !local.contains($0) } ?? []
        return await Departure.parallel(names) { name in
            guard case .stands(let look) = await self.look(at: name, until: deadline) else {
                return nil
            }
            return look
        }.map { ($0.name, $0.end) }
    }

    // MARK: One group

    private struct End: Sendable {
        var isOut = false
        var hasBegun = false
        var trouble: String?
    }

    private func leave(_ name: GroupName, until deadline: ContinuousClock.Instant) async -> End {
        var end = End()
        while ContinuousClock.now < deadline {
            switch await look(at: name, until: deadline) {
            case .gone: return End(isOut: true)
            case .unclear(let words): end.trouble = words
            case .stands(let look) where look.isWithout(node): return End(isOut: true)
            case .stands(let look) where look.change != nil || look.joint:
                end.trouble = "another change is under way"
            case .stands(let look) where look.holds(node):
                await handOver(name, look, until: deadline)
                await remove(from: name, &end, until: deadline)
            case .stands: break
            }
            try? await Task.sleep(for: Departure.pause)
        }
        return end
    }

    private enum Sight {
        case stands(Look)
        /// There is no such group any more.
        case gone
        case unclear(String)
    }

    private func look(at name: GroupName, until deadline: ContinuousClock.Instant) async -> Sight {
        do throws(HTTPFault) {
            let answer = try await ask("GET", path(name), nil, deadline)
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            guard answer.status == 200,
                let look = try? decoder.decode(Look.self, from: Data(answer.body))
            else {
                return answer.status == 404 ? .gone : .unclear("status \(answer.status)")
            }
            return .stands(look)
        } catch {
            return error.status == 404 ? .gone : .unclear(error.message)
        }
    }

    /// Leadership goes first, so that nobody waits for a leader that leaves. If it can't be handed
    /// over the group sees to that itself.
    private func handOver(
        _ name: GroupName, _ look: Look, until deadline: ContinuousClock.Instant
    ) async {
        guard look.leader == node.rawValue, let heir = look.heirs(of: node).first else { return }
        let until = min(deadline, .now + .seconds(2))
        _ = try? await ask("POST", path(name) + "/transfer", ["to": .node(NodeID(heir))], until)
    }

    private func remove(
        from name: GroupName, _ end: inout End, until deadline: ContinuousClock.Instant
    ) async {
        do throws(HTTPFault) {
            let answer = try await ask(
                "POST", path(name) + "/members", ["remove": .array([.node(node)])], deadline)
            if answer.status == 202 || answer.status == 504 { end.hasBegun = true }
            end.trouble = answer.status == 202 ? nil : HTTPFault(passedOn: answer).message
        } catch {
            if error.status == 504 { end.hasBegun = true }
            end.trouble = error.message
        }
    }

    private func path(_ name: GroupName) -> String {
        "/v1/groups/\(PercentCoding.encode(name.string.utf8))"
    }

    // MARK: Many groups

    private static func parallel<End: Sendable>(
        _ names: [GroupName], _ body: @escaping @Sendable (GroupName) async -> End
    ) async -> [(name: GroupName, end: End)] {
        await withTaskGroup(of: (Int, End).self) { tasks in
            var ends: [(Int, End)] = []
            for (position, name) in names.enumerated() {
                if position >= parallelLimit, let end = await tasks.next() { ends.append(end) }
                tasks.addTask { (position, await body(name)) }
            }
            for await end in tasks { ends.append(end) }
            return ends.sorted { $0.0 < $1.0 }.map { (names[$0.0], $0.1) }
        }
    }
}
