import Foundation
import KraftAdmin
import KraftKeyValue
import KraftMultiRaft
import Logging

/// One node process from start to end.
struct NodeRunner {
    let settings: NodeSettings
    let logger: Logger

    /// What moves the process on.
    private enum Happening: Sendable {
        case listening(http: String)
        case learned(BootstrapRouting)
        case asked(signal: Int32)
        case httpEnded(reason: String)
        case fenced(reason: String)
    }

    /// How long answers may take to leave after the end.
    private static let lastAnswers = Duration.seconds(1)

    init(_ settings: NodeSettings) {
        self.settings = settings
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        var logger = Logger(label: "kraft-node")
        logger.logLevel = settings.logLevel
        logger[metadataKey: "node"] = "\(settings.node)"
        self.logger = logger
    }

    private var file: NodeRecordFile { NodeRecordFile(directory: settings.dataDirectory) }

    /// Returns after an orderly end.
    func run() async throws(NodeFailure) {
        let (happenings, post) = AsyncStream.makeStream(
            of: Happening.self, bufferingPolicy: .bufferingOldest(64))
        let signals = ShutdownSignals { post.yield(.asked(signal: $0)) }
        defer { withExtendedLifetime(signals) {} }
        let entry = try enter()
        do throws(KraftError) {
            let manager = try KraftMultiRaft(configuration(entry))
            try await manager.start()
            do throws(KraftError) {
                if entry.isNew { try file.write(entry.record) }
                try await openGroups(manager, entry)
                let failure = try await serve(manager, entry.record, happenings, post)
                if let failure { throw failure }
            } catch {
                await manager.shutdown()
                throw error
            }
        } catch {
            throw NodeFailure(error)
        }
    }

    private func enter() throws(NodeFailure) -> NodeEntry {
        let stored: NodeRecord?
        do throws(KraftError) { stored = try file.read() } catch { throw NodeFailure(error) }
        let entry = try NodeEntry(settings, stored: stored)
        let wanted = BootstrapRouting(kind: settings.router, groupCount: settings.groupCount)
        if case .founder = entry.record.origin, let routing = entry.record.routing,
            routing != wanted
        {
            logger.warning(
                "the data folder's router and groups win over the settings",
                metadata: [
                    "router": "\(routing.kind.rawValue)", "groups": "\(routing.groupCount)",
                ])
        }
        return entry
    }

    private func configuration(_ entry: NodeEntry) -> KraftConfiguration {
        var configuration = KraftConfiguration(
            node: settings.node, dataDirectory: settings.dataDirectory,
            listen: settings.listen.description, peers: entry.peers)
        configuration.join = entry.join
        configuration.clusterID = settings.clusterID
        configuration.advertise = settings.advertise?.description
        configuration.logger = logger
        // A port that the system chooses is told when it is known.
        configuration.info = info(http: settings.reachableHTTP(), entry.record.routing)
        configuration.machines = MachineProvider { _ in NodeRunner.makeStore() }
        if let lease = settings.leaseMilliseconds {
            configuration.timing.leaseDuration = .milliseconds(lease)
        }
        configuration.timing.catchUpTimeout = .milliseconds(settings.catchUpMilliseconds)
        settings.storage.apply(to: &configuration)
        return configuration
    }

    private func info(http: String?, _ routing: BootstrapRouting?) -> String {
        NodeInfo(
            http: http,
            routing: routing.map { .init(router: $0.kind.rawValue, groupCount: $0.groupCount) }
        ).text
    }

    // MARK: Serving

