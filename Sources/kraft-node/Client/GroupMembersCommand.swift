import ArgumentParser

struct GroupMembersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "members", abstract: "Shows or changes who is a member of a group.",
        discussion: """
            Without --add and --remove the members are shown. Otherwise the change is begun and its \
            plan's id printed; it goes on by itself. New voters catch up first. A node that is a \
            member already may be added as another kind: a learner as a voter, say.
            """)

    @Argument(help: "The group's name.") var name: String
    @Option(help: "A node to add: 4, 4:learner or 4:witness. May be repeated.")
    var add: [AddedMember] = []
    @Option(help: "A node to remove. May be repeated.") var remove: [UInt32] = []
    @Flag(help: "Return when the change is done; --timeout is the time that it may take.")
    var wait = false
    @OptionGroup var options: ClientOptions

    func run() async throws {
        let client = options.client
        guard !add.isEmpty || !remove.isEmpty else { return try await show(client) }
        let deadline = ContinuousClock.now + .milliseconds(options.timeout)
        let plan = try await MemberChange(add: add, remove: remove).begin(in: name, client)
        if wait { try await MemberChange.wait(for: plan, client, until: deadline) }
        print(plan)
    }

    private func show(_ client: NodeClient) async throws {
        let group = try await client.send(.GET, GroupCommand.path(name)).json(GroupInfo.self)
        var table = TextTable("node", "kind", "leads", "match", "state")
        for replica in group.replicas {
            table.add(
                "\(replica.node)", replica.kind, replica.node == group.leader ? "yes" : "",
                "\(replica.matchIndex)", replica.state)
        }
        for line in table.lines { print(line) }
        if let change = group.change { print("change under way: \(change)") }
    }
}
