import ArgumentParser
import Foundation
import KraftAdmin

struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group", abstract: "Lists groups, shows one, hands its leadership over.",
        subcommands: [List.self, Show.self, Transfer.self])

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
            let path = "/v1/groups/\(PercentCoding.encode(name.utf8))"
            output(try await options.client.send(.GET, path).body + [UInt8(ascii: "\n")])
        }
    }

    struct Transfer: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hands a group's leadership to another node; returns when that one leads.")
        @Argument(help: "The group's name.") var name: String
        @Option(help: "The node that is to lead.") var to: UInt32
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let path = "/v1/groups/\(PercentCoding.encode(name.utf8))/transfer"
            _ = try await options.client.send(.POST, path, body: Array(#"{"to":\#(to)}"#.utf8))
            print("\(name) is led by node \(to)")
        }
    }
}
