import ArgumentParser
import Foundation
import KraftAdmin

struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kv", abstract: "Reads and writes keys.",
        subcommands: [Put.self, Get.self, Delete.self, Append.self, Increment.self])

    struct KeyArgument: ParsableArguments {
        @Argument(help: "The key: 1 to 4,096 bytes.") var key: String

        func path(_ action: String = "") -> String {
            "/v1/kv/\(PercentCoding.encode(key.utf8))\(action)"
        }
    }

    struct ValueArgument: ParsableArguments {
        @Argument(help: "The value; without it, standard input.") var value: String?

        /// At most 1 MiB is taken; the node refuses a byte more.
        var bytes: [UInt8] {
            get throws {
                if let value { return Array(value.utf8) }
                return Array(try FileHandle.standardInput.read(upToCount: (1 << 20) + 1) ?? Data())
            }
        }
    }

    struct Put: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Writes a key.")
        @OptionGroup var key: KeyArgument
        @OptionGroup var value: ValueArgument
        @Option(help: "Only if the key has this version; 0: only if it has no value.")
        var ifVersion: UInt64?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let query = ifVersion.map { [("if_version", "\($0)")] } ?? []
            let answer = try await options.client.send(
                .PUT, key.path(), query: query, body: try value.bytes)
            output(answer.body + [UInt8(ascii: "\n")])
        }
    }

    struct Get: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints a key's value as it is.")
        @OptionGroup var key: KeyArgument
        @Option(help: "linearizable, lease, bounded or local.") var consistency = "linearizable"
        @Option(help: "With bounded: how old the answer may be, in milliseconds.")
        var maxStaleness: UInt64?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            var query = [("consistency", consistency)]
            if let maxStaleness { query.append(("max_staleness_ms", "\(maxStaleness)")) }
            let answer = try await options.client.send(.GET, key.path(), query: query)
            output(answer.body)
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Deletes a key.")
        @OptionGroup var key: KeyArgument
        @Option(help: "Only if the key has this version.") var ifVersion: UInt64?
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let query = ifVersion.map { [("if_version", "\($0)")] } ?? []
            let answer = try await options.client.send(.DELETE, key.path(), query: query)
            output(answer.body + [UInt8(ascii: "\n")])
        }
    }

    struct Append: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Appends bytes to a key's value.")
        @OptionGroup var key: KeyArgument
        @OptionGroup var value: ValueArgument
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let answer = try await options.client.send(
                .POST, key.path("/append"), body: try value.bytes)
            output(answer.body + [UInt8(ascii: "\n")])
        }
    }

    struct Increment: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Adds to the decimal number that a key holds.")
        @OptionGroup var key: KeyArgument
        @Option(help: "How much; may be negative.") var by: Int64 = 1
        @OptionGroup var options: ClientOptions

        func run() async throws {
            let answer = try await options.client.send(
                .POST, key.path("/increment"), query: [("by", "\(by)")])
            output(answer.body + [UInt8(ascii: "\n")])
        }
    }
}
