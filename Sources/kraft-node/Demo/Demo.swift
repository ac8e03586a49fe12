import AsyncHTTPClient
import Foundation
import NIOCore
import Synchronization

/// The demo from start to summary.
final class Demo: Sendable {
    private let options: DemoOptions
    private let cleanup: DemoCleanup
    private let screen: DemoScreen
    private let view: Mutex<DemoView>
    private let started = ContinuousClock.now

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// A cluster on which nothing moves on for so long has failed.
    private static let patience = Duration.seconds(30)

    init(options: DemoOptions, cleanup: DemoCleanup) {
        self.options = options
        self.cleanup = cleanup
        screen = DemoScreen(terminal: .ofStandardOutput, cleanup: cleanup)
        view = Mutex(
            DemoView(
                nodes: (1...options.nodes).map { DemoView.Node(id: $0) },
                groupCount: options.groups))
    }

    /// Whether every acknowledged write was there and all replicas were equal.
    func run() async throws -> Bool {
        let directory = try makeDirectory()
        let http = HTTPClient(configuration: Demo.clientConfiguration)
        do {
            let cluster = DemoCluster(
                options: options, directory: directory, http: http, cleanup: cleanup)
            let isClean = try await play(on: cluster)
            try await http.shutdown()
            return isClean
        } catch {
            try? await http.shutdown()
            screen.clear()
            throw error
        }
    }

    private func makeDirectory() throws -> String {
        if let directory = options.dataDirectory {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            return directory
        }
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("kraft-demo-\(UUID().uuidString)").path
        cleanup.set(directory: directory)
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        return directory
    }

