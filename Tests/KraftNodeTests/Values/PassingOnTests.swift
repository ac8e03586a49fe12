import AsyncHTTPClient
import KraftMultiRaft
import NIOCore
import Synchronization
import Testing

@testable import KraftAdmin
@testable import KraftEngine

private func peer(
    _ node: NodeID, alive: Bool = true, hasLeft: Bool = false, groups: Int = 1,
    info: String? = nil
) -> PeerStatus {
    PeerStatus(
        node: node, address: "", isConnected: alive, isAlive: alive, sinceHeard: nil,
        queuedBytes: 0, hasLeft: hasLeft, groupsLed: 0, groups: groups,
        info: info ?? "http=h:\(node)")
}

private let elsewhere = HTTPAnswer(
    status: 503, headers: [.init(name: PassedRequest.elsewhereHeader, value: "true")], body: [])
private let fine = HTTPAnswer(status: 200, body: [1])

/// Passes a request on to nodes 1, 2, …, which deliver so; the answer, or the fault, and who was
/// asked.
private func pass(
    _ deliveries: [PassingOn.Delivery], method: String = "PUT", status: Int = 503,
    deadline: ContinuousClock.Instant = .now + .seconds(5)
) async -> (outcome: Result<HTTPAnswer, HTTPFault>, asked: Int) {
    let request = PassedRequest(method: method, path: "/x", parameters: QueryParameters())
    let candidates = deliveries.indices.map {
        PassingOn.Candidate(node: NodeID(UInt32($0 + 1)), http: "h:\($0)")
    }
    var instead = HTTPFault(status: status, code: "own", message: "own")
    instead.elsewhere = .anyHolder
    let asked = Mutex(0)
    do throws(HTTPFault) {
        let answer = try await PassingOn.pass(
            request, on: candidates, instead: instead, deadline: deadline
        ) { candidate, _ in
            asked.withLock { $0 += 1 }
            return deliveries[Int(candidate.node.rawValue) - 1]
        }.answer
        return (.success(answer), asked.withLock { $0 })
    } catch {
        return (.failure(error), asked.withLock { $0 })
    }
}

@Suite("Requests that other nodes answer")
struct PassingOnTests {
    @Test("go to nodes that are heard and have groups, the one that answered last first")
    func candidates() {
        let peers = [
            peer(1, groups: 0), peer(2), peer(3), peer(4, alive: false), peer(5, hasLeft: true),
            peer(6, info: ""), peer(7, info: "router=hash;groups=1"),
        ]
        func nodes(_ peers: [PeerStatus], hint: NodeID? = nil) -> [NodeID] {
            PassingOn.candidates(peers, hint: hint).map(\.node)
        }
        #expect(nodes(peers) == [2, 3, 1])
        #expect(nodes(peers, hint: 3) == [3, 2, 1])
        #expect(nodes(peers, hint: 4) == [2, 3, 1])
        #expect(nodes([peer(4, alive: false), peer(5, hasLeft: true)]) == [4])
        let many = (1...40).map { peer(NodeID(UInt32($0))) }
        #expect(nodes(many).count == PassingOn.candidateLimit)
    }

    @Test("are answered by the first that holds the group")
    func holders() async {
        let (outcome, asked) = await pass([.answered(elsewhere), .answered(fine), .answered(fine)])
        #expect(outcome == .success(fine))
        #expect(asked == 2)
        // An error of one that holds it is the answer too.
        let conflict = HTTPAnswer(status: 409, body: [])
        #expect(await pass([.answered(conflict), .answered(fine)]).outcome == .success(conflict))
    }

    @Test("are answered as before when nobody holds it")
    func nobody() async {
        for deliveries in [[], [.answered(elsewhere)]] as [[PassingOn.Delivery]] {
            guard case .failure(let fault) = await pass(deliveries, status: 404).outcome else {
                Issue.record("answered")
                continue
            }
            #expect(fault.status == 404)
            #expect(fault.elsewhere == nil)
        }
    }

