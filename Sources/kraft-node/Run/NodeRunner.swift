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
        case asked(signal: Int32)
        case httpEnded(reason: String)
        case fenced(reason: String)
    }

    /// Groups that are opened at once; their creations then share log writes.
    private static let openingLimit = 64
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

    /// Returns after an orderly end.
    func run() async throws(NodeFailure) {
        let (happenings, post) = AsyncStream.makeStream(
            of: Happening.self, bufferingPolicy: .bufferingOldest(64))
        let signals = ShutdownSignals { post.yield(.asked(signal: $0)) }
        defer { withExtendedLifetime(signals) {} }
        do throws(KraftError) {
            let manager = try KraftMultiRaft(configuration)
            try await manager.start()
            do throws(KraftError) {
                let router = try await openGroups(manager)
                let failure = await serve(manager, router, happenings, post)
                if let failure { throw failure }
            } catch {
                await manager.shutdown()
                throw error
            }
        } catch {
            throw NodeFailure(error)
        }
    }

    private var configuration: KraftConfiguration {
        var configuration = KraftConfiguration(
            node: settings.node, dataDirectory: settings.dataDirectory,
            listen: settings.listen.description, peers: settings.peers)
        configuration.clusterID = settings.clusterID
        configuration.advertise = settings.advertise?.description
        configuration.logger = logger
        // A port that the system chooses is known too late to be told.
        configuration.info = settings.http.port == 0 ? "" : settings.http.description
        return configuration
    }

    // MARK: Groups

    private func openGroups(_ manager: KraftMultiRaft) async throws(KraftError) -> Router {
        let wanted = BootstrapRouting(kind: settings.router, groupCount: settings.groupCount)
        let routing = try RoutingRecord(directory: settings.dataDirectory).settle(wanted)
        if routing != wanted {
            logger.warning(
                "the data folder's router and groups win over the settings",
                metadata: [
                    "router": "\(routing.kind.rawValue)", "groups": "\(routing.groupCount)",
                ])
        }
        let voters = settings.peers.keys.sorted()
        do {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for (position, name) in routing.groups.enumerated() {
                    if position >= NodeRunner.openingLimit { try await tasks.next() }
                    tasks.addTask {
                        // Which slot a key takes shows nowhere; a random seed keeps clients from
                        // choosing keys that collide.
                        let seed = UInt64.random(in: .min ... .max)
                        _ = try await manager.createGroup(name.string, voters: voters) {
                            KeyValueStore(tableSeed: seed)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            return try routing.router()
        } catch let error as KraftError {
            throw error
        } catch {
            throw KraftError(.configuration, "groups: \(error)")
        }
    }

    // MARK: Serving

    /// Serves until something ends it, then shuts down. The error, if it was trouble.
    private func serve(
        _ manager: KraftMultiRaft, _ router: Router, _ happenings: AsyncStream<Happening>,
        _ post: AsyncStream<Happening>.Continuation
    ) async -> KraftError? {
        let server = AdminServer(
            node: settings.node, manager: manager, router: router, addresses: settings.peers,
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
                return .events
            }
            let failure = await waitForEnd(manager, happenings)
            await server.stop()
            await manager.shutdown()
            // The manager has ended every request; their answers still have to leave. Connections
            // that linger longer are cut.
            tasks.addTask {
                try? await Task.sleep(for: NodeRunner.lastAnswers)
                return .patience
            }
            for await part in tasks where part != .events { break }
            tasks.cancelAll()
            return failure
        }
    }

    /// What runs while the node serves.
    private enum Part { case server, events, patience }

    private func waitForEnd(
        _ manager: KraftMultiRaft, _ happenings: AsyncStream<Happening>
    ) async -> KraftError? {
        for await happening in happenings {
            switch happening {
            case .listening(let http):
                announce(http: http, peer: manager.boundAddress ?? settings.listen.description)
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

    /// The contract's line on standard output.
    private func announce(http: String, peer: String) {
        output("ready id=\(settings.node) http=\(http) peer=\(peer)\n".utf8)
    }
}
