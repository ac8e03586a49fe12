import Foundation
import KraftKeyValue
import KraftMultiRaft
import Testing

@testable import KraftAdmin

@Suite("Answers")
struct HTTPValueTests {
    @Test("percent-encoding gives back what went in, and refuses what is broken")
    func percentCoding() {
        let all = (0...255).map { UInt8($0) }
        #expect(PercentCoding.decode(PercentCoding.encode(all)) == all)
        #expect(PercentCoding.encode("a/b c~".utf8) == "a%2Fb%20c~")
        for text in ["%", "%4", "%4g", "a b", "\u{7F}", "é", "a\n"] {
            #expect(PercentCoding.decode(text) == nil)
        }
    }

    @Test("JSON escapes what it must and keeps 64-bit numbers exact")
    func json() throws {
        let json: JSON = [
            "a\"\\\n\u{1}": .unsigned(.max), "b": [.integer(.min), .null, true, .number(0.5)],
            "c": .number(.infinity), "é😀": "\u{2028}",
        ]
        #expect(
            json.text == #"{"a\"\\\n\u0001":18446744073709551615,"b":[-9223372036854775808,null,"#
                + #"true,0.5],"c":null,"é😀":"\u2028"}"#)
        #expect(throws: Never.self) {
            try JSONSerialization.jsonObject(with: Data(json.text.utf8))
        }
    }

    @Test("error codes have the contract's statuses; unknown ones promise no effect")
    func statuses() {
        let expected: [(KraftError.Code, Int, String)] = [
            (.badRequest, 400, "bad_request"), (.notFound, 404, "not_found"),
            (.conflict, 409, "conflict"), (.tooLarge, 413, "too_large"),
            (.overloaded, 429, "overloaded"), (.notImplemented, 501, "not_implemented"),
            (.unavailable, 503, "unavailable"), (.outcomeUnknown, 504, "outcome_unknown"),
            (.staleRoute, 503, "unavailable"), (.storage, 503, "unavailable"),
            (.init(rawValue: "of_a_later_release"), 503, "unavailable"),
        ]
        for (code, status, text) in expected {
            let fault = HTTPFault(KraftError(code, "m"), address: { _ in nil })
            #expect(fault.status == status)
            #expect(fault.code == text)
        }
    }

    @Test("an error's body names code, message, leader and group")
    func errorBody() throws {
        let error = KraftError(
            .unavailable, "no quorum", group: GroupName("g"), leader: 2)
        let fault = HTTPFault(error, address: { $0 == 2 ? "10.0.0.2:7001" : nil })
        #expect(
            fault.json.text
                == #"{"error":{"code":"unavailable","message":"no quorum","#
                + #""leader":"10.0.0.2:7001","group":"g"}}"#)
        #expect(
            HTTPFault.badRequest("by: no").json.text
                == #"{"error":{"code":"bad_request","message":"by: no"}}"#)
    }

    @Test("only an overloaded node says when to come back")
    func retryAfter() {
        let shed = HTTPAnswer.fault(HTTPFault(.overloaded, "m"))
        #expect(shed.headers.contains { $0.name == "Retry-After" })
        let other = HTTPAnswer.fault(HTTPFault(.unavailable, "m"))
        #expect(!other.headers.contains { $0.name == "Retry-After" })
    }

    @Test("a read never has an unknown outcome, and a missing group is not a missing key")
    func errorsOfKeys() throws {
        let group = try #require(GroupName("g"))
        func status(_ code: KraftError.Code, isRead: Bool) -> Int {
            HTTPFault.ofKey(
                KraftError(code, "m"), group: group, isRead: isRead, address: { _ in nil }
            ).status
        }
        #expect(status(.outcomeUnknown, isRead: true) == 503)
        #expect(status(.outcomeUnknown, isRead: false) == 504)
        #expect(status(.notFound, isRead: true) == 503)
        #expect(status(.notFound, isRead: false) == 503)
    }

    @Test("bodies are bounded before they are read")
    func bodies() throws {
        #expect(try AdminServer.bodyLength("100", isChunked: false, limit: 100) == 100)
        #expect(try AdminServer.bodyLength(nil, isChunked: true, limit: 100) == 100)
        #expect(try AdminServer.bodyLength(nil, isChunked: false, limit: 100) == 0)
        for (text, status) in [("101", 413), ("-1", 400), ("x", 400), ("", 400)] {
            do {
                _ = try AdminServer.bodyLength(text, isChunked: false, limit: 100)
                Issue.record("\(text) was taken")
            } catch {
                #expect(error.status == status)
            }
        }
    }

    @Test("bodies share one budget, which is given back")
    func budget() async throws {
        let budget = BodyBudget(limitBytes: 10)
        let inner = try await budget.reserving(6) {
            let tooMuch = try await budget.reserving(5) { true }
            let fits = try await budget.reserving(4) { true }
            return (tooMuch, fits)
        }
        #expect(inner?.0 == nil)
        #expect(inner?.1 == true)
        #expect(try await budget.reserving(10) { true } == true)
    }

    @Test("the body of a transfer is read, and what is wrong with it named")
    func transferBody() throws {
        #expect(try TransferBody(Array(#"{"to":3}"#.utf8)).to == 3)
        let broken = [
            ("", "body:"), ("{", "body:"), ("[]", "body:"), ("3", "body:"), ("{}", "to:"),
            (#"{"to":"3"}"#, "to:"), (#"{"to":0}"#, "to:"), (#"{"to":-1}"#, "to:"),
            (#"{"to":1.5}"#, "to:"), (#"{"to":null}"#, "to:"), (#"{"to":4294967296}"#, "to:"),
        ]
        for (text, field) in broken {
            do {
                _ = try TransferBody(Array(text.utf8))
                Issue.record("\(text) was taken")
            } catch {
                #expect(error.status == 400)
                #expect(error.message.hasPrefix(field), "\(text): \(error.message)")
            }
        }
    }
}

@Suite("Requests on keys")
struct KeyRequestTests {
    private func request(
        _ method: String, _ target: String, body: [UInt8] = []
    ) throws -> KeyRequest? {
        let parts = target.split(separator: "?", maxSplits: 1)
        let endpoint = try Endpoint(method: method, path: parts[0])
        let parameters = try QueryParameters(
            parts.count > 1 ? parts[1] : "", known: endpoint.parameterNames)
        return try KeyRequest(endpoint, parameters, body: body)
    }

    @Test("become commands of the store")
    func commands() throws {
        let key = try #require(KeyValueStore.Key("k"))
        #expect(try request("PUT", "/v1/kv/k", body: [1]) == .write(.put(key, value: [1])))
        #expect(
            try request("PUT", "/v1/kv/k?if_version=0")
                == .write(.put(key, value: [], ifVersion: .zero)))
        #expect(
            try request("DELETE", "/v1/kv/k?if_version=9")
                == .write(.delete(key, ifVersion: LogIndex(9))))
        #expect(
            try request("POST", "/v1/kv/k/append", body: [2]) == .write(.append(key, value: [2])))
        #expect(try request("POST", "/v1/kv/k/increment") == .write(.increment(key, by: 1)))
        #expect(try request("POST", "/v1/kv/k/increment?by=-7") == .write(.increment(key, by: -7)))
        #expect(try request("GET", "/v1/kv/k") == .read(key, .linearizable))
        #expect(try request("GET", "/v1/kv/k?consistency=local") == .read(key, .local))
        #expect(try request("GET", "/v1/kv/k?consistency=lease") == .read(key, .lease))
        #expect(
            try request("GET", "/v1/kv/k?consistency=bounded&max_staleness_ms=70")
                == .read(key, .bounded(.milliseconds(70))))
        #expect(try request("GET", "/v1/groups") == nil)
    }

    @Test(
        "what isn't built yet is said so, never ignored",
        arguments: [
            ("PUT", "/v1/kv/k?ttl_ms=5")
        ])
    func notImplemented(method: String, target: String) {
        #expect { try request(method, target) } throws: { ($0 as? HTTPFault)?.status == 501 }
    }

    @Test(
        "a consistency that is misspelt or only half said is a bad request",
        arguments: [
            "consistency=strong", "consistency=bounded", "consistency=local&max_staleness_ms=5",
            "max_staleness_ms=5", "consistency=lease&max_staleness_ms=5",
            "consistency=bounded&max_staleness_ms=-1",
            "consistency=bounded&max_staleness_ms=3600001",
        ])
    func consistency(query: String) {
        #expect { try request("GET", "/v1/kv/k?\(query)") } throws: {
            ($0 as? HTTPFault)?.status == 400
        }
    }

    @Test("replies become the contract's answers")
    func answers() throws {
        let group = try #require(GroupName("g"))
        func text(_ reply: KeyValueStore.Reply) throws -> String {
            let answer = try KeyRequest.answer(reply, group: group, index: LogIndex(7))
            return String(decoding: answer.body, as: UTF8.self)
        }
        #expect(try text(.written(version: LogIndex(7))) == #"{"group":"g","index":7,"version":7}"#)
        #expect(try text(.deleted(existed: true)) == #"{"group":"g","index":7,"existed":true}"#)
        #expect(
            try text(.appended(version: LogIndex(7), length: 3))
                == #"{"group":"g","index":7,"version":7,"length":3}"#)
        #expect(
            try text(.incremented(version: LogIndex(7), value: -2))
                == #"{"group":"g","index":7,"version":7,"value":-2}"#)
        for (reply, status) in [
            (KeyValueStore.Reply.conflict(.notANumber), 409), (.conflict(.overflow), 409),
            (.conflict(.version(actual: LogIndex(3))), 409), (.tooLarge, 413),
        ] {
            #expect { try text(reply) } throws: { ($0 as? HTTPFault)?.status == status }
        }
    }

    @Test("a value comes raw, with its group, index and version in headers")
    func valueAnswer() throws {
        let group = try #require(GroupName("g"))
        let answer = try KeyRequest.answer(
            .value([0, 255], version: LogIndex(5)), group: group, index: LogIndex(9))
        #expect(answer.body == [0, 255])
        let headers = Dictionary(uniqueKeysWithValues: answer.headers.map { ($0.name, $0.value) })
        #expect(headers["Kraft-Group"] == "g")
        #expect(headers["Kraft-Index"] == "9")
        #expect(headers["Kraft-Version"] == "5")
        #expect {
            try KeyRequest.answer(.missing, group: group, index: LogIndex(9))
        } throws: { ($0 as? HTTPFault)?.status == 404 }
    }
}

