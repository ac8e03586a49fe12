import ArgumentParser
import Foundation
import KraftMultiRaft

/// The way out when a majority of a group is lost for good. Works on the folder of a node that
/// doesn't run.
struct RecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Makes this node the only member of groups that have lost their majority.",
        discussion: """
            The node must not run. First --inspect on each node that is left: the one with the \
            greatest last term, then last index, knows most. Then --dry-run with --lost there, which \
            says what may be lost; then without --dry-run. The lost nodes leave the cluster with it; \
            their folders must not be used again. On other nodes that are left, --forget removes \
            the replica that doesn't count any more; then they can be added to the group again.

            Writes that the lost nodes acknowledged and this one never got are gone. Copy the data \
            folder before. Exit codes: 0 fine, 64 usage, or a node runs, 66 no log there, 70 a group \
            can't be recovered, 74 the disk.
            """)

    @Option(help: "The data folder of this node.") var dataDir: String
    @Option(help: "A group. May be repeated.") var group: [String] = []
    @Flag(help: "All groups on this node that have lost their majority.") var all = false
    @Option(help: "Nodes that will never come back with what they held: 1,2.") var lost: String?
    @Flag(help: "Only say how this node's replicas stand.") var inspect = false
    @Flag(help: "Say what would be done and what may be lost, and change nothing.")
    var dryRun = false
    @Flag(help: "Remove this node's replicas of the groups, which were recovered elsewhere.")
    var forget = false
    @Flag(help: "Take damaged replicas, too, that may lack what they had acknowledged.")
    var acceptDamage = false

    func validate() throws {
        guard !(inspect && forget), !(inspect && dryRun) else {
            throw ValidationError("--inspect goes alone")
        }
        if inspect { return }
        guard all != !group.isEmpty else { throw ValidationError("give --group, or --all") }
        if forget {
            guard lost == nil, !all else {
                throw ValidationError("--forget takes --group, and no --lost")
            }
            return
        }
        guard lostNodes?.isEmpty == false else {
            throw ValidationError("lost: the nodes that are lost for good, 1,2")
        }
    }

    private var lostNodes: [NodeID]? {
        let parts = (lost ?? "").split(separator: ",", omittingEmptySubsequences: false)
        let nodes = parts.compactMap { UInt32($0) }.filter { $0 > 0 }
        return nodes.count == parts.count ? nodes.map { NodeID($0) } : nil
    }

    func run() throws {
        do throws(KraftError) {
            let quorum = try LostQuorum(dataDir)
            if inspect {
                for line in RecoverText.inspection(quorum) { print(line) }
            } else if forget {
                try forgetGroups(quorum)
            } else {
                try recover(quorum, lostNodes ?? [])
            }
        } catch {
            complain(error.message)
            throw RecoverCommand.exit(error)
        }
    }

    private func names(_ quorum: LostQuorum) throws(KraftError) -> [GroupName] {
        var names: [GroupName] = []
        for text in group {
            guard let name = GroupName(text) else {
                throw KraftError(.badRequest, "group: '\(text)' is no group's name")
            }
            guard quorum.groups.contains(where: { $0.name == name }) else {
                throw KraftError(.badRequest, "\(name): no such group on node \(quorum.node)")
            }
            if !names.contains(name) { names.append(name) }
        }
        return names
    }

    private func forgetGroups(_ quorum: LostQuorum) throws(KraftError) {
        let names = try names(quorum)
        if !dryRun { try quorum.forget(names) }
        for name in names {
            print("\(name): \(dryRun ? "would be" : "is") forgotten on node \(quorum.node)")
        }
    }

    private func recover(_ quorum: LostQuorum, _ lost: [NodeID]) throws(KraftError) {
        var losses: [QuorumLoss] = []
        for name in all ? quorum.groups.map(\.name) : try names(quorum) {
            let loss = try quorum.loss(of: name, lost: lost, acceptsDamage: acceptDamage)
            losses.append(loss)
            for line in RecoverText.plan(loss) { print(line) }
        }
        let possible = losses.filter { $0.obstacle == nil }
        // Of groups that were named, each must be.
        guard !possible.isEmpty, all || possible.count == losses.count else {
            throw KraftError(.conflict, "nothing was changed: see above")
        }
        guard !dryRun else {
            print("dry run: nothing was changed")
            return
        }
        try quorum.recover(possible.map(\.name), lost: lost, acceptsDamage: acceptDamage) {
            recovered in
            print(
                "\(recovered.name): recovered; node \(quorum.node) is its only member, it ends with "
                    + "\(recovered.last.index) of term \(recovered.last.term)")
        }
        print("start node \(quorum.node), then add members: kraft-node member add …")
    }

    static func exit(_ error: KraftError) -> ExitCode {
        switch error.code {
        case .notFound: LogCommand.noInput
        case .unavailable, .badRequest: NodeExit.usage
        case .storage: NodeExit.storage
        default: NodeExit.internalError
        }
    }
}

/// What `recover` says.
enum RecoverText {
    static func inspection(_ quorum: LostQuorum) -> [String] {
        var table = TextTable(
            "group", "members", "last term", "last index", "known", "term", "state")
        for group in quorum.groups {
            let loss = QuorumLoss(of: group, on: quorum.node, lost: [])
            table.add(
                group.name.string, members(loss.members), "\(loss.last.term)",
                "\(loss.last.index)", "\(loss.known)", "\(loss.term)", state(group))
        }
        return ["node \(quorum.node)"] + table.lines
    }

    private static func state(_ group: LogReport.Group) -> String {
        if group.isWitness { return "witness" }
        return group.isDamaged ? "damaged" : "sound"
    }

    private static func members(_ members: [GroupStatus.Member]) -> String {
        members.map { $0.kind == .voter ? "\($0.node)" : "\($0.node):\($0.kind)" }
            .joined(separator: ",")
    }

    private static func list(_ nodes: [NodeID]) -> String {
        nodes.map { "\($0)" }.joined(separator: ",")
    }

    /// What is known, what may be lost, and what has to be done besides.
    static func plan(_ loss: QuorumLoss) -> [String] {
        var lines = ["\(loss.name): members \(members(loss.members))"]
        if let obstacle = loss.obstacle { return lines + ["  can't be recovered: \(obstacle)"] }
        lines.append(
            "  node \(loss.node)'s log ends with \(loss.last.index) of term \(loss.last.term)")
        lines.append("  up to \(loss.known) all is known to have been committed")
        if loss.last.index > loss.known {
            lines.append(
                "  \(loss.known.next) to \(loss.last.index): kept and taken for committed, also what "
                    + "nobody was told of")
        }
        lines.append(
            "  lost: whatever nodes \(list(loss.lost)) acknowledged beyond \(loss.last.index)")
        if loss.term > loss.last.term {
            lines.append(
                "  there was an election in term \(loss.term), of which nothing is here: its leader "
                    + "may have acknowledged writes")
        }
        if loss.isDamaged {
            lines.append("  DAMAGED: entries that this node had acknowledged may be gone, too")
        }
        if !loss.survivors.isEmpty {
            lines.append(
                "  nodes \(list(loss.survivors)) are left, too: go on only if none of them has a "
                    + "greater last term, or the same and a greater last index (recover --inspect); "
                    + "then 'recover --forget' there")
        }
        return lines
    }
}
