import AsyncHTTPClient
import Foundation
import KraftTestKit
import NIOCore

/// One client: asks any node, one thing at a time, and puts down what it was told. After an unknown
/// outcome it goes on as another process, as a history demands.
final class ChaosClient: @unchecked Sendable {
    enum Result {
        case answered(KeyValueModel.Answer)
        case refused
        case unknown
    }

    private let cluster: ChaosCluster
    private let book: HistoryBook
    private let keys: Int
    private let usesLeases: Bool
    private var random: SeededGenerator
    private var process: Int
    private var writes = 0
    private let number: Int
    /// The versions that this client saw last, for conditions that may hold.
    private var versions: [String: UInt64] = [:]

    init(
        number: Int, seed: UInt64, cluster: ChaosCluster, book: HistoryBook, keys: Int,
        usesLeases: Bool
    ) {
        self.number = number
        process = number
        self.cluster = cluster
        self.book = book
        self.keys = keys
        self.usesLeases = usesLeases
        random = SeededGenerator(seed: seed &* 1_000_003 &+ UInt64(number))
    }

    func run(until end: ContinuousClock.Instant) async {
        while ContinuousClock.now < end, !book.isFull {
            let key = Int.random(in: 0..<keys, using: &random)
            let node = Int.random(in: 1...cluster.count, using: &random)
            let isDone = await ask(operation(on: key), key: key, through: node)
            if !isDone { return }
        }
    }

    func read(key: Int, through node: Int) async { _ = await ask(.get, key: key, through: node) }

    /// Each key is of one kind, so that its operations fit each other: numbers, growing texts, and
    /// values that are put, deleted and exchanged.
    private func operation(on key: Int) -> KeyValueModel.Operation {
        if Int.random(in: 0..<10, using: &random) < 4 { return .get }
        writes += 1
        let mark = Array("\(number).\(writes);".utf8)
        switch key % 4 {
        case 0: return .increment(by: Int64.random(in: 1...9, using: &random))
        case 1:
            // Now and then begun anew: a text that grows for ever tells no more.
            return Int.random(in: 0..<20, using: &random) == 0 ? .put(mark) : .append(mark)
        default:
            switch Int.random(in: 0..<10, using: &random) {
            case 0: return .delete()
            case 1...3: return .put(mark, ifVersion: versions[name(key)] ?? 0)
            default: return .put(mark)
            }
        }
    }

    private func name(_ key: Int) -> String { "chaos-\(key)" }

    private func ask(
        _ operation: KeyValueModel.Operation, key: Int, through node: Int
    ) async -> Bool {
        let name = name(key)
        guard let ticket = book.begin(process: process, key: name, operation) else { return false }
        let result = await send(operation, name, node)
        book.end(ticket, result)
        switch result {
        case .answered(.value(_, let version?)), .answered(.written(let version?)):
            versions[name] = version
        case .answered: break
        case .refused: try? await Task.sleep(for: .milliseconds(2))
        case .unknown: process += 1_000
        }
        return true
    }

    // MARK: HTTP

    private static let timeoutMilliseconds = 1_500

    private func request(
        _ operation: KeyValueModel.Operation, _ key: String, _ node: Int
    ) -> HTTPClientRequest {
        var path = "/v1/kv/\(key)"
        var query = "?timeout_ms=\(ChaosClient.timeoutMilliseconds)"
        var method = "GET"
        var body: [UInt8]?
        switch operation {
        case .get:
            if usesLeases, Int.random(in: 0..<3, using: &random) == 0 {
                query += "&consistency=lease"
            }
        case .put(let value, let version):
            method = "PUT"
            body = value
            if let version { query += "&if_version=\(version)" }
        case .delete: method = "DELETE"
        case .append(let piece):
            method = "POST"
            path += "/append"
            body = piece
        case .increment(let by):
            method = "POST"
            path += "/increment"
            query += "&by=\(by)"
        }
        var request = HTTPClientRequest(url: cluster.url(node) + path + query)
        request.method = .init(rawValue: method)
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        return request
    }

    private func send(
        _ operation: KeyValueModel.Operation, _ key: String, _ node: Int
    ) async -> Result {
        let request = request(operation, key, node)
        do {
            let response = try await cluster.client.execute(
                request, timeout: .milliseconds(Int64(ChaosClient.timeoutMilliseconds) + 1_000))
            let body = try await response.body.collect(upTo: 4 << 20)
            return result(
                operation, Int(response.status.code),
                version: response.headers.first(name: "Kraft-Version").flatMap { UInt64($0) },
                Array(body.readableBytesView))
        } catch let error as HTTPClientError where error == .connectTimeout {
            return .refused
        } catch {
            // Nothing was sent if no connection came to be; of anything else who knows.
            let isRefused =
                "\(error)".contains("connection refused")
                || "\(error)".contains("Connection refused")
                || "\(type(of: error))" == "NIOConnectionError"
            return isRefused ? .refused : .unknown
        }
    }

    private struct Body: Decodable {
        var version: UInt64?
        var value: Int64?
        var length: Int?
        var existed: Bool?
        var index: UInt64?
        var error: Fault?

        struct Fault: Decodable { var code: String }
    }

    private func result(
        _ operation: KeyValueModel.Operation, _ status: Int, version: UInt64?, _ bytes: [UInt8]
    ) -> Result {
        if case .get = operation {
            switch status {
            case 200: return .answered(.value(bytes, version: version))
            case 404: return .answered(.missing)
            default: return .refused
            }
        }
        let body = try? JSONDecoder().decode(Body.self, from: Data(bytes))
        switch status {
        case 200: break
        case 409: return .answered(.conflict(version: nil))
        case 504: return .unknown
        default:
            // What isn't an answer of the contract says nothing.
            return body?.error == nil ? .unknown : .refused
        }
        guard let body else { return .unknown }
        switch operation {
        case .get: return .unknown
        case .put: return .answered(.written(version: body.version))
        case .delete:
            return .answered(.deleted(existed: body.existed ?? false, index: body.index))
        case .append: return .answered(.appended(length: body.length, version: body.version))
        case .increment:
            guard let value = body.value else { return .unknown }
            return .answered(.incremented(value: value, version: body.version))
        }
    }
}

/// Dice that a seed determines (SplitMix64).
struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