@Suite("Stale routes")
struct StaleRouteTests {
    private let group = GroupName("g")!

    @Test("are refreshed and tried again until the group takes them")
    func retry() async throws {
        var epoch: UInt64 = 1
        var attempts: [UInt64] = []
        let answer = try await withFreshRoute(
            deadline: .now + .seconds(60),
            route: { Route(group: group, epoch: Epoch(epoch)) },
            refresh: { epoch += 1 },
            attempt: { route, _ throws(KraftError) in
                attempts.append(route.epoch.rawValue)
                guard route.epoch.rawValue == 3 else { throw KraftError(.staleRoute, "old") }
                return "done"
            })
        #expect(answer == "done")
        #expect(attempts == [1, 2, 3])
    }

    @Test("end as unavailable at the deadline, for nothing took effect")
    func deadline() async {
        await #expect {
            try await withFreshRoute(
                deadline: .now + .milliseconds(5),
                route: { Route(group: group, epoch: .first) },
                refresh: { try? await Task.sleep(for: .milliseconds(1)) },
                attempt: { _, _ throws(KraftError) -> Int in throw KraftError(.staleRoute, "old") })
        } throws: { ($0 as? KraftError)?.code == .unavailable }
    }

    @Test("other errors are not tried again")
    func otherErrors() async {
        var attempts = 0
        await #expect(throws: KraftError.self) {
            try await withFreshRoute(
                deadline: .now + .seconds(60),
                route: { Route(group: group, epoch: .first) }, refresh: {},
                attempt: { _, _ throws(KraftError) -> Int in
                    attempts += 1
                    throw KraftError(.outcomeUnknown, "who knows")
                })
        }
        #expect(attempts == 1)
    }

    @Test("teach the directory newer epochs only")
    func learning() throws {
        let directory = RoutingDirectory(try .hash(groups: [group]))
        #expect(!directory.learn([(group, .first)]))
        #expect(directory.learn([(group, Epoch(4))]))
        #expect(try directory.route([1]).epoch == Epoch(4))
        #expect(!directory.learn([(group, Epoch(2))]))
    }
}
