/// What nodes with an HTTP port tell each other when they connect: where that port is, and by which
/// routing the cluster's keys are spread.
///
/// Its text is a list `http=127.0.0.1:8001;router=hash;groups=8`, of which every part may be missing.
/// Names that aren't known are passed over.
public struct NodeInfo: Hashable, Sendable {
    /// `host:port`.
    public var http: String?
    public var routing: Routing?

    public struct Routing: Hashable, Sendable {
        public var router: String
        public var groupCount: Int

        public init(router: String, groupCount: Int) {
            (self.router, self.groupCount) = (router, groupCount)
        }
    }

    /// What fits into a handshake.
    static let sizeLimitBytes = 256

    public init(http: String? = nil, routing: Routing? = nil) {
        (self.http, self.routing) = (http, routing)
    }

    /// Takes what it understands; that may be nothing.
    public init(_ text: String) {
        var fields: [Substring: Substring] = [:]
        for part in text.split(separator: ";") {
            guard let equals = part.firstIndex(of: "=") else { continue }
            fields[part[..<equals]] = part[part.index(after: equals)...]
        }
        http = fields["http"].flatMap { NodeInfo.isAddress($0) ? String($0) : nil }
        if let router = fields["router"], let count = fields["groups"].flatMap({ Int($0) }) {
            routing = Routing(router: String(router), groupCount: count)
        }
    }

    /// It becomes part of a URL.
    private static func isAddress(_ text: Substring) -> Bool {
        guard let colon = text.lastIndex(of: ":"), colon > text.startIndex,
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["), UInt8(ascii: "]"):
                true
            default: false
            }
        }
    }

    /// At most 256 bytes: a host's name that is too long for that is left out.
    public var text: String {
        let routing = routing.map { ["router=\($0.router)", "groups=\($0.groupCount)"] } ?? []
        let whole = (["http=\(http ?? "")"] + routing).joined(separator: ";")
        let fits = http != nil && whole.utf8.count <= NodeInfo.sizeLimitBytes
        return fits ? whole : routing.joined(separator: ";")
    }
}
