import ArgumentParser
import AsyncHTTPClient
import Foundation
import KraftAdmin
import KraftMultiRaft
import NIOCore

/// One group's way from a backup into a cluster.
///
/// The group is brought down to one member first: then there is nobody else whose log could say
/// something, and that node takes the state over in one step. Interrupted before it the group is empty,
/// and the restore can be done again; behind it the group is whole, and lacks members at most.
struct GroupRestore {
    let item: BackupManifest.Item
    let folder: BackupFolder
    let cluster: ClusterClient
    /// Nil: as it is.
    let members: [UInt32]?

    private var name: String { item.name }
    private var path: String { GroupCommand.path(item.name) }

    /// A look before anything changes anywhere. That the group is empty when it is given the state is
    /// seen to by the node that takes it.
    func check() async throws {
        let (_, client) = try await cluster.leader(of: name)
        let routing = try await client.send(.GET, "/v1/cluster/sharding").json(RoutingInfo.self)
        guard let shard = routing.groups.first(where: { $0.name == name }), shard.keys == 0 else {
            throw KraftError(
                .conflict, "\(name) isn't empty: a backup is restored into empty groups only")
        }
        let known = Set(cluster.info.members.map(\.id))
        if let stranger = members?.first(where: { !known.contains($0) }) {
            throw KraftError(.conflict, "members: node \(stranger) is not in the cluster")
        }
    }

    private struct Plan {
        var leader: UInt32
        var removed: [UInt32]
        var added: [AddedMember]
    }

    private func makePlan() async throws -> Plan {
        let leader = try await cluster.leader(of: name).node
        let replicas = try await cluster.group(name).replicas
        let others = replicas.filter { $0.node != leader }
        var added = others.map { AddedMember(node: $0.node, kind: $0.kind) }
        if let members {
            added = members.filter { $0 != leader }.map { AddedMember(node: $0, kind: "voter") }
        } else if others.isEmpty {
            added = cluster.info.members
                .filter { $0.id != leader && $0.status != "left" }
                .map { AddedMember(node: $0.id, kind: "voter") }
        }
        return Plan(leader: leader, removed: others.map(\.node), added: added)
    }

    /// What would be done, in words.
    func plan() async throws -> String {
        let plan = try await makePlan()
        let members = ([plan.leader] + plan.added.map(\.node)).sorted().map { "\($0)" }
        return "\(name): \(item.bytes) bytes up to \(item.index) to node \(plan.leader), then to "
            + "all of \(members.joined(separator: ","))"
    }

    /// Does it, and says what was done.
    func run() async throws -> String {
        let plan = try await makePlan()
        if !plan.removed.isEmpty { try await change(MemberChange(remove: plan.removed)) }
        let index = try await upload(to: plan.leader)
        if !plan.added.isEmpty { try await change(MemberChange(add: plan.added)) }
        return "\(name): restored, \(item.bytes) bytes; it goes on behind \(index)"
    }

    private func change(_ change: MemberChange) async throws {
        let (_, client) = try await cluster.leader(of: name)
        let deadline = ContinuousClock.now + .milliseconds(client.timeoutMilliseconds)
        let plan = try await change.begin(in: name, client)
        try await MemberChange.wait(for: plan, client, until: deadline)
    }

    private struct Restored: Decodable { var index: UInt64 }

    private func upload(to node: UInt32) async throws -> UInt64 {
        guard let client = cluster.client(of: node) else { throw NodeExit.unreachable }
        let reader = try folder.open(item.file)
        let parts = FileParts(reader: reader)
        var request = HTTPClientRequest(
            url: client.url + path + "/restore?timeout_ms=\(client.timeoutMilliseconds)")
        request.method = .POST
        request.body = .stream(parts, length: .known(Int64(item.bytes)))
        let answer: NodeClient.Answer
        do {
            let response = try await HTTPClient.shared.execute(
                request, timeout: .milliseconds(Int64(client.timeoutMilliseconds) + 2_000))
            let body = try await response.body.collect(upTo: 1 << 20)
            answer = NodeClient.Answer(
                status: Int(response.status.code), headers: response.headers,
                body: Array(body.readableBytesView))
        } catch {
            complain("\(name): \(client.url): \(error)")
            throw NodeExit.unreachable
        }
        guard answer.status == 200 else {
            let error = try? answer.json(NodeClient.ErrorBody.self).error
            complain(
                "\(name): " + (error.map { "\($0.code): \($0.message)" } ?? "\(answer.status)"))
            throw NodeClient.exit(status: answer.status)
        }
        return try answer.json(Restored.self).index
    }
}

/// A file as the body of a request, read as it is sent.
private struct FileParts: AsyncSequence, Sendable {
    typealias Element = ByteBuffer
    let reader: BackupFolder.Reader

    struct AsyncIterator: AsyncIteratorProtocol {
        let reader: BackupFolder.Reader
        var offset = 0

        mutating func next() async throws -> ByteBuffer? {
            let part = try reader.part(at: offset)
            guard !part.isEmpty else { return nil }
            offset += part.count
            return ByteBuffer(bytes: part)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: reader) }
}