    private static var clientConfiguration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .milliseconds(500)
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        // A node that is down is told at once; the workload then takes the next one.
        configuration.connectionPool.retryConnectionEstablishment = false
        return configuration
    }

    // MARK: The play

    private func play(on cluster: DemoCluster) async throws -> Bool {
        screen.say("kraft demo", .bold)
        screen.say(
            "\(options.nodes) nodes, \(Words.many(options.groups, "group")), consistent hashing; "
                + "real processes on loopback, each with its own log", .dim)
        screen.say("")
        try await cluster.start()
        try await waitUntilReady(cluster)
        screen.say("all nodes are up, every group has a leader", .good)

        let workload = DemoWorkload(cluster: cluster)
        let meter = try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await workload.write() }
            tasks.addTask { await self.watch(cluster, workload) }
            do {
                let meter = try await disturb(cluster)
                workload.stop()
                // The writers end by themselves; the watch goes on until it is cancelled.
                try await tasks.next()
                tasks.cancelAll()
                return meter
            } catch {
                workload.stop()
                tasks.cancelAll()
                throw error
            }
        }
        return await verify(cluster, workload.books, meter)
    }

    private func waitUntilReady(_ cluster: DemoCluster) async throws {
        try await wait("every group to have a leader") {
            let views = await cluster.survey()
            self.take(views)
            let led = views.values.joined().filter { $0.role == "leader" }.map(\.name)
            return views.count == self.options.nodes && Set(led).count == self.options.groups
        }
    }

    /// Kill, watch the groups recover, restart, watch the node catch up; spread over the time.
    private func disturb(_ cluster: DemoCluster) async throws -> OutageMeter {
        let writing = ContinuousClock.now
        let total = Duration.seconds(options.seconds)
        setPhase("writing to all nodes")
        try await Task.sleep(until: writing + total * 0.3)

        let (victim, meter) = try await killBusiest(cluster)
        try await Task.sleep(until: writing + total * 0.6)
        try await restart(victim, in: cluster)
        setPhase("writing to all nodes again")
        try await Task.sleep(until: writing + total)
        return meter
    }

    private func killBusiest(_ cluster: DemoCluster) async throws -> (DemoNode, OutageMeter) {
        let views = await cluster.survey()
        take(views)
        let ledBy = views.mapValues { groups in
            groups.filter { $0.role == "leader" }.map(\.name)
        }
        guard
            let (id, led) = ledBy.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) }),
            let victim = cluster.nodes.first(where: { $0.id == id })
        else { throw Failure(description: "no node answers") }

        let killedAt = ContinuousClock.now
        victim.kill9()
        update { view in
            view.outage = OutageMeter(groups: led, killedAt: killedAt)
            view.nodes[id - 1] = DemoView.Node(id: id, state: .killed)
        }
        screen.say("node \(id) killed with SIGKILL; it led \(Words.many(led.count, "group"))", .bad)
        setPhase("a node is down")
        try await wait("the groups of node \(id) to have a new leader", every: .zero) {
            // Quick looks, but no more load than the demo can spare on a small machine.
            try? await Task.sleep(
                for: self.options.groups > 16 ? .milliseconds(50) : .milliseconds(15))
            let views = await cluster.survey()
            self.take(views)
            return self.view.withLock { $0.outage?.isOver ?? true }
        }
        guard let meter = view.withLock({ $0.outage }) else {
            throw Failure(description: "nobody measured the outage")
        }
        sayOutages(meter)
        return (victim, meter)
    }

    private func sayOutages(_ meter: OutageMeter) {
        let spans = meter.sorted.map { group, span in
            "\(group) \(span.map { Words.span($0) } ?? "still none")"
        }
        for start in stride(from: 0, to: spans.count, by: 5) {
            let part = spans[start..<min(start + 5, spans.count)].joined(separator: ", ")
            screen.say("  \(start == 0 ? "without a leader: " : "                  ")\(part)")
        }
        update { $0.outage = nil }
    }

    private func restart(_ victim: DemoNode, in cluster: DemoCluster) async throws {
        setPhase("the node comes back")
        let from = ContinuousClock.now
        update { $0.nodes[victim.id - 1].state = .starting }
        try await victim.start()
        let goal = commits(await cluster.survey())
        update { $0.nodes[victim.id - 1].state = .catchingUp(percent: 0) }
        try await wait("node \(victim.id) to catch up", every: .milliseconds(50)) {
            let views = await cluster.survey()
            self.take(views)
            let percent = Demo.percent(of: goal, appliedBy: views[victim.id] ?? [])
            self.update { $0.nodes[victim.id - 1].state = .catchingUp(percent: percent) }
            return percent == 100
        }
        update { $0.nodes[victim.id - 1].state = .up }
        screen.say(
            "node \(victim.id) started again and caught up in \(Words.span(.now - from))", .good)
    }

    /// The highest commit index of each group that any node knows of.
    private func commits(_ views: [Int: [GroupInfo]]) -> [String: UInt64] {
        views.values.joined().reduce(into: [:]) { commits, group in
            commits[group.name] = max(commits[group.name] ?? 0, group.commitIndex)
        }
    }

    /// How much of the goal has been applied, over all groups; 100 only when all of it is.
    static func percent(of goal: [String: UInt64], appliedBy groups: [GroupInfo]) -> Int {
        var wanted: UInt64 = 0
        var reached: UInt64 = 0
        for (name, index) in goal {
            wanted += index
            reached += min(index, groups.first { $0.name == name }?.appliedIndex ?? 0)
        }
        guard reached < wanted else { return 100 }
        return min(99, Int(Double(reached) / Double(wanted) * 100))
    }

    // MARK: Looking on

    /// Keeps the view fresh until it is cancelled.
    private func watch(_ cluster: DemoCluster, _ workload: DemoWorkload) async {
        var secondBegan = ContinuousClock.now
        var countThen = 0
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            take(await cluster.survey())
            let counts = workload.counts
            let span = ContinuousClock.now - secondBegan
            let isSecond = span >= .seconds(1)
            update { view in
                (view.acknowledged, view.refused) = (counts.acknowledged, counts.refused)
                view.open = counts.open
                if isSecond {
                    view.add(
                        rate: Int(Double(counts.acknowledged - countThen) / (span / .seconds(1))))
                }
            }
            if isSecond {
                (secondBegan, countThen) = (.now, counts.acknowledged)
                screen.tell(view.withLock { $0 })
            }
        }
    }

    /// Puts what the nodes say into the view.
    private func take(_ views: [Int: [GroupInfo]]) {
        let now = ContinuousClock.now
        update { view in
            for (id, groups) in views where view.nodes[id - 1].state != .killed {
                let led = groups.filter { $0.role == "leader" }.map(\.name)
                view.nodes[id - 1].leads = led
                if view.nodes[id - 1].state == .starting { view.nodes[id - 1].state = .up }
                view.outage?.observe(led: led, at: now)
            }
        }
    }

    private func update(_ change: (inout DemoView) -> Void) {
        let now = view.withLock { view in
            change(&view)
            view.elapsed = .now - started
            return view
        }
        screen.show(now)
    }

    private func setPhase(_ phase: String) { update { $0.phase = phase } }

    private func wait(
        _ what: String, every pause: Duration = .milliseconds(100),
        until isDone: () async -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + Demo.patience
        while !(await isDone()) {
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    description: "waited \(Words.span(Demo.patience)) in vain for \(what)")
            }
            try await Task.sleep(for: pause)
        }
    }

    // MARK: The proof

    private func verify(
        _ cluster: DemoCluster, _ books: WriteLedger, _ meter: OutageMeter
    ) async -> Bool {
        setPhase("reading back every acknowledged write")
        let readback = await DemoReadback(cluster: cluster, ledger: books).run { position in
            if position.isMultiple(of: 500) {
                self.setPhase(
                    "reading back: \(Words.count(position)) of "
                        + Words.count(books.expectations.count) + " keys")
            }
        }
        setPhase("comparing the replicas")
        let digests = await compareDigests(cluster)
        screen.clear()
        return DemoSummary(
            books: books, readback: readback, digests: digests, meter: meter,
            nodeCount: options.nodes
        ).say(on: screen)
    }

    private func compareDigests(_ cluster: DemoCluster) async -> DemoDigests {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            let digests = DemoDigests(
                await cluster.survey(), nodeCount: options.nodes, groupCount: options.groups)
            if digests.isSettled || ContinuousClock.now > deadline { return digests }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }
}
