import AsyncHTTPClient
import KraftMultiRaft
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Passes requests on to other nodes' HTTP ports.
final class Relay: Sendable {
    /// Requests that are with other nodes at once; more is `overloaded`.
    static let underWayLimit = 1_024
    /// The largest answer that is taken: a value, or the word of a node on its groups.
    static let answerSizeLimitBytes = 16 << 20
    /// A node that is there takes a connection within this time.
    static let connectTimeout = TimeAmount.milliseconds(1_000)

    private let manager: KraftMultiRaft
    private let client: HTTPClient
    private let state = Mutex(State())

    private struct State {
        var underWay = 0
        /// Who answered last, by the name of the group concerned; of groups in the routing alone.
        var holders: [GroupName: NodeID] = [:]
    }

    init(manager: KraftMultiRaft) {
        self.manager = manager
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: Relay.connectTimeout), decompression: .disabled)
        configuration.httpVersion = .http1Only
        // A refused connection is an answer: another node may be asked.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// Ends what is under way.
    func stop() async { try? await client.shutdown() }

    /// Has another node answer a request that this one answers with `fault`.
    ///
    /// - `group`: what it concerns, if that is one of the routing's groups.
    func pass(
        _ request: PassedRequest, group: GroupName?, instead fault: HTTPFault,
        deadline: ContinuousClock.Instant
    ) async throws(HTTPFault) -> HTTPAnswer {
        let isTaken = state.withLock { state in
            guard state.underWay < Relay.underWayLimit else { return false }
            state.underWay += 1
            return true
        }
        guard isTaken else {
            throw HTTPFault(.overloaded, "too many requests are with other nodes")
        }
        defer { state.withLock { $0.underWay -= 1 } }
        let hint = group.flatMap { group in state.withLock { $0.holders[group] } }
        var candidates = PassingOn.candidates(await manager.peers(), hint: hint)
        if case .node(let node)? = fault.elsewhere {
            candidates = candidates.filter { $0.node == node }
        }
        let (node, answer) = try await PassingOn.pass(
            request, on: candidates, instead: fault, deadline: deadline,
            deliver: { await deliver(request, to: $0, within: $1) })
        if let group { state.withLock { $0.holders[group] = node } }
        return answer
    }

    private func deliver(
        _ request: PassedRequest, to candidate: PassingOn.Candidate, within timeout: Duration
    ) async -> PassingOn.Delivery {
        var message = HTTPClientRequest(
            url: "http://\(candidate.http)\(request.target(timeout: timeout))")
        message.method = HTTPMethod(rawValue: request.method)
        for header in request.headers {
            message.headers.add(name: header.name, value: header.value)
        }
        message.headers.add(name: PassedRequest.forwardedHeader, value: "\(manager.node)")
        if !request.body.isEmpty { message.body = .bytes(ByteBuffer(bytes: request.body)) }
        let patience = timeout + .milliseconds(200)
        do {
            let response = try await client.execute(
                message, timeout: .nanoseconds(Int64(patience / .nanoseconds(1))))
            let body = try await response.body.collect(upTo: Relay.answerSizeLimitBytes)
            return .answered(
                Relay.answer(
                    Int(response.status.code), response.headers, body, by: candidate.node))
        } catch {
            let reason = "\(error)"
            return Relay.isNeverSent(error) ? .notSent(reason: reason) : .broken(reason: reason)
        }
    }

    private static let keptHeaders = ["content-type", "retry-after"]

    private static func answer(
        _ status: Int, _ headers: HTTPHeaders, _ body: ByteBuffer, by node: NodeID
    ) -> HTTPAnswer {
        var kept: [HTTPAnswer.Header] = []
        for (name, value) in headers {
            let lower = name.lowercased()
            guard keptHeaders.contains(lower) || lower.hasPrefix("kraft-"), lower != "kraft-node"
            else { continue }
            kept.append(.init(name: name, value: value))
        }
        kept.append(.init(name: PassedRequest.forwardedHeader, value: "\(node)"))
        return HTTPAnswer(status: status, headers: kept, body: Array(body.readableBytesView))
    }

    /// Whether an error says that there was no connection to send anything on.
    static func isNeverSent(_ error: any Error) -> Bool {
        if error is NIOConnectionError { return true }
        guard let error = error as? HTTPClientError else { return false }
        return error == .connectTimeout || error == .getConnectionFromPoolTimeout
            || error == .invalidURL || error == .emptyHost || error == .alreadyShutdown
    }
}
