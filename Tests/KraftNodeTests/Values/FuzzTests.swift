import Foundation
import KraftKeyValue
import KraftMultiRaft
import KraftTestKit
import Testing

@testable import KraftAdmin
@testable import kraft_node

/// What a round of fuzzing found, and how to see it again.
private struct FuzzFinding: Error, CustomStringConvertible {
    var description: String

    init(_ what: String, _ seed: UInt64) {
        description = "\(what); reproduce: \(FuzzRounds.reproduction(seed))"
    }
}

private func rounds(_ count: Int) -> FuzzRounds {
    FuzzRounds(count, environment: ProcessInfo.processInfo.environment)
}

extension ByteMutator {
    /// One of the samples, spoilt; what isn't UTF-8 any more is repaired as a server does.
    fileprivate mutating func text(_ samples: [String]) -> String {
        var bytes = Array(random.pick(samples).utf8)
        if random.chance(900) { mutate(&bytes, others: samples.map { Array($0.utf8) }) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite("Fuzz: requests")
struct RequestFuzzTests {
    private static let paths = [
        "/v1/kv/key", "/v1/kv/a%20b%2Fc", "/v1/kv/key/append", "/v1/kv/key/increment", "/v1/groups",
        "/v1/groups/kv-0", "/v1/groups/kv-0/transfer", "/v1/groups/%2e%2e", "/v1/cluster/info",
        "/v1/cluster/members", "/v1/sessions", "/v1/health", "/healthz", "/metrics", "/", "/v1/txn",
        "/v1/plans/17", "/v1/queues/q/enqueue", "/v1/cluster/migrations/3",
        "/v1/vectors/" + String(repeating: "long", count: 500),
    ]
    private static let queries = [
        "", "timeout_ms=5", "if_version=0&timeout_ms=600000", "by=-9223372036854775808",
        "consistency=bounded&max_staleness_ms=100", "consistency=linearizable", "ttl_ms=5",
        "by=%2B7", "a=b&a=c", "&&=&", "%", "timeout_ms",
    ]
    private static let methods = ["GET", "PUT", "POST", "DELETE", "PATCH", "", "get"]

    @Test("any method, path, query and body is understood whole or refused by name")
    func requests() throws {
        try rounds(40_000).run { mutator in
            let method = mutator.random.pick(RequestFuzzTests.methods)
            let path = mutator.text(RequestFuzzTests.paths)
            let query = mutator.text(RequestFuzzTests.queries)
            do throws(HTTPFault) {
                let endpoint = try Endpoint(method: method, path: path[...])
                try check(endpoint, method, path, mutator.seed)
                let parameters = try QueryParameters(query[...], known: endpoint.parameterNames)
                _ = try parameters.timeout()
                _ = try KeyRequest(endpoint, parameters, body: [1])
            } catch {
                try check(error, mutator.seed)
            }
        }
    }

    /// A key that was understood is the one that its canonical path names.
    private func check(
        _ endpoint: Endpoint, _ method: String, _ path: String, _ seed: UInt64
    ) throws(HTTPFault) {
        guard case .getKey(let key) = endpoint else { return }
        let again = try Endpoint(
            method: method, path: "/v1/kv/\(PercentCoding.encode(key.bytes))"[...])
        #expect(again == endpoint, "\(path); \(FuzzRounds.reproduction(seed))")
    }

    private func check(_ fault: HTTPFault, _ seed: UInt64) throws {
        guard [400, 404, 413, 501].contains(fault.status) else {
            throw FuzzFinding("an answer of \(fault.status)", seed)
        }
        // What a client sends isn't sent back at any length.
        if fault.message.utf8.count > 1_024 { throw FuzzFinding("a long message", seed) }
        let text = fault.json.text
        guard (try? JSONSerialization.jsonObject(with: Data(text.utf8))) != nil else {
            throw FuzzFinding("an answer that isn't JSON: \(text)", seed)
        }
    }

    @Test("bodies of transfers are read or refused by name")
    func bodies() throws {
        let samples = [
            #"{"to":3}"#, #"{"to": 4294967295, "more": [1, {"a": null}]}"#, #"{"to":1e3}"#,
            #"{"to":"3"}"#, "[]", "{", #"{"to":-0.0}"#, #"{"to":1e999}"#, "\u{FEFF}{}",
        ].map { Array($0.utf8) }
        try rounds(8_000).run { mutator in
            var body = mutator.random.pick(samples)
            mutator.mutate(&body, others: samples)
            do throws(HTTPFault) {
                let to = try TransferBody(body).to
                if to.isNone { throw HTTPFault.notFound("node 0") }
            } catch {
                guard error.status == 400 else {
                    throw FuzzFinding("an answer of \(error.status)", mutator.seed)
                }
            }
        }
    }

    @Test("headers of sessions and lengths are read or refused")
    func headers() throws {
        let tokens = ["0123456789abcdef-60000", "ffffffffffffffff-86400000", "-", "1-1"]
        let numbers = ["1", "4611686018427387903", "0", "+1", "18446744073709551616", "1e3"]
        try rounds(30_000).run { mutator in
            let token = mutator.text(tokens)
            if let read = SessionToken(token), read.text != token {
                throw FuzzFinding("another session than '\(token)'", mutator.seed)
            }
            let sequence = mutator.text(numbers)
            if let use = try? SessionUse.read(session: tokens[0], sequence: sequence),
                use.sequence == 0
            {
                throw FuzzFinding("sequence 0", mutator.seed)
            }
            let length = try? AdminServer.bodyLength(
                mutator.text(numbers), isChunked: mutator.random.chance(500), limit: 1_000)
            if let length, !(0...1_000).contains(length) {
                throw FuzzFinding("a body of \(length) bytes", mutator.seed)
            }
        }
    }

    @Test("texts of any kind come back from JSON and from percent-encoding")
    func writing() throws {
        let samples = ["plain", "\"\\/\u{8}\n\u{1F}\u{7F}", "é😀\u{2028}\u{FFFD}", "%41%zz a+b"]
        try rounds(8_000).run { mutator in
            let text = mutator.text(samples)
            let json = Data(JSON.array([.string(text)]).text.utf8)
            let read = try? JSONSerialization.jsonObject(with: json) as? [String]
            if read?.first.map({ Array($0.unicodeScalars) }) != Array(text.unicodeScalars) {
                throw FuzzFinding("'\(text)' in JSON", mutator.seed)
            }
            if PercentCoding.decode(PercentCoding.encode(text.utf8)) != Array(text.utf8) {
                throw FuzzFinding("'\(text)' percent-encoded", mutator.seed)
            }
            if let bytes = PercentCoding.decode(text),
                PercentCoding.decode(PercentCoding.encode(bytes)) != bytes
            {
                throw FuzzFinding("'\(text)' percent-decoded", mutator.seed)
            }
        }
    }
}

@Suite("Fuzz: settings")
struct SettingsFuzzTests {
    @Test("a settings file of any content is understood or refused in words")
    func files() throws {
        let samples = [
            """
            id: 1
            data-dir: data
            listen: 127.0.0.1:7001
            http: "[::1]:8001"
            peers: 1=127.0.0.1:7101,2=127.0.0.1:7102
            groups: 8
            router: consistent-hash
            log-level: debug
            """,
            "peers:\n  1: 127.0.0.1:7101\n  2: \"[::1]:7102\"\nid: 2\ndata-dir: 'd'\n",
            "id: &a 1\njoin: [a:1, b:2]\ndata-dir: *a\n", "{id: 1, peers: [1=a:1]}", "- 1\n- 2",
        ]
        try rounds(3_000).run { mutator in
            let yaml = mutator.text(samples)
            do {
                let layer = try SettingsLayer(yaml: yaml, file: "node.yaml")
                let settings = try NodeSettings([layer])
                // None: it joins, or goes by its data folder.
                let isListed = settings.peers.isEmpty || settings.peers[settings.node] != nil
                if !isListed || settings.peers.count > NodeSettings.nodeLimit {
                    throw FuzzFinding("settings that can't work", mutator.seed)
                }
            } catch let error as SettingsError {
                if error.description.isEmpty { throw FuzzFinding("no words", mutator.seed) }
            }
        }
    }

    @Test("addresses and records of nodes come back as they were, or are refused")
    func texts() throws {
        let addresses = ["127.0.0.1:7001", "[::1]:65535", "host:0", ":1", "a:b:c", "[a]b:1"]
        let records = [
            "router hash\ngroups 8\npeers 1=127.0.0.1:7001,2=[::1]:7002\n", "joined\n",
            "router prefix\ngroups 10000\njoined", "groups 1",
        ]
        let infos = ["http=127.0.0.1:8001;router=hash;groups=8", "router=range", "groups=-1;a=b"]
        try rounds(20_000).run { mutator in
            if let address = HostPort(mutator.text(addresses)),
                HostPort(address.description) != address
            {
                throw FuzzFinding("another address than \(address)", mutator.seed)
            }
            if let record = NodeRecord(mutator.text(records)), NodeRecord(record.text) != record {
                throw FuzzFinding("another record than \(record)", mutator.seed)
            }
            let info = NodeInfo(mutator.text(infos))
            let shown = info.text.utf8.count <= 256 ? NodeInfo(info.text).http : info.http
            if shown != nil, shown != info.http {
                throw FuzzFinding("another address than \(info)", mutator.seed)
            }
        }
    }
}
