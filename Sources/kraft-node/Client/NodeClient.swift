import ArgumentParser
import AsyncHTTPClient
import Foundation
import KraftAdmin
import NIOCore
import NIOHTTP1

/// Talks HTTP to one node for the subcommands.
struct NodeClient {
    let url: String
    let timeoutMilliseconds: Int
    /// Trouble is no news: it is tried again.
    var isQuiet = false

    /// The largest answer that is read.
    static let answerSizeLimitBytes = 64 << 20

    struct Answer {
        var status: Int
        var headers: HTTPHeaders
        var body: [UInt8]

        func json<T: Decodable>(_: T.Type) throws -> T {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(T.self, from: Data(body))
        }
    }

    /// An error answer of the contract's form.
    struct ErrorBody: Decodable {
        var error: Content
        struct Content: Decodable {
            var code: String
            var message: String
        }
    }

    /// Sends one request; anything but a success ends the command with its exit code.
    func send(
        _ method: HTTPMethod, _ path: String, query: [(String, String)] = [], body: [UInt8]? = nil
    ) async throws -> Answer {
        let parameters = (query + [("timeout_ms", "\(timeoutMilliseconds)")]).map {
            "\($0)=\(PercentCoding.encode($1.utf8))"
        }
        var request = HTTPClientRequest(
            url: "\(url)\(path)?\(parameters.joined(separator: "&"))")
        request.method = method
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let answer: Answer
        do {
            // The node answers by its deadline; a little more covers the way there and back.
            let response = try await HTTPClient.shared.execute(
                request, timeout: .milliseconds(Int64(timeoutMilliseconds) + 2_000))
            let bytes = try await response.body.collect(upTo: NodeClient.answerSizeLimitBytes)
            answer = Answer(
                status: Int(response.status.code), headers: response.headers,
                body: Array(bytes.readableBytesView))
        } catch {
            if !isQuiet { complain("\(url) can't be reached: \(error)") }
            throw NodeExit.unreachable
        }
        guard (200..<300).contains(answer.status) else {
            let error = try? answer.json(ErrorBody.self).error
            if isQuiet { throw NodeClient.exit(status: answer.status) }
            complain(error.map { "\($0.code): \($0.message)" } ?? "status \(answer.status)")
            throw NodeClient.exit(status: answer.status)
        }
        return answer
    }

    static func exit(status: Int) -> ExitCode {
        switch status {
        case 400: NodeExit.usage
        case 429, 503, 504: NodeExit.unreachable
        default: NodeExit.internalError
        }
    }
}

struct ClientOptions: ParsableArguments {
    @Option(help: "A node's HTTP address.") var url = "http://127.0.0.1:8001"
    @Option(help: "How long the request may take, in milliseconds.") var timeout = 5_000

    var client: NodeClient {
        NodeClient(
            url: url.hasSuffix("/") ? String(url.dropLast()) : url, timeoutMilliseconds: timeout)
    }

    func validate() throws {
        guard url.hasPrefix("http://") || url.hasPrefix("https://") else {
            throw ValidationError("url: must begin with http:// or https://")
        }
        guard (1...600_000).contains(timeout) else {
            throw ValidationError("timeout: must be from 1 to 600000")
        }
    }
}
