/// `host:port`, or `[IPv6]:port`.
struct HostPort: Equatable, CustomStringConvertible {
    /// Without brackets.
    var host: String
    var port: Int

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else {
            // An IPv6 address without brackets: where its port begins can't be told.
            guard !host.contains(":") else { return nil }
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
        self.host = String(host)
        self.port = Int(port)
    }

    /// It stands for all addresses of the machine: others can't dial it.
    var isWildcard: Bool { host == "0.0.0.0" || host == "::" }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
