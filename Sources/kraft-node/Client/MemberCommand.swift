import ArgumentParser

struct MemberCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "member", abstract: "Lists, adds and removes nodes.",
        discussion: """
            'join' and 'leave' are about the cluster: who is talked to. 'add' and 'remove' are about \
            groups: who holds their data. A node that leaves is removed from its groups first.
            """,
        subcommands: [List.self, Add.self, Remove.self, Join.self, Leave.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists the cluster's nodes.")
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let members = try await options.client.send(.GET, "/v1/cluster/members")
                .json([MemberInfo].self)
            var table = TextTable("node", "address", "http", "status", "leads", "replicas")
            for member in members {
                table.add(
                    "\(member.id)", member.addr ?? "-", member.http ?? "-", member.status,
                    "\(member.leads)", "\(member.replicas)")
            }
            for line in table.lines { print(line) }
        }
    }

    /// Which groups a change is for.
    struct GroupChoice: ParsableArguments {
        @Option(help: "Only in this group. May be repeated; all groups if not given.")
        var group: [String] = []
        @OptionGroup var options: ClientOptions

        /// Changes one group after the other, each to its end.
        func change(_ change: (GroupInfo) -> MemberChange?) async throws {
            let client = options.client
            let deadline = ContinuousClock.now + .milliseconds(options.timeout)
            var names = group
            if names.isEmpty {
                // A node lists only the groups that it holds; the routing names all.
                names = try await client.send(.GET, "/v1/cluster/sharding")
                    .json(ShardingInfo.self).names
            }
            for name in names {
                let info = try await client.send(.GET, GroupCommand.path(name))
                    .json(GroupInfo.self)
                guard let change = change(info) else {
                    print("\(name): nothing to do")
                    continue
                }
                let plan = try await change.begin(in: name, client)
                try await MemberChange.wait(for: plan, client, until: deadline)
                print("\(name): done")
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Adds a node to groups, one after the other.")
        @Argument(help: "The node: 4, 4:learner or 4:witness.") var member: AddedMember
        @OptionGroup var groups: GroupChoice

        func run() async throws {
            try await groups.change { info in
                let isThere = info.replicas.contains {
                    $0.node == member.node && $0.kind == member.kind
                }
                return isThere ? nil : MemberChange(add: [member])
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Removes a node from groups, one after the other.")
        @Argument(help: "The node.") var node: UInt32
        @OptionGroup var groups: GroupChoice

        func run() async throws {
            try await groups.change { info in
                info.replicas.contains { $0.node == node } ? MemberChange(remove: [node]) : nil
            }
        }
    }

    struct Join: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Takes a node into the cluster.",
            discussion: "A node that is started with --join does this by itself.")
        @Argument(help: "The node.") var node: UInt32
        @Option(help: "Where its peer port is reached, host:port.") var addr: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let body = #"{"node_id":\#(node),"addr":"\#(addr)"}"#
            _ = try await options.client.send(
                .POST, "/v1/cluster/join", body: Array(body.utf8))
            print("node \(node) is a member")
        }
    }

    struct Leave: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Takes a node out of its groups, then out of the cluster.",
            discussion: "If the time is too short, say it again: it goes on from where it is.")
        @Argument(help: "The node.") var node: UInt32
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let body = #"{"node_id":\#(node)}"#
            _ = try await options.client.send(
                .POST, "/v1/cluster/leave", body: Array(body.utf8))
            print("node \(node) has left")
        }
    }
}
