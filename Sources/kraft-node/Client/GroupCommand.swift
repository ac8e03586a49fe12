import ArgumentParser
import Foundation
import KraftAdmin

struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group",
        abstract: "Lists groups, shows one, changes who leads it and who is in it, snapshots it.",
        subcommands: [
            List.self, Show.self, Transfer.self, StepDown.self, Elect.self, Snapshot.self,
            GroupMembersCommand.self,
        ])

    static func path(_ name: String) -> String { "/v1/groups/\(PercentCoding.encode(name.utf8))" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists the groups of a node.")
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let groups = try await options.client.send(.GET, "/v1/groups").json([GroupInfo].self)
            var table = TextTable("group", "role", "leader", "term", "commit", "applied", "digest")
            for group in groups {
                table.add(
                    group.name, group.role, group.leader.map { "\($0)" } ?? "-", "\(group.term)",
                    "\(group.commitIndex)", "\(group.appliedIndex)", group.digest ?? "-")
            }
            for line in table.lines { print(line) }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows one group, as JSON.")
        @Argument(help: "The group's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            output(
                try await options.client.send(.GET, GroupCommand.path(name)).body + [
                    UInt8(ascii: "\n")
                ])
        }
    }

    struct Transfer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hands a group's leadership to another node; returns when that one leads.")
        @Argument(help: "The group's name.") var name: String
        @Option(help: "The node that is to lead.") var to: UInt32
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let path = GroupCommand.path(name) + "/transfer"
            _ = try await options.client.send(.POST, path, body: Array(#"{"to":\#(to)}"#.utf8))
            print("\(name) is led by node \(to)")
        }
    }

    struct StepDown: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "step-down", abstract: "Has a group's leader give up leading it.")
        @Argument(help: "The group's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            _ = try await options.client.send(.POST, GroupCommand.path(name) + "/step-down")
            print("\(name)'s leader steps down")
        }
    }

    struct Elect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forces an election of a group's leader.",
            discussion: "A leader that is told to steps down and lets others go first.")
        @Argument(help: "The group's name.") var name: String
        @Option(help: "The node that campaigns; the one that is asked if not said.")
        var node: UInt32?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let body = node.map { Array(#"{"node":\#($0)}"#.utf8) }
            _ = try await options.client.send(
                .POST, GroupCommand.path(name) + "/elect", body: body)
            print("\(name) elects")
        }
    }

    struct Snapshot: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a group's state on a node to a snapshot; its log there gives way.",
            discussion: "Nodes take snapshots by themselves; this is for when it should be now.")
        @Argument(help: "The group's name.") var name: String
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let taken = try await options.client.send(
                .POST, GroupCommand.path(name) + "/snapshot"
            ).json(SnapshotInfo.self)
            print("\(name) is in a snapshot up to \(taken.index), \(taken.bytes) bytes")
        }
    }
}
