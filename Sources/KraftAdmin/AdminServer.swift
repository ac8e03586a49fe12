import HTTPTypes
import Hummingbird
import HummingbirdCore
import KraftKeyValue
import KraftMultiRaft
import KraftRouting
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// Serves a node's HTTP interface: keys, groups, cluster, health and metrics.
///
/// Every limit is a constant here: what one request, one connection and all together may take.
public final class AdminServer: Sendable {
    /// Connections at once; more wait in the kernel's queue.
    public static let connectionLimit = 4_096
    /// Bytes of all request bodies under way; more is `overloaded`.
    public static let bodyBudgetBytes = 256 << 20
    /// A connection that neither sends nor waits for an answer is closed after this time.
    public static let idleTimeout = TimeAmount.seconds(75)

    private let node: NodeID
    private let listen: (host: String, port: Int)
    private let keys: KeyHandler
    private let cluster: ClusterHandler
    private let sessions: SessionKeeper
    private let membership: MembershipHandler
    private let roster: RosterHandler
    private let backups: BackupHandler
    private let directory: RoutingDirectory
    private let relay: Relay
    private let logger: Logger
    private let budget = BodyBudget(limitBytes: AdminServer.bodyBudgetBytes)
    private let state = Mutex(State())

    private struct State {
        var boundAddress = ""
        var isStopping = false
        var services: ServiceGroup?
    }

    /// - `listen`: host and port; port 0 takes a free one.
    /// - `router`: maps keys to groups of `manager` whose state machine is a `KeyValueStore`; nil
    ///   while this node has not learned it: until `settle`, others are asked.
    public init(
        node: NodeID, manager: KraftMultiRaft, router: KraftRouting.Router?,
        listen: (host: String, port: Int), logger: Logger
    ) {
        self.node = node
        self.listen = listen
        self.logger = logger
        let directory = RoutingDirectory(router)
        let book = AddressBook(manager: manager)
        self.directory = directory
        relay = Relay(manager: manager)
        sessions = SessionKeeper(manager: manager, directory: directory)
        keys = KeyHandler(
            manager: manager, directory: directory, book: book, sessions: sessions)
        cluster = ClusterHandler(manager: manager, directory: directory, book: book)
        membership = MembershipHandler(manager: manager, directory: directory, book: book)
        backups = BackupHandler(manager: manager, directory: directory, book: book)
        roster = RosterHandler(
            manager: manager, directory: directory, book: book, relay: relay)
    }

    /// Takes up the cluster's routing, which this node did not know when it started.
    public func settle(_ router: KraftRouting.Router) { directory.settle(router) }

