import ArgumentParser
import Foundation

/// One node's process. Started by the other subcommands.
struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "node", shouldDisplay: false)

    @Argument var setup: String

    func run() async throws {
        let setup = try JSONDecoder().decode(NodeSetup.self, from: Data(setup.utf8))
        // A parent that is gone can't be answered; the end of standard input says so.
        signal(SIGPIPE, SIG_IGN)
        let host = try NodeHost(setup)
        let orders = NodeCommand.orders(of: setup)
        await NodeCommand.answer {
            try await host.start()
            return .ready
        }
        for await order in orders {
            // At once: libuv would take its pool from under the loop in an orderly exit.
            if case .quit = order { _exit(0) }
            await NodeCommand.answer { try await host.carryOut(order) }
        }
    }

    /// Standard input, line by line. Its end is the parent's: then nothing is left behind.
    private static func orders(of setup: NodeSetup) -> AsyncStream<Order> {
        let (orders, continuation) = AsyncStream<Order>.makeStream()
        Thread.detachNewThread {
            while let line = readLine() {
                guard let order = try? JSONDecoder().decode(Order.self, from: Data(line.utf8))
                else { break }
                continuation.yield(order)
            }
            try? FileManager.default.removeItem(atPath: setup.dataDirectory)
            // Works for the last node that goes.
            rmdir((setup.dataDirectory as NSString).deletingLastPathComponent)
            _exit(0)
        }
        return orders
    }

    private static func answer(_ body: () async throws -> Answer) async {
        let answer: Answer
        do {
            answer = try await body()
        } catch {
            answer = .failed("\(error)")
        }
        guard var line = try? JSONEncoder().encode(answer) else { return }
        line.append(UInt8(ascii: "\n"))
        try? FileHandle.standardOutput.write(contentsOf: line)
    }
}