    /// Serves until something ends it, then shuts down. The error, if it was trouble.
    private func serve(
        _ manager: KraftMultiRaft, _ record: NodeRecord, _ happenings: AsyncStream<Happening>,
        _ post: AsyncStream<Happening>.Continuation
    ) async throws(KraftError) -> KraftError? {
        let server = AdminServer(
            node: settings.node, manager: manager,
            router: try record.routing.map(NodeRunner.router),
            listen: (settings.http.host, settings.http.port), logger: logger)
        return await withTaskGroup(of: Part.self) { tasks in
            tasks.addTask {
                do {
                    try await server.run { post.yield(.listening(http: $0)) }
                    post.yield(.httpEnded(reason: "stopped"))
                } catch {
                    post.yield(.httpEnded(reason: "\(error)"))
                }
                return .server
            }
            tasks.addTask {
                for await event in manager.events {
                    if case .fenced(let reason) = event { post.yield(.fenced(reason: reason)) }
                }
                return .watching
            }
            if record.routing == nil {
                tasks.addTask {
                    if let routing = await learnRouting(manager) { post.yield(.learned(routing)) }
                    return .watching
                }
            }
            let failure = await waitForEnd(manager, server, record, happenings)
            await server.stop()
            await manager.shutdown()
            // The manager has ended every request; their answers still have to leave. Connections
            // that linger longer are cut.
            tasks.addTask {
                try? await Task.sleep(for: NodeRunner.lastAnswers)
                return .patience
            }
            for await part in tasks where part != .watching { break }
            tasks.cancelAll()
            return failure
        }
    }

    /// What runs while the node serves.
    private enum Part { case server, watching, patience }

    private static func router(_ routing: BootstrapRouting) throws(KraftError) -> Router {
        do throws(RoutingError) {
            return try routing.router()
        } catch {
            throw KraftError(.configuration, "groups: \(error)")
        }
    }

    private func waitForEnd(
        _ manager: KraftMultiRaft, _ server: AdminServer, _ record: NodeRecord,
        _ happenings: AsyncStream<Happening>
    ) async -> KraftError? {
        var record = record
        var http = settings.reachableHTTP()
        for await happening in happenings {
            switch happening {
            case .listening(let address):
                http = settings.reachableHTTP(bound: address)
                await tell(manager, http, record)
                announce(
                    http: address, peer: manager.boundAddress ?? settings.listen.description)
            case .learned(let routing):
                record.routing = routing
                do throws(KraftError) {
                    try file.write(record)
                    server.settle(try NodeRunner.router(routing))
                } catch {
                    return error
                }
                await tell(manager, http, record)
                logger.notice(
                    "learned the cluster's routing",
                    metadata: [
                        "router": "\(routing.kind.rawValue)", "groups": "\(routing.groupCount)",
                    ])
            case .asked(let signal):
                logger.info("shutting down", metadata: ["signal": "\(signal)"])
                return nil
            case .httpEnded(let reason):
                return KraftError(.configuration, "http: can't serve \(settings.http): \(reason)")
            case .fenced(let reason):
                logger.critical(
                    "the disk failed; the node stops", metadata: ["reason": "\(reason)"])
                return KraftError(.storage, reason)
            }
        }
        return nil
    }

    /// Has the other nodes know what they need of this one.
    private func tell(
        _ manager: KraftMultiRaft, _ http: String?, _ record: NodeRecord
    ) async {
        do throws(KraftError) {
            try await manager.setInfo(info(http: http, record.routing))
        } catch {
            // Without it others can't pass requests on to this node; all else works.
            logger.warning(
                "others are not told of this node's HTTP port", metadata: ["error": "\(error)"])
        }
    }

    /// What the cluster's nodes say of its routing, as soon as one of them does.
    private func learnRouting(_ manager: KraftMultiRaft) async -> BootstrapRouting? {
        while !Task.isCancelled {
            for peer in await manager.peers() where !peer.hasLeft {
                let told = NodeInfo(peer.info).routing
                if let routing = told.flatMap({
                    BootstrapRouting(kind: $0.router, groupCount: $0.groupCount)
                }) {
                    return routing
                }
            }
            try? await Task.sleep(for: .milliseconds(50))
        }
        return nil
    }

    /// The contract's line on standard output.
    private func announce(http: String, peer: String) {
        output("ready id=\(settings.node) http=\(http) peer=\(peer)\n".utf8)
    }
}
