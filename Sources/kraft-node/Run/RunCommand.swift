import ArgumentParser
import Foundation

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Runs a node.",
        discussion: """
            A flag wins over the environment (--data-dir is KRAFT_DATA_DIR), which wins over the \
            file. The file is a YAML mapping with the flags' names as keys.

            Prints 'ready id=… http=… peer=…' on standard output when its listeners are open; logs \
            go to standard error. SIGTERM and SIGINT hand leaders over, flush and end with 0; a \
            second one ends at once.

            Routers: hash and consistent-hash spread keys over the groups. range cuts them at even \
            borders over three characters of 0-9 a-z; prefix gives the keys that begin with kv-3/ \
            to group kv-3, and all that no prefix claims to kv-0. Router and number of groups are \
            settled when the data folder is new.

            A cluster is started with the same --peers on every node. A node that comes later is \
            started with --join: it is let in, learns router and groups, and holds no group until \
            it is added to one ('group members'). What the data folder holds wins over both, so a \
            node may be started again with either, or with none.
            """)

    @Option(help: "This node's number, from 1.") var id: String?
    @Option(help: "Everything that the node keeps lies below this folder.") var dataDir: String?
    @Option(help: "Peer port, host:port; port 0 takes a free one. (default: 127.0.0.1:7001)")
    var listen: String?
    @Option(help: "The peer address that others are given, if not the listening one.")
    var advertise: String?
    @Option(help: "HTTP port, host:port; port 0 takes a free one. (default: 127.0.0.1:8001)")
    var http: String?
    @Option(help: "Nodes of another cluster are refused. (default: kraft)") var clusterId: String?
    @Option(help: "All nodes, this one too: 1=host:port,2=host:port,…") var peers: String?
    @Option(help: "Peer ports of a running cluster to join: host:port,host:port,…")
    var join: String?
    @Option(help: "Number of groups. (default: 8)") var groups: String?
    @Option(help: "hash, consistent-hash, range or prefix. (default: hash)") var router: String?
    @Option(
        help: """
            How long a node's support for a leader lasts, so that reads with consistency=lease ask \
            nobody; 0 is off. (default: 0)
            """)
    var leaseMs: String?
    @Option(help: "How long new members of a group may take to catch up. (default: 60000)")
    var catchUpMs: String?
    @Option(help: "A group's log gives way to a snapshot after so many entries. (default: 100000)")
    var snapshotEntries: String?
    @Option(help: "… or after so many bytes of them. (default: 67108864)")
    var snapshotBytes: String?
    @Option(help: "… or after so much time, if anything came; 0 is off. (default: 0)")
    var snapshotIntervalMs: String?
    @Option(
        help: "Bytes of snapshots sent in a second; a quarter of those written. (default: 16777216)"
    )
    var snapshotRateBytes: String?
    @Option(help: "Size of a file of the log, from 8388608. (default: 33554432)")
    var logSegmentBytes: String?
    @Option(help: "The log gives its oldest files back above that size. (default: 536870912)")
    var logBudgetBytes: String?
    @Option(help: "A YAML file with settings.") var config: String?
    @Option(help: "trace, debug, info, notice, warning, error or critical. (default: info)")
    var logLevel: String?
    @Flag(help: .hidden) var dieWithStdin = false

    func run() async throws {
        if dieWithStdin { exitWhenStandardInputCloses() }
        do {
            let settings = try settings(environment: ProcessInfo.processInfo.environment)
            try await NodeRunner(settings).run()
        } catch let error as SettingsError {
            complain("\(error)")
            throw NodeExit.usage
        } catch let failure as NodeFailure {
            complain(failure.message)
            throw failure.exit
        }
    }

    func settings(environment: [String: String]) throws(SettingsError) -> NodeSettings {
        var layers = [
            SettingsLayer(flags: [
                (.id, id), (.dataDirectory, dataDir), (.listen, listen), (.advertise, advertise),
                (.http, http), (.clusterID, clusterId), (.peers, peers), (.join, join),
                (.groups, groups), (.router, router), (.leaseMilliseconds, leaseMs),
                (.catchUpMilliseconds, catchUpMs), (.snapshotEntries, snapshotEntries),
                (.snapshotBytes, snapshotBytes), (.snapshotMilliseconds, snapshotIntervalMs),
                (.snapshotRate, snapshotRateBytes), (.logSegmentBytes, logSegmentBytes),
                (.logBudgetBytes, logBudgetBytes),
                (.logLevel, logLevel),
            ]),
            SettingsLayer(environment: environment),
        ]
        if let file = config ?? environment["KRAFT_CONFIG"] {
            guard let data = FileManager.default.contents(atPath: file) else {
                throw SettingsError("config: '\(file)' can't be read")
            }
            guard let yaml = String(validating: data, as: UTF8.self) else {
                throw SettingsError("config: '\(file)' is not UTF-8")
            }
            layers.append(try SettingsLayer(yaml: yaml, file: file))
        }
        return try NodeSettings(layers)
    }
}