    @Test("are unavailable, never not found, when somebody could not be asked")
    func unreachable() async {
        let (outcome, asked) = await pass(
            [.notSent(reason: "refused"), .answered(elsewhere)], status: 404)
        #expect(asked == 2)
        guard case .failure(let fault) = outcome else { return #expect(Bool(false)) }
        #expect(fault.status == 503)
        #expect(fault.message.contains("node 1 can't be reached: refused"))
        #expect(await pass([.notSent(reason: ""), .answered(fine)]).outcome == .success(fine))
    }

    @Test("a write whose answer is missing may have taken effect; a read is asked of the next")
    func broken() async {
        let (outcome, asked) = await pass([.broken(reason: "reset"), .answered(fine)])
        #expect(asked == 1)
        guard case .failure(let fault) = outcome else { return #expect(Bool(false)) }
        #expect(fault.status == 504)
        #expect(fault.code == "outcome_unknown")
        let read = await pass([.broken(reason: "reset"), .answered(fine)], method: "GET")
        #expect(read.outcome == .success(fine))
        guard case .failure(let last) = await pass([.broken(reason: "")], method: "GET").outcome
        else { return #expect(Bool(false)) }
        #expect(last.status == 503)
    }

    @Test("nobody is asked after the deadline")
    func deadline() async {
        let (outcome, asked) = await pass([.answered(fine)], deadline: .now)
        #expect(asked == 0)
        guard case .failure(let fault) = outcome else { return #expect(Bool(false)) }
        #expect(fault.status == 503)
    }

    @Test("keep their query, with the time that is left")
    func target() throws {
        let parameters = try QueryParameters(
            "if_version=7&timeout_ms=5000&consistency=a%2Fb", known: ["if_version", "consistency"])
        let request = PassedRequest(method: "GET", path: "/v1/kv/a%2Fb", parameters: parameters)
        #expect(
            request.target(timeout: .milliseconds(1_234))
                == "/v1/kv/a%2Fb?if_version=7&consistency=a%2Fb&timeout_ms=1234")
        #expect(request.target(timeout: .zero).hasSuffix("timeout_ms=1"))
    }

    @Test("only an error of connecting is certain to have sent nothing")
    func errors() {
        #expect(Relay.isNeverSent(HTTPClientError.connectTimeout))
        #expect(!Relay.isNeverSent(HTTPClientError.remoteConnectionClosed))
        #expect(!Relay.isNeverSent(HTTPClientError.deadlineExceeded))
        #expect(!Relay.isNeverSent(IOError(errnoCode: 104, reason: "read")))
    }

    @Test("a fault that may be served elsewhere says so to the node that passed it on")
    func header() {
        var fault = HTTPFault(.unavailable, "not here")
        #expect(HTTPAnswer.fault(fault).header("kraft-elsewhere") == nil)
        fault.elsewhere = .anyHolder
        #expect(HTTPAnswer.fault(fault).header("kraft-elsewhere") == "true")
        fault.group = "g"
        fault.leader = "h:1"
        let back = HTTPFault(passedOn: .fault(fault))
        #expect(back.code == "unavailable" && back.message == "not here")
        #expect(back.group == "g" && back.leader == "h:1")
    }
}

@Suite("A node's way out of its groups")
struct DepartureTests {
    private func look(_ kinds: [(UInt32, String, String)], committed: Bool = true) -> Departure.Look
    {
        Departure.Look(
            leader: 1, joint: false, change: nil, membersCommitted: committed,
            replicas: kinds.map { .init(node: $0.0, kind: $0.1, state: $0.2) })
    }

    @Test("is over when the members without it are committed")
    func over() {
        let others = look([(1, "voter", "replicate")])
        #expect(others.isWithout(3))
        #expect(!others.isWithout(1))
        #expect(!look([(1, "voter", "replicate")], committed: false).isWithout(3))
    }

    @Test("leaves its leaderships to voters with data, those first that are known to follow")
    func heirs() {
        let group = look([
            (1, "voter", "replicate"), (2, "voter", "unreachable"), (3, "learner", "replicate"),
            (4, "witness", "replicate"), (5, "voter", "replicate"),
        ])
        #expect(group.heirs(of: 1) == [5, 2])
        #expect(look([(1, "voter", "replicate"), (4, "witness", "replicate")]).heirs(of: 1) == [])
    }
}
