import ArgumentParser
import KraftAdmin

/// A node to add, as what: `4`, `4:learner`.
struct AddedMember: ExpressibleByArgument, Equatable {
    var node: UInt32
    var kind: String

    static let kinds = ["voter", "learner", "witness"]

    init(node: UInt32, kind: String) { (self.node, self.kind) = (node, kind) }

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), let node = UInt32(parts[0]), node > 0 else {
            return nil
        }
        let kind = parts.count == 2 ? String(parts[1]) : "voter"
        guard AddedMember.kinds.contains(kind) else { return nil }
        self.init(node: node, kind: kind)
    }
}

/// A change of one group's members, as a client asks for it and follows it.
struct MemberChange {
    var add: [AddedMember] = []
    var remove: [UInt32] = []

    var json: String {
        let additions = add.map { #"{"node":\#($0.node),"kind":"\#($0.kind)"}"# }
        let removals = remove.map { "\($0)" }
        return #"{"add":[\#(additions.joined(separator: ","))],"#
            + #""remove":[\#(removals.joined(separator: ","))]}"#
    }

    /// Begins the change; the plan's id.
    func begin(in group: String, _ client: NodeClient) async throws -> String {
        try await client.send(
            .POST, GroupCommand.path(group) + "/members", body: Array(json.utf8)
        ).json(PlanReference.self).plan
    }

    /// Returns when a plan is done; ends the command when it failed, or isn't done in time.
    static func wait(
        for plan: String, _ client: NodeClient, until deadline: ContinuousClock.Instant
    )
        async throws
    {
        while true {
            let path = "/v1/plans/\(PercentCoding.encode(plan.utf8))"
            let info = try await client.send(.GET, path).json(PlanInfo.self)
            switch info.state {
            case "done": return
            case "running": break
            default:
                complain("\(plan) \(info.state): \(info.error ?? "no reason given")")
                throw NodeExit.internalError
            }
            guard ContinuousClock.now < deadline else {
                complain("\(plan) is still running (\(info.step))")
                throw NodeExit.unreachable
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}
