import ArgumentParser
import Foundation
import KraftTestKit

@main
struct KraftChaos: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kraft-chaos",
        abstract: "Real nodes under kill, stop and partition; the clients' history is checked.")

    @Option(help: "Client operations to make, at most.") var operations = 100_000
    @Option(help: "Seconds that the fire lasts, at most.") var seconds = 600
    @Option(help: "Of the faults and the operations; what the system does with them is its own.")
    var seed: UInt64 = .random(in: 1...999_999)
    @Option(help: "Nodes, 3 to 7.") var nodes = 3
    @Option(help: "Groups.") var groups = 4
    @Option(help: "Clients; each asks one thing at a time.") var clients = 16
    @Option(help: "Keys.") var keys = 48
    @Option(help: "Promises of leases in ms; above 0 a third of the reads are lease reads.")
    var leaseMs = 0
    @Flag(help: "Spoil the folders of nodes while they are down, instead.") var disks = false
    @Option(help: "Where the history goes.") var history = ""

    func validate() throws {
        guard (3...7).contains(nodes), (1...64).contains(groups), (1...256).contains(clients),
            (1...100_000).contains(keys), (1...10_000_000).contains(operations),
            (1...86_400).contains(seconds), (0...10_000).contains(leaseMs)
        else { throw ValidationError("a number is out of its bounds") }
    }

    func run() async throws {
        let started = ContinuousClock.now
        say("chaos: seed \(seed), \(nodes) nodes, \(groups) groups, \(clients) clients")
        let cluster = try ChaosCluster(nodes: nodes, groups: groups, leaseMilliseconds: leaseMs)
        let stops = endOnSignal { cluster.destroy() }
        defer { withExtendedLifetime(stops) { cluster.destroy() } }
        try await cluster.start()

        let book = HistoryBook(limit: operations)
        let nemesis: any Nemesis =
            disks
            ? DiskNemesis(cluster: cluster, seed: seed)
            : NodeNemesis(cluster: cluster, seed: seed)
        let end = ContinuousClock.now + .seconds(seconds)
        await withTaskGroup(of: Void.self) { tasks in
            for number in 0..<clients {
                let client = ChaosClient(
                    number: number, seed: seed, cluster: cluster, book: book, keys: keys,
                    usesLeases: leaseMs > 0)
                tasks.addTask { await client.run(until: end) }
            }
            tasks.addTask { await nemesis.run(until: end, whileTrue: { !book.isFull }) }
            tasks.addTask { await Progress(book: book, nemesis: nemesis).run(until: end) }
            await tasks.waitForAll()
        }
        if let trouble = nemesis.trouble {
            say("chaos: \(trouble)")
            throw ExitCode(1)
        }
        try await cluster.heal()
        await readBack(cluster, book)
        try report(book, nemesis, took: ContinuousClock.now - started)
    }

    /// After the fire every key is read once through every node.
    private func readBack(_ cluster: ChaosCluster, _ book: HistoryBook) async {
        book.raiseLimit(by: keys * nodes)
        for node in 1...nodes {
            let client = ChaosClient(
                number: clients + node, seed: seed, cluster: cluster, book: book, keys: keys,
                usesLeases: false)
            for key in 0..<keys { await client.read(key: key, through: node) }
        }
    }

    private func report(
        _ book: HistoryBook, _ nemesis: any Nemesis, took: Duration
    ) throws {
        let history = book.history
        let path =
            self.history.isEmpty
            ? NSTemporaryDirectory() + "kraft-chaos-\(seed).jsonl" : self.history
        try write(history, to: path)
        say("faults: \(nemesis.summary)")
        say("answers: \(book.summary)")
        let checked = LinearizabilityChecker(KeyValueModel()).check(history)
        say("\(checked)")
        say("history: \(path)")
        say(
            "summary: \(disks ? "chaos-disk  " : "chaos       ") \(checked.operations) operations, "
                + "\(nemesis.total) faults, \(took.components.seconds) s: "
                + "\(checked.verdict.rawValue)")
        guard checked.verdict == .linearizable else { throw ExitCode(1) }
        guard checked.answered > 0 else {
            say("nothing was answered")
            throw ExitCode(1)
        }
    }

    private func write(_ history: History<KeyValueModel>, to path: String) throws {
        var text = ""
        history.forEachJSONLine { text += $0 + "\n" }
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }

    /// All processes end with this one, also when it is told to stop.
    private func endOnSignal(_ body: @escaping @Sendable () -> Void) -> [any DispatchSourceSignal] {
        [SIGINT, SIGTERM].map { (number: Int32) in
            _ = signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                body()
                Foundation.exit(130)
            }
            source.resume()
            return source
        }
    }
}

/// A line now and then, so that a long run shows that it lives.
private struct Progress {
    let book: HistoryBook
    let nemesis: any Nemesis

    func run(until end: ContinuousClock.Instant) async {
        var next = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end, !book.isFull {
            try? await Task.sleep(for: .milliseconds(100))
            guard ContinuousClock.now >= next else { continue }
            next = ContinuousClock.now + .seconds(5)
            say("  \(book.count) operations (\(book.summary)), \(nemesis.total) faults")
        }
    }
}

/// A line on standard output, at once: who watches through a pipe wants to see that it lives.
func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}
