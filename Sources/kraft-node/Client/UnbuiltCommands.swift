import ArgumentParser

/// A subcommand of the contract that isn't built yet: whatever its arguments, it says so.
protocol UnbuiltCommand: ParsableCommand {
    static var name: String { get }
    var arguments: [String] { get }
}

extension UnbuiltCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: name, abstract: "(not built yet)")
    }

    func run() throws {
        complain("not_implemented: \(Self.name) isn't built yet")
        throw NodeExit.internalError
    }
}

struct QueueCommand: UnbuiltCommand {
    static let name = "queue"
    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []
}

struct VectorCommand: UnbuiltCommand {
    static let name = "vector"
    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []
}

struct BenchCommand: UnbuiltCommand {
    static let name = "bench"
    @Argument(parsing: .captureForPassthrough) var arguments: [String] = []
}
