import ArgumentParser
import AsyncHTTPClient
import Foundation
import KraftAdmin
import NIOCore

/// Talks to whichever nodes of a cluster a command needs, found through the first that answers.
struct ClusterClient {
    /// The node that is asked about the cluster.
    let entry: NodeClient
    let info: ClusterInfo
    let sharding: RoutingInfo
    /// HTTP addresses of the nodes that have told theirs.
    let urls: [UInt32: String]

    /// How long a node may take to say what cluster it is of, in milliseconds.
    private static let patience = 3_000

    /// - `nodes`: HTTP ports, tried one after the other.
    ///
    /// Throws an exit code when none can be reached.
    init(_ nodes: NodeList, timeoutMilliseconds: Int) async throws {
        var found: (NodeClient, ClusterInfo)?
        for url in nodes.urls {
            // A node that is down is tried again and again for as long as it may take.
            let probe = NodeClient(
                url: url, timeoutMilliseconds: min(timeoutMilliseconds, ClusterClient.patience))
            guard let info = try? await probe.send(.GET, "/v1/cluster/info").json(ClusterInfo.self)
            else { continue }
            found = (NodeClient(url: url, timeoutMilliseconds: timeoutMilliseconds), info)
            break
        }
        guard let (client, info) = found else { throw NodeExit.unreachable }
        entry = client
        self.info = info
        sharding = try await client.send(.GET, "/v1/cluster/sharding").json(RoutingInfo.self)
        var urls: [UInt32: String] = [:]
        for member in info.members { urls[member.id] = member.http.map { "http://\($0)" } }
        self.urls = urls
    }

    /// The same for another node; nil if its HTTP port isn't known.
    func client(of node: UInt32) -> NodeClient? {
        urls[node].map {
            NodeClient(url: $0, timeoutMilliseconds: entry.timeoutMilliseconds)
        }
    }

    func group(_ name: String) async throws -> GroupInfo {
        try await entry.send(.GET, GroupCommand.path(name)).json(GroupInfo.self)
    }

    /// How long a group may have no leader, or none that is known.
    private static let electionPatience = Duration.seconds(30)

    /// The node that leads a group. Waits for an election to end, and for nodes that have just started
    /// to be known again.
    func leader(of name: String) async throws -> (node: UInt32, client: NodeClient) {
        let limit = min(
            ClusterClient.electionPatience, .milliseconds(entry.timeoutMilliseconds))
        let deadline = ContinuousClock.now + limit
        var quiet = entry
        quiet.isQuiet = true
        while true {
            let group = try? await quiet.send(.GET, GroupCommand.path(name)).json(GroupInfo.self)
            if let leader = group?.leader, let client = client(of: leader) {
                return (leader, client)
            }
            guard ContinuousClock.now < deadline else {
                complain("\(name): no leader, or its HTTP port isn't known")
                throw NodeExit.unreachable
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}

/// How a cluster spreads keys over groups.
struct RoutingInfo: Decodable {
    var router: String
    var groups: [Shard]

    struct Shard: Decodable {
        var name: String
        var keys: Int
    }

    /// Each once, though it may own several ranges.
    var names: [String] { Set(groups.map(\.name)).sorted() }
}

/// HTTP ports of nodes: `host:port,host:port`.
struct NodeList: ExpressibleByArgument, Equatable {
    var urls: [String]

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
        urls = []
        for part in parts {
            let isURL = part.hasPrefix("http://") || part.hasPrefix("https://")
            let url = isURL ? String(part) : "http://\(part)"
            guard !part.isEmpty, URLComponents(string: url)?.host != nil else { return nil }
            urls.append(url.hasSuffix("/") ? String(url.dropLast()) : url)
        }
    }
}

/// Options of commands that talk with a whole cluster.
struct ClusterOptions: ParsableArguments {
    @Option(help: "HTTP ports of nodes, host:port,…; the first that answers is asked for the rest.")
    var node = NodeList(argument: "127.0.0.1:8001")!
    @Option(help: "Only this group. May be repeated; all groups if not given.")
    var group: [String] = []
    @Option(help: "How long each group may take, in milliseconds.") var timeout = 600_000

    func validate() throws {
        guard (1...600_000).contains(timeout) else {
            throw ValidationError("timeout: must be from 1 to 600000")
        }
        guard Set(group).count == group.count else {
            throw ValidationError("group: one is given twice")
        }
    }

    /// The groups that are meant. Throws for a name that isn't in `known`.
    func chosen(from known: [String], _ place: String) throws -> [String] {
        guard !group.isEmpty else { return known }
        if let stranger = group.first(where: { !known.contains($0) }) {
            complain("\(stranger): no such group \(place)")
            throw NodeExit.usage
        }
        return group
    }
}
