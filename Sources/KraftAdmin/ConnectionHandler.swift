import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// What has to happen to every answer on a connection, also to those that the HTTP library writes
/// by itself: the `Kraft-Node` header, the contract's error body for a request that could not be
/// parsed. And it answers `Expect: 100-continue`, for which clients otherwise wait a second.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let node: String
    private let bodySizeLimitBytes: Int
    private var errorBody: ByteBuffer?

    init(node: String, bodySizeLimitBytes: Int) {
        self.node = node
        self.bodySizeLimitBytes = bodySizeLimitBytes
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data), isToContinue(head) {
            let interim = HTTPResponsePart.head(HTTPResponse(status: .continue))
            context.writeAndFlush(wrapOutboundOut(interim), promise: nil)
        }
        context.fireChannelRead(data)
    }

    /// A body that will be refused for its size is not asked for.
    private func isToContinue(_ head: HTTPRequest) -> Bool {
        guard head.headerFields[.expect]?.lowercased() == "100-continue" else { return false }
        guard let length = head.headerFields[.contentLength].flatMap({ Int($0) }) else {
            return true
        }
        return length <= bodySizeLimitBytes
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            head.headerFields[ConnectionHandler.nodeHeader] = node
            if head.status == .badRequest, head.headerFields[.contentLength] == "0" {
                let body = HTTPFault.badRequest("request: not valid HTTP/1.1").json.text
                head.headerFields[.contentLength] = "\(body.utf8.count)"
                head.headerFields[.contentType] = "application/json"
                errorBody = ByteBuffer(string: body)
            }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            if let body = errorBody {
                errorBody = nil
                context.write(wrapOutboundOut(.body(body)), promise: nil)
            }
            context.write(data, promise: promise)
        case .body:
            context.write(data, promise: promise)
        }
    }

    // A literal that is a valid field name.
    private static let nodeHeader = HTTPField.Name("Kraft-Node")!
}
