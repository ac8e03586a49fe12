import ArgumentParser

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows the cluster as one node sees it.")

    @OptionGroup var options: ClientOptions

    func run() async throws {
        let client = options.client
        let info = try await client.send(.GET, "/v1/cluster/info").json(ClusterInfo.self)
        let health = try await client.send(.GET, "/v1/health").json(HealthInfo.self)
        print("cluster \(info.clusterId), seen from node \(info.localId): \(health.status)")
        for reason in health.reasons { print("  \(reason)") }
        var table = TextTable("node", "address", "status", "leads", "replicas")
        for member in info.members {
            table.add(
                "\(member.id)", member.addr ?? "-", member.status, "\(member.leads)",
                "\(member.replicas)")
        }
        for line in table.lines { print(line) }
    }
}