    /// Serves until `stop` or cancellation. Throws when it can't listen.
    ///
    /// - `onListening`: called once, with `host:port` as bound.
    public func run(onListening: @escaping @Sendable (String) async -> Void) async throws {
        let name = "\(node)"
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in
                await self.respond(to: request)
            },
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [
                        ConnectionHandler(
                            node: name, bodySizeLimitBytes: KeyValueStore.valueSizeLimitBytes)
                    ], idleTimeout: AdminServer.idleTimeout)),
            configuration: ApplicationConfiguration(
                address: .hostname(listen.host, port: listen.port),
                availableConnectionsDelegate: MaximumAvailableConnections(
                    AdminServer.connectionLimit)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? self.listen.port
                let address = "\(self.listen.host):\(port)"
                self.state.withLock { $0.boundAddress = address }
                await onListening(address)
            },
            logger: quiet(logger))
        let services = ServiceGroup(
            configuration: .init(services: [application], logger: quiet(logger)))
        state.withLock { $0.services = services }
        let keeping = Task { [sessions] in await sessions.run() }
        defer { keeping.cancel() }
        do {
            try await services.run()
        } catch {
            await relay.stop()
            throw error
        }
        await relay.stop()
    }

    /// From now on new requests are answered `unavailable`; those under way end, then `run`
    /// returns.
    public func stop() async {
        let services = state.withLock { state in
            state.isStopping = true
            return state.services
        }
        await services?.triggerGracefulShutdown()
    }

    /// The HTTP library tells of its own life at info, for which nobody asked.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }

    // MARK: Requests

    private func respond(to request: Request) async -> Response {
        let answer: HTTPAnswer
        do {
            let call = try self.call(request)
            switch call.endpoint {
            case .backupGroup(let name):
                return try await backups.backup(name, timeout: call.deadline - .now)
            case .restoreGroup(let name):
                answer = try await backups.restore(
                    name, request.body, timeout: call.deadline - .now)
            default: answer = try await self.answer(request, call)
            }
        } catch let fault as HTTPFault {
            answer = .fault(fault)
        } catch {
            // The body could not be read to its end: nothing was done, and the client is gone.
            answer = .fault(.badRequest("body: could not be read: \(error)"))
        }
        var fields = HTTPFields()
        for header in answer.headers {
            if let name = HTTPField.Name(header.name) { fields[name] = header.value }
        }
        return Response(
            status: HTTPResponse.Status(code: answer.status), headers: fields,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
    }

    /// What a request's head says.
    private struct Call {
        var endpoint: Endpoint
        var path: Substring
        var parameters: QueryParameters
        var deadline: ContinuousClock.Instant
    }

    private func call(_ request: Request) throws(HTTPFault) -> Call {
        let target = request.head.path ?? "/"
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let endpoint = try Endpoint(method: request.method.rawValue, path: parts[0])
        let parameters = try QueryParameters(
            parts.count > 1 ? parts[1] : "", known: endpoint.parameterNames)
        let timeout = try parameters.timeout()
        let deadline = ContinuousClock.now + timeout
        if state.withLock({ $0.isStopping }), endpoint != .liveness, endpoint != .metrics {
            throw HTTPFault(.unavailable, "the node is shutting down")
        }
        return Call(
            endpoint: endpoint, path: parts[0], parameters: parameters, deadline: deadline)
    }

    private func answer(_ request: Request, _ call: Call) async throws -> HTTPAnswer {
        let (endpoint, deadline) = (call.endpoint, call.deadline)
        let session =
            endpoint.isWrite
            ? try SessionUse.read(
                session: request.headers[AdminServer.sessionHeader],
                sequence: request.headers[AdminServer.sequenceHeader]) : nil
        let limit = endpoint.bodySizeLimitBytes
        let length = try AdminServer.bodyLength(
            request.headers[.contentLength],
            isChunked: request.headers[.transferEncoding] != nil, limit: limit)
        let passed = PassedRequest(
            method: request.method.rawValue, path: String(call.path),
            parameters: call.parameters, headers: AdminServer.passedHeaders(request))
        let isForwarded = request.headers[AdminServer.forwardedHeader] != nil
        let answer = try await budget.reserving(length) {
            var passed = passed
            passed.body = try await self.body(of: request, limit: limit)
            return try await self.answer(
                endpoint, passed, session, isForwarded: isForwarded, deadline: deadline)
        }
        guard let answer else {
            throw HTTPFault(.overloaded, "too many bytes of request bodies are under way")
        }
        return answer
    }

    private static let sessionHeader = HTTPField.Name("Kraft-Session")!
    private static let sequenceHeader = HTTPField.Name("Kraft-Sequence")!

    private static let forwardedHeader = HTTPField.Name(PassedRequest.forwardedHeader)!

    /// All headers of the contract's own but those about passing on.
    private static func passedHeaders(_ request: Request) -> [HTTPAnswer.Header] {
        request.headers.compactMap { field in
            let name = field.name.canonicalName
            guard name.hasPrefix("kraft-"), field.name != forwardedHeader else { return nil }
            return .init(name: field.name.rawName, value: field.value)
        }
    }

    /// Answers here, or has another node answer that holds what this one doesn't.
    private func answer(
        _ endpoint: Endpoint, _ request: PassedRequest, _ session: SessionUse?, isForwarded: Bool,
        deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        do throws(HTTPFault) {
            return try await answer(
                endpoint, request.parameters, request.body, session, isForwarded: isForwarded,
                max(.zero, deadline - .now), deadline)
        } catch {
            guard error.elsewhere != nil, !isForwarded else { throw error }
            let group = (error.group.flatMap { GroupName($0) }).flatMap { name in
                error.elsewhere == .anyHolder && directory.owns(name) ? name : nil
            }
            return try await relay.pass(
                request, group: group, instead: error, deadline: deadline)
        }
    }

    /// A request of this node to its own interface.
    private func ask(
        _ method: String, _ path: String, _ body: JSON?, _ deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        let request = PassedRequest(
            method: method, path: path, parameters: QueryParameters(),
            body: body.map { Array($0.text.utf8) } ?? [])
        let endpoint = try Endpoint(method: method, path: path[...])
        return try await answer(endpoint, request, nil, isForwarded: false, deadline: deadline)
    }

    /// How much to reserve for a body: what it says of itself, else the most that it may be.
    static func bodyLength(
        _ header: String?, isChunked: Bool, limit: Int
    ) throws(HTTPFault) -> Int {
        guard let header else { return isChunked ? limit : 0 }
        guard let length = Int(header), length >= 0 else {
            throw .badRequest("content-length: not a number")
        }
        guard length <= limit else { throw .tooLarge("body: over \(limit) bytes") }
        return length
    }

    private func body(of request: Request, limit: Int) async throws -> [UInt8] {
        do {
            return Array(try await request.body.collect(upTo: limit).readableBytesView)
        } catch is NIOTooManyBytesError {
            throw HTTPFault.tooLarge("body: over \(limit) bytes")
        }
    }

    private func answer(
        _ endpoint: Endpoint, _ parameters: QueryParameters, _ body: [UInt8],
        _ session: SessionUse?, isForwarded: Bool, _ timeout: Duration,
        _ deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        if let request = try KeyRequest(endpoint, parameters, body: body) {
            return try await keys.handle(request, session: session, deadline: deadline)
        }
        let http = state.withLock { $0.boundAddress }
        return switch endpoint {
        case .clusterInfo: await cluster.info(http: http)
        case .clusterMembers: await cluster.members(http: http)
        case .clusterSharding: try await cluster.sharding()
        case .groups: await cluster.groups()
        case .group(let name): try await cluster.group(name)
        case .transferGroup(let name):
            try await cluster.transfer(name, try TransferBody(body), timeout: timeout)
        case .openSession: try await openSession(parameters, deadline)
        case .changeMembers(let name):
            try await membership.change(name, try MembersBody(body), timeout: timeout)
        case .stepDown(let name): try await membership.stepDown(name)
        case .elect(let name): try await membership.elect(name, try ElectBody(body).node)
        case .snapshotGroup(let name): try await cluster.snapshot(name, timeout: timeout)
        case .plans: await membership.plans()
        case .plan(let id): try await membership.plan(id)
        case .joinCluster: try await roster.join(try NodeBody(body, needsAddress: true))
        case .leaveCluster:
            try await roster.leave(
                try NodeBody(body, needsAddress: false).node, isForwarded: isForwarded,
                deadline: deadline,
                ask: { method, path, body, deadline throws(HTTPFault) in
                    try await self.ask(method, path, body, deadline)
                })
        case .health: await cluster.health()
        case .liveness: try cluster.liveness()
        case .readiness: try await cluster.readiness()
        case .metrics: await cluster.metrics()
        case .getKey, .putKey, .deleteKey, .appendKey, .incrementKey:
            preconditionFailure("requests on keys are answered above")
        case .backupGroup, .restoreGroup:
            preconditionFailure("streams are answered before bodies are read")
        }
    }

    private func openSession(
        _ parameters: QueryParameters, _ deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        let range = SessionToken.ttlRange
        let ttl = try parameters.unsigned("ttl_ms") ?? SessionToken.ttlDefaultMilliseconds
        guard range.contains(ttl) else {
            throw .badRequest("ttl_ms: must be from \(range.lowerBound) to \(range.upperBound)")
        }
        do throws(KraftError) {
            let token = try await sessions.open(ttlMilliseconds: ttl, deadline: deadline)
            return .json(
                ["session": .string(token.text), "ttl_ms": .unsigned(ttl)], status: 201)
        } catch {
            throw await keys.book.fault(error)
        }
    }
}
