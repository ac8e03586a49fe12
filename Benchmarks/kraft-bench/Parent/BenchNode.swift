import Foundation

/// One node's process, as the parent sees it.
final class BenchNode: Sendable {
    private static let patience: Duration = .seconds(300)

    let id: UInt32
    private let process: Int32
    private let orders: FileHandle
    private let answers: FileHandle
    private let mailbox = Mailbox()

    /// Starts this executable again as a node.
    init(_ setup: NodeSetup, _ remains: Remains) throws {
        id = setup.node
        let process = Process()
        process.executableURL = URL(fileURLWithPath: BenchNode.executable)
        let argument = try JSONEncoder().encode(setup)
        process.arguments = ["node", String(decoding: argument, as: UTF8.self)]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        orders = input.fileHandleForWriting
        answers = output.fileHandleForReading
        try remains.start(process)
        self.process = process.processIdentifier
        listen()
    }

    private static let executable =
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        ?? CommandLine.arguments[0]

    func kill() { Foundation.kill(process, SIGKILL) }

    /// Gives an order and waits for its answer. Throws what the node says went wrong.
    func ask(_ order: Order) async throws -> Answer {
        var line = try JSONEncoder().encode(order)
        line.append(UInt8(ascii: "\n"))
        do {
            try orders.write(contentsOf: line)
        } catch {
            throw BenchFailure("node \(id) is gone")
        }
        return try await nextAnswer()
    }

    func nextAnswer() async throws -> Answer {
        let patience = Task { [mailbox, id] in
            try await Task.sleep(for: BenchNode.patience)
            mailbox.end(BenchFailure("node \(id) did not answer in time"))
        }
        defer { patience.cancel() }
        let answer = try await mailbox.take()
        if case .failed(let reason) = answer { throw BenchFailure("node \(id): \(reason)") }
        return answer
    }

    /// Reads answers on a thread of its own, until there are no more.
    private func listen() {
        Thread.detachNewThread { [answers, mailbox, id] in
            var line: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                // Not by `FileHandle`, which waits until the whole buffer is full.
                let count = read(answers.fileDescriptor, &part, part.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                for byte in part[..<count] {
                    guard byte == UInt8(ascii: "\n") else {
                        line.append(byte)
                        continue
                    }
                    if let answer = try? JSONDecoder().decode(Answer.self, from: Data(line)) {
                        mailbox.put(answer)
                    }
                    line.removeAll(keepingCapacity: true)
                }
            }
            mailbox.end(BenchFailure("the process of node \(id) ended"))
        }
    }
}
