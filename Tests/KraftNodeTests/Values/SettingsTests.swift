import KraftMultiRaft
import Testing

@testable import kraft_node

private let minimum: [(SettingsField, String?)] = [
    (.id, "1"), (.dataDirectory, "data"), (.peers, "1=127.0.0.1:7101,2=127.0.0.1:7102"),
]

private func settings(
    _ flags: [(SettingsField, String?)], environment: [String: String] = [:], yaml: String? = nil
) throws -> NodeSettings {
    var layers = [SettingsLayer(flags: flags), SettingsLayer(environment: environment)]
    if let yaml { layers.append(try SettingsLayer(yaml: yaml, file: "node.yaml")) }
    return try NodeSettings(layers)
}

private func complaint(
    _ flags: [(SettingsField, String?)], environment: [String: String] = [:], yaml: String? = nil
) -> String {
    do {
        _ = try settings(flags, environment: environment, yaml: yaml)
        return ""
    } catch {
        return "\(error)"
    }
}

@Suite("Settings of a node")
struct SettingsTests {
    @Test("have sensible defaults that bind to loopback")
    func defaults() throws {
        let settings = try settings(minimum)
        #expect(settings.node == 1)
        #expect(settings.listen == HostPort("127.0.0.1:7001"))
        #expect(settings.http == HostPort("127.0.0.1:8001"))
        #expect(settings.clusterID == "kraft")
        #expect(settings.groupCount == 8)
        #expect(settings.router == .hash)
        #expect(settings.logLevel == .info)
        #expect(settings.advertise == nil)
        #expect(settings.peers == [1: "127.0.0.1:7101", 2: "127.0.0.1:7102"])
    }

    @Test("say when logs give way to snapshots, and what that may cost")
    func storage() throws {
        let plain = try settings(minimum).storage
        #expect(plain.snapshotEntries == 100_000)
        #expect(plain.snapshotBytes == 64 << 20)
        #expect(plain.snapshotMilliseconds == 0)
        let told = try settings(
            minimum + [
                (.snapshotEntries, "7"), (.logSegmentBytes, "8388608"),
                (.logBudgetBytes, "99999999"),
            ],
            environment: ["KRAFT_SNAPSHOT_BYTES": "1024", "KRAFT_SNAPSHOT_RATE_BYTES": "100000"],
            yaml: "snapshot-interval-ms: 60000\n"
        ).storage
        var configuration = KraftConfiguration(node: 1, dataDirectory: "d", listen: "127.0.0.1:0")
        told.apply(to: &configuration)
        #expect(configuration.snapshots.entryLimit == 7)
        #expect(configuration.snapshots.tailEntries == 0)
        #expect(configuration.snapshots.sizeLimitBytes == 1_024)
        #expect(configuration.snapshots.interval == .seconds(60))
        #expect(configuration.snapshots.bytesPerSecond == 100_000)
        #expect(configuration.snapshotWriteBytesPerSecond == 400_000)
        #expect(configuration.log.segmentSizeBytes == 8 << 20)
        #expect(configuration.log.budgetSizeBytes == 99_999_999)
        _ = try KraftMultiRaft(configuration)
    }

    @Test("a flag wins over the environment, which wins over the file")
    func layers() throws {
        let yaml = "groups: 3\nrouter: range\nlog-level: debug\n"
        let environment = ["KRAFT_GROUPS": "4", "KRAFT_ROUTER": "prefix"]
        let found = try settings(
            minimum + [(.groups, "5")], environment: environment, yaml: yaml)
        #expect(found.groupCount == 5)
        #expect(found.router == .prefix)
        #expect(found.logLevel == .debug)
    }

    @Test("every field can come from the environment")
    func environment() throws {
        let found = try settings(
            [],
            environment: [
                "KRAFT_ID": "2", "KRAFT_DATA_DIR": "d", "KRAFT_LISTEN": "127.0.0.1:1",
                "KRAFT_ADVERTISE": "10.0.0.1:2", "KRAFT_HTTP": "[::1]:3", "KRAFT_CLUSTER_ID": "c",
                "KRAFT_PEERS": "2=10.0.0.1:2", "KRAFT_GROUPS": "1",
                "KRAFT_ROUTER": "consistent-hash",
                "KRAFT_LOG_LEVEL": "error", "KRAFT_SERVICE_HOST": "set by others",
            ])
        #expect(found.node == 2)
        #expect(found.dataDirectory == "d")
        #expect(found.advertise == HostPort("10.0.0.1:2"))
        #expect(found.http.host == "::1")
        #expect(found.clusterID == "c")
        #expect(found.router == .consistentHash)
        #expect(found.logLevel == .error)
    }

    @Test("peers may be text, list or mapping in the file")
    func peersInFile() throws {
        let forms = [
            "peers: 1=a:1,2=b:2", "peers: ['1=a:1', '2=b:2']", "peers:\n  1: a:1\n  2: b:2",
        ]
        for form in forms {
            let found = try settings([(.id, "1"), (.dataDirectory, "d")], yaml: form)
            #expect(found.peers == [1: "a:1", 2: "b:2"], "\(form)")
        }
    }

    @Test("an unknown key in the file is an error that names it")
    func unknownKey() {
        #expect(complaint(minimum, yaml: "grups: 3") == "node.yaml: unknown key 'grups'")
    }

    @Test(
        "a broken file is an error that names the file",
        arguments: [
            "- a\n- b", "groups: [1, 2]", "groups: {", "groups: 1\ngroups: 2", "router: {a: b}",
        ])
    func brokenFile(yaml: String) {
        #expect(complaint(minimum, yaml: yaml).contains("node.yaml"))
    }

