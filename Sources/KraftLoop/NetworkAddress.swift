import CKraftUV

/// `host:port` taken apart; the host of an IPv6 address stands in brackets.
package struct NetworkAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    package var port: UInt16

    /// Nil when the text isn't `host:port`. Hosts are not looked up here.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let digits = text[text.index(after: colon)...]
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }),
            let port = UInt16(digits)
        else { return nil }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(where: { $0 == ":" || $0 == "[" || $0 == "]" }) {
            return nil
        }
        // A name in the domain name system has at most 253 characters.
        guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy({ (33...126).contains($0) })
        else { return nil }
        (self.host, self.port) = (String(host), port)
    }

    init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    /// The socket address when the host is a literal one or `localhost`; nil if it must be resolved.
    var literal: sockaddr_storage? {
        var storage = sockaddr_storage()
        let host = host == "localhost" ? "127.0.0.1" : host
        return kraft_uv_address_parse(host, port, &storage) == 0 ? storage : nil
    }

    /// Whether it can be listened on without asking a resolver.
    package var isLiteral: Bool { literal != nil }
}