    @Test("an empty file says nothing")
    func emptyFile() throws {
        #expect(try settings(minimum, yaml: "") == settings(minimum))
        #expect(try settings(minimum, yaml: "# nothing\n") == settings(minimum))
    }

    @Test(
        "an error names the field and where it came from",
        arguments: [
            (SettingsField.id, "0"), (.id, "x"), (.id, "4294967296"), (.dataDirectory, ""),
            (.listen, "7001"), (.listen, "a:65536"), (.listen, "::1:80"), (.http, "localhost"),
            (.advertise, "a:0"), (.clusterID, ""), (.groups, "0"), (.groups, "10001"),
            (.router, "custom"), (.router, "Hash"), (.logLevel, "loud"),
            (.snapshotEntries, "0"), (.snapshotBytes, "many"), (.snapshotMilliseconds, "-1"),
            (.snapshotRate, "1"), (.logSegmentBytes, "4096"), (.logBudgetBytes, "0"),
        ])
    func badValues(field: SettingsField, text: String) {
        let words = complaint(minimum.filter { $0.0 != field } + [(field, text)])
        #expect(words.hasPrefix("\(field.rawValue) (--\(field.rawValue)): '\(text)' is not"))
        let environment = complaint(
            minimum.filter { $0.0 != field }, environment: [field.environmentName: text])
        #expect(environment.hasPrefix("\(field.rawValue) (\(field.environmentName)): '\(text)'"))
    }

    @Test(
        "peers are refused that can't be right",
        arguments: [
            ("", "is not id=host:port"), ("1=a:1,", "is not id=host:port"),
            ("1=a:1,1=b:2", "node 1 is given twice"), ("1=a:1,2=a:1", "for two nodes"),
            ("2=a:1,3=b:1", "doesn't list this node"), ("0=a:1", "is not id=host:port"),
            ("1=a", "is not id=host:port"), ("1=a:0", "is not id=host:port"),
            ("a:1", "is not id=host:port"),
        ])
    func badPeers(peers: String, words: String) {
        let found = complaint([(.id, "1"), (.dataDirectory, "d"), (.peers, peers)])
        #expect(found.hasPrefix("peers (--peers): "))
        #expect(found.contains(words))
    }

    @Test("what is missing is named", arguments: [SettingsField.id, .dataDirectory])
    func missing(field: SettingsField) {
        #expect(
            complaint(minimum.filter { $0.0 != field }).hasPrefix("\(field.rawValue): missing"))
    }

    @Test("join names peer ports, excludes peers, and needs an address that others can dial")
    func join() throws {
        let flags: [(SettingsField, String?)] = [(.id, "1"), (.dataDirectory, "d")]
        let found = try settings(flags + [(.join, "a:1, [::1]:2")])
        #expect(found.join == ["a:1", "[::1]:2"])
        #expect(found.peers == [:])
        #expect(
            complaint(flags + [(.join, "a:1"), (.peers, "1=a:1")]).contains("excludes peers"))
        for bad in ["", "a", "a:0", "a:1,"] {
            #expect(complaint(flags + [(.join, bad)]).hasPrefix("join (--join): "), "\(bad)")
        }
        for listen in ["127.0.0.1:0", "0.0.0.0:7001", "[::]:7001"] {
            let wild = flags + [(.join, "a:1"), (.listen, listen)]
            #expect(complaint(wild).hasPrefix("advertise: missing"), "\(listen)")
            #expect(complaint(wild + [(.advertise, "b:7")]) == "")
        }
        #expect(try settings(flags, yaml: "join: ['a:1', 'b:2']").join == ["a:1", "b:2"])
    }

    @Test("leases are off unless asked for, and times have bounds")
    func times() throws {
        #expect(try settings(minimum).leaseMilliseconds == nil)
        #expect(try settings(minimum).catchUpMilliseconds == 60_000)
        let found = try settings(
            minimum + [(.leaseMilliseconds, "500")], environment: ["KRAFT_CATCH_UP_MS": "2000"])
        #expect(found.leaseMilliseconds == 500)
        #expect(found.catchUpMilliseconds == 2_000)
        #expect(try settings(minimum + [(.leaseMilliseconds, "0")]).leaseMilliseconds == nil)
        #expect(complaint(minimum + [(.leaseMilliseconds, "60001")]).hasPrefix("lease-ms (--"))
        #expect(complaint(minimum + [(.catchUpMilliseconds, "99")]).hasPrefix("catch-up-ms (--"))
    }

    @Test("others are told an HTTP address that they can reach, or none")
    func reachableHTTP() throws {
        func address(_ http: String, _ more: [(SettingsField, String?)] = []) throws -> String? {
            try settings(minimum + [(.http, http)] + more).reachableHTTP()
        }
        #expect(try address("10.0.0.1:8001") == "10.0.0.1:8001")
        #expect(try address("10.0.0.1:0") == nil)
        #expect(try address("0.0.0.0:8001") == "127.0.0.1:8001")
        #expect(try address("0.0.0.0:8001", [(.advertise, "b.example:7")]) == "b.example:8001")
        #expect(try address("[::]:8001", [(.listen, "0.0.0.0:1")]) == nil)
        let found = try settings(minimum + [(.http, "127.0.0.1:0")])
        #expect(found.reachableHTTP(bound: "127.0.0.1:4242") == "127.0.0.1:4242")
    }
}
